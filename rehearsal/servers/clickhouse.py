"""A recent ClickHouse on its native port, made of the library chDB: up in a third of a second.

The npm package `@chdb/lib-linux-x64-gnu` holds all of clickhouse-local; at its prompt `SYSTEM
START LISTEN TCP` makes a server of it. The prompt needs a terminal, so it gets a pseudo one.
Installed by tests/servers/install.sh.
Never here: tables and queries.
Limits: no TLS; a failed login would end the process, so it runs without passwords
unless a test wants users.
"""

import asyncio
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from rehearsal.servers import folder, free_port, listens
from rehearsal.servers.draining import DrainingProxy
from rehearsal.servers.process import standstill

BOOT_S = 20.0
_LIBRARY = "npm/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so"
_MAIN = """
import ctypes as C, sys
library = C.CDLL(sys.argv[1])
main = library.chdb_query_cmdline
main.restype, main.argtypes = C.c_void_p, [C.c_int, C.POINTER(C.c_char_p)]
argv = ["clickhouse", *sys.argv[2:]]
main(len(argv), (C.c_char_p * (len(argv) + 1))(*[a.encode() for a in argv], None))
"""


def found() -> Path | None:
    """The library, or None when it is not installed."""
    path = folder() / _LIBRARY
    return path if path.is_file() else None


class ClickHouseServer:
    """One server with its data in `folder`; `port` is the proxy's, and the one to use.

    `disks` are more disks, name -> folder, and take backups; `users` are more users,
    name -> XML of the user's element, of which `<password/>` is the least. The user
    `default` without a password always exists.
    `memory_bytes` is the most that all queries together may hold.
    """

    def __init__(
        self,
        folder: Path,
        *,
        disks: Mapping[str, Path] | None = None,
        users: Mapping[str, str] | None = None,
        port: int | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        self._memory_bytes = memory_bytes
        self.folder, self.port = folder, port or free_port()
        self._upstream = free_port()
        self._proxy = DrainingProxy(self.port, self._upstream)
        self._disks, self._users = disks or {}, users or {}
        self._child: subprocess.Popen[bytes] | None = None
        self._terminal = -1
        self._printed = b""

    async def start(self) -> Self:
        """Starts server and proxy; RuntimeError with the end of what it printed
        when it does not come up.
        """
        library = found()
        if library is None:
            raise RuntimeError(
                "no ClickHouse for the demo: run tests/servers/install.sh clickhouse-modern"
            )
        config = self._configured()
        self._terminal, terminal = pty.openpty()
        argv = [
            sys.executable,
            "-c",
            _MAIN,
            str(library),
            "--interactive",
            f"--path={self.folder / 'data'}",
        ]
        argv += [
            f"--config-file={config}",
            f"--tcp_port={self._upstream}",
            "--listen_host=127.0.0.1",
        ]
        try:
            self._child = await asyncio.to_thread(
                subprocess.Popen,
                argv,
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
                start_new_session=True,
                env={**os.environ, "TERM": "dumb", "HOME": str(self.folder)},
            )
        finally:
            os.close(terminal)
        threading.Thread(target=self._read, args=(self._terminal,), daemon=True).start()
        await self._until(lambda: b":) " in self._printed)
        await self.listen(True)
        await self._proxy.open()
        return self

    def _configured(self) -> Path:
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        disks = "".join(f"<{n}><path>{p}/</path></{n}>" for n, p in self._disks.items())
        users = "".join(
            f"<{n}>{xml}<networks><ip>::/0</ip></networks></{n}>" for n, xml in self._users.items()
        )
        everybody = "<password/><networks><ip>::/0</ip></networks><profile>default</profile>"
        (self.folder / "users.xml").write_text(
            "<clickhouse><profiles><default/><readonly><readonly>1</readonly></readonly></profiles>"
            f"<quotas><default/></quotas><users><default>{everybody}</default>{users}</users></clickhouse>"
        )
        config = self.folder / "config.xml"
        storage = (
            f"<storage_configuration><disks>{disks}</disks></storage_configuration>"
            if disks
            else ""
        )
        allowed = "".join(f"<allowed_disk>{name}</allowed_disk>" for name in self._disks)
        memory = self._memory_bytes or 0
        limit = f"<max_server_memory_usage>{memory}</max_server_memory_usage>" if memory else ""
        # No <logger>: it would flood the terminal.
        config.write_text(
            f"<clickhouse><users_config>{self.folder / 'users.xml'}</users_config>{storage}{limit}"
            f"<backups>{allowed}</backups></clickhouse>"
        )
        return config

    def _read(self, terminal: int) -> None:
        # A thread, because the process stops when nobody reads its terminal,
        # whatever the loop is busy with.
        try:
            while data := os.read(terminal, 4096):
                self._printed = (self._printed + data)[-8192:]
        except OSError:
            pass  # the process has ended

    async def _until(self, true: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + BOOT_S
        while not true():
            if self.dead or time.monotonic() > give_up_at:
                raise RuntimeError(
                    f"ClickHouse did not start: {self._printed[-600:].decode(errors='replace')}"
                )
            await asyncio.sleep(0.01)

    @property
    def dead(self) -> bool:
        return self._child is None or self._child.poll() is not None

    async def listen(self, on: bool) -> None:
        """Listens, or stops listening: an outage."""
        verb = b"START" if on else b"STOP"
        os.write(self._terminal, b"SYSTEM %s LISTEN TCP;\r" % verb)
        await self._until(lambda: listens(self._upstream) is on)

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """It stands still inside, and goes on afterwards; RuntimeError when it does not run."""
        if self._child is None or self.dead:
            raise RuntimeError("ClickHouse does not run")
        async with standstill(self._child):
            yield

    async def stop(self) -> None:
        """Ends it at once."""
        await self._proxy.close()
        if self._child is not None:
            self._child.kill()
            await asyncio.to_thread(self._child.wait)
            os.close(self._terminal)
            self._child = None

    async def __aenter__(self) -> Self:
        try:
            return await self.start()
        except BaseException:
            await self.stop()
            raise

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
