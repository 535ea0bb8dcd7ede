"""A child process that listens on a port: started, waited for, frozen, ended.

Never here: what the server is.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

BOOT_S = 30.0


@asynccontextmanager
async def standstill(child: subprocess.Popen[bytes]) -> AsyncIterator[None]:
    """Inside it no thread of `child` runs; its connections stay open. Outside it goes on.

    A signal is only under way when `kill` returns, and a busy machine gives the other threads time
    to answer one more request. The parent is told when the last of them has stopped.
    """
    os.kill(child.pid, signal.SIGSTOP)
    try:
        await asyncio.to_thread(os.waitid, os.P_PID, child.pid, os.WSTOPPED)
        yield
    finally:
        os.kill(child.pid, signal.SIGCONT)


class Process:
    """One server process; its output goes to `log`."""

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self._argv, self._env, self._cwd, self.log = argv, env, cwd, log
        self._child: subprocess.Popen[bytes] | None = None

    async def start(self, ready: Callable[[], bool]) -> None:
        """Starts it and waits until `ready()`; RuntimeError with the end of its
        output when it dies first.
        """
        with self.log.open("ab") as out:
            self._child = await asyncio.to_thread(
                subprocess.Popen,
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self._cwd,
                env={**os.environ, **(self._env or {})},
                start_new_session=True,
            )
        give_up_at = time.monotonic() + BOOT_S
        while not ready():
            if self._child.poll() is not None or time.monotonic() > give_up_at:
                await self.kill()
                raise RuntimeError(f"{self._argv[0]} did not start:\n{self.tail()}")
            await asyncio.sleep(0.01)

    def tail(self) -> str:
        """The end of what it printed."""
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """It stands still inside, and goes on afterwards; RuntimeError when it does not run."""
        if self._child is None or self._child.poll() is not None:
            raise RuntimeError(f"{self._argv[0]} does not run:\n{self.tail()}")
        async with standstill(self._child):
            yield

    async def kill(self) -> None:
        """Ends it and its children at once, as a power cut would."""
        if self._child is not None and self._child.poll() is None:
            os.killpg(self._child.pid, signal.SIGKILL)
        if self._child is not None:
            await asyncio.to_thread(self._child.wait)
