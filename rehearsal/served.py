"""`paramedic serve` as a user would run it: a process of its own, configured by its environment.

Never here: what it is to work on.
"""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
from rich.console import Console

from rehearsal.servers import free_port

START_WITHIN_S = 60.0  # a busy machine imports slowly

# Settings by group and name, as the service's `Settings` takes them.
Nested: TypeAlias = Mapping[str, Any]  # Any: values of several types


def variables(settings: Nested, prefix: str = "PARAMEDIC_") -> Iterator[tuple[str, str]]:
    """The same as environment variables."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from variables(value, f"{prefix}{name.upper()}__")
        else:
            yield prefix + name.upper(), str(value)


def environment(settings: Nested) -> dict[str, str]:
    """This process' environment with these settings and no others."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("PARAMEDIC_")}
    return own | dict(variables(settings))


@asynccontextmanager
async def served(console: Console, folder: Path, settings: Nested, port: int) -> AsyncIterator[str]:
    """Runs it until the block ends; its address. Another port is taken where `port`
    is, its log is in `folder`.
    """
    if port and not _free(port):
        console.print(f"  [yellow]port {port} is taken[/], so the service gets another")
        port = 0
    port = port or free_port()
    env = environment(
        {**settings, "intake": {**settings.get("intake", {}), "port": port}, "log_format": "json"}
    )
    url = f"http://127.0.0.1:{port}"
    began = time.monotonic()
    with log_file(folder).open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "service", "serve", env=env, stdout=log, stderr=log
        )
        try:
            await _until_ready(url, process, folder)
            took_s = time.monotonic() - began
            console.print(
                f"  Paramedic   {url}  ready after {took_s:.1f} s, mode [bold]{settings['mode']}[/]\n"
            )
            yield url
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


def log_file(folder: Path) -> Path:
    """Where the service writes its log."""
    return folder / "paramedic.log"


def _free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def _until_ready(url: str, process: asyncio.subprocess.Process, folder: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline and process.returncode is None:
            with suppress(aiohttp.ClientError):
                async with session.get(url + "/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)
    said = log_file(folder).read_text()[-2_000:]
    raise RuntimeError(f"the service did not become ready within {START_WITHIN_S:g} s:\n{said}")
