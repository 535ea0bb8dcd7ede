"""A PostgreSQL of our own, and a database of its own for each who asks."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rehearsal.servers import free_port
from tests.servers import SERVERS, require


def _programs() -> Path | None:
    """The folder of initdb and pg_ctl: on the PATH, or where Debian keeps them."""
    found = shutil.which("initdb")
    roots = (Path("/usr/lib/postgresql"), SERVERS / "debian/usr/lib/postgresql")
    packaged = sorted(path for root in roots for path in root.glob("*/bin/initdb"))
    return Path(found).resolve().parent if found else packaged[-1].parent if packaged else None


@contextmanager
def server() -> Iterator[str]:
    """Its URL, a slash at the end, until the block ends. Skips the test where there is none."""
    programs = require(
        "postgresql", _programs(), "run tests/servers/install.sh debian (package postgresql)"
    )
    user = "nobody" if os.getuid() == 0 else None  # the server refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="paramedic-pg-"))
    if user:
        shutil.chown(folder, user)
    port = free_port()

    def run(*argv: str) -> None:
        subprocess.run(
            [str(programs / argv[0]), "-D", str(folder / "data"), *argv[1:]],
            user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT, timeout=60,
        )  # fmt: skip

    try:
        run("initdb", "-A", "trust", "-U", "paramedic", "--no-sync", "-E", "UTF8")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {folder}"
        run("pg_ctl", "-w", "-o", options, "-l", str(folder / "log"), "start")
        try:
            yield f"postgresql://paramedic@127.0.0.1:{port}/"
        finally:
            run("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


async def database(url: str, name: str) -> str:
    """The URL of a new, empty database."""
    import asyncpg  # type: ignore[import-untyped]  # it has no types

    connection = await asyncpg.connect(url + "postgres")
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return url + name
