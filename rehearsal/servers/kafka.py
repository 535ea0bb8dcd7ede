"""noida-db: a broker that speaks Kafka's protocol, one file in a wheel, up in 15 ms.

Never here: topics and traffic.
"""

import importlib.resources
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from rehearsal.servers import free_port, listens
from rehearsal.servers.process import Process


def found() -> Path | None:
    """The broker's executable, or None when the extra `demo` is not installed."""
    if find_spec("noida_db") is None:
        return None
    return Path(str(importlib.resources.files("noida_db") / "noida-db"))


class NoidaBroker:
    """One broker on a loopback port with its data in `folder`;
    keeps topics and offsets over a restart.
    """

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder, self.port = folder, port or free_port()
        exe = found()
        if exe is None:
            raise RuntimeError("no Kafka broker for the demo: pip install 'paramedic[demo]'")
        if not exe.stat().st_mode & 0o100:
            exe.chmod(0o755)  # some installers lose the executable bit
        folder.mkdir(parents=True, exist_ok=True)
        argv = [str(exe), "start", "--data-dir", str(folder / "data"), "--host", "127.0.0.1"]
        self.process = Process(
            [*argv, "--only", "kafka", "--kafka-port", str(self.port)], folder / "noida.log"
        )

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> Self:
        """Starts it; after `process.kill()` it may be started again."""
        await self.process.start(lambda: listens(self.port))
        return self

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.process.kill()
