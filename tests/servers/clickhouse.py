"""ClickHouse servers for tests: a recent one (chDB, 0.3 s),
and Debian's 18.16 for failed logins and old answers.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from asynch.connection import Connection

from rehearsal.servers import free_port, listens
from rehearsal.servers.clickhouse import ClickHouseServer
from rehearsal.servers.clickhouse import found as modern_found
from rehearsal.servers.process import Process
from tests.servers import debian as packages
from tests.servers import require


@asynccontextmanager
async def modern(
    folder: Path, *, disks: Mapping[str, Path] | None = None, users: Mapping[str, str] | None = None
) -> AsyncIterator[ClickHouseServer]:
    """A recent server, or a skip. See ClickHouseServer for `disks` and `users`."""
    require(
        "clickhouse (modern)",
        modern_found(),
        "run tests/servers/install.sh clickhouse-modern (needs npm)",
    )
    async with ClickHouseServer(folder, disks=disks, users=users) as server:
        yield server


class DebianClickHouse:
    """clickhouse-server 18.16.

    Users: default without a password, `guarded` with `secret`,
    `reader` readonly=1, `setter` readonly=2.
    """

    def __init__(self, folder: Path, exe: Path) -> None:
        self.folder, self.port = folder, free_port()
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "config.xml"
        config.write_text(self._config())
        argv = [str(exe), f"--config-file={config}"]
        self.process = Process(argv, folder / "out.log", env=packages.environment(exe), cwd=folder)

    def _config(self) -> str:
        anywhere = "<networks><ip>::/0</ip></networks><quota>default</quota>"
        (self.folder / "users.xml").write_text(
            "<yandex><profiles><default/><readonly><readonly>1</readonly></readonly>"
            "<setter><readonly>2</readonly></setter></profiles><quotas><default/></quotas><users>"
            f"<default><password/>{anywhere}<profile>default</profile></default>"
            f"<guarded><password>secret</password>{anywhere}<profile>default</profile></guarded>"
            f"<reader><password/>{anywhere}<profile>readonly</profile></reader>"
            f"<setter><password/>{anywhere}<profile>setter</profile></setter>"
            "</users></yandex>"
        )
        paths = {
            name: f"{self.folder / name}/"
            for name in ("path", "tmp_path", "user_files_path", "format_schema_path")
        }
        return (
            "<yandex><logger><level>warning</level><console>1</console></logger>"
            f"<listen_host>127.0.0.1</listen_host><tcp_port>{self.port}</tcp_port>"
            f"<http_port>{free_port()}</http_port><users_config>{self.folder / 'users.xml'}</users_config>"
            "<default_profile>default</default_profile><default_database>default</default_database>"
            "<mark_cache_size>5368709120</mark_cache_size>"
            + "".join(f"<{name}>{path}</{name}>" for name, path in paths.items())
            + "</yandex>"
        )

    async def start(self) -> "DebianClickHouse":
        await self.process.start(lambda: listens(self.port))
        return self


@asynccontextmanager
async def debian(folder: Path) -> AsyncIterator[DebianClickHouse]:
    """Debian's server, or a skip."""
    exe = packages.found("clickhouse-server")
    server = DebianClickHouse(
        folder, require("clickhouse-server", exe, "run tests/servers/install.sh debian (apt)")
    )
    try:
        yield await server.start()
    finally:
        await server.process.kill()


@asynccontextmanager
async def long_query(
    port: int, *, user: str = "default", query_id: str, sql: str
) -> AsyncIterator[None]:
    """A query that runs as long as the block; its end, whatever it is, is nobody's concern."""

    async def run() -> None:
        connection = Connection(host="127.0.0.1", port=port, user=user, password="")
        try:
            await connection.connect()
            async with connection.cursor() as cursor:
                cursor.set_query_id(query_id)
                await cursor.execute(sql)
        except Exception:  # killed, or the server went: that is what tests do to it
            pass
        finally:
            await connection.close()

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
