"""A rehearsal on a terminal: a folder of its own, an end by SIGTERM that takes its
servers along, an exit code.

Never here: what is rehearsed, or what is told of it.
"""

import asyncio
import signal
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape


async def on_terminal(what: str, run: Callable[[Console, Path], Awaitable[int]]) -> int:
    """The exit code of `run`: 143 when it was stopped, 1 when a server did not start."""
    console = Console(highlight=False, soft_wrap=True)
    this = asyncio.current_task()
    if this is not None:  # so that its servers end with it
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    with tempfile.TemporaryDirectory(prefix=f"paramedic-{what}-") as folder:
        try:
            return await run(console, Path(folder))
        except asyncio.CancelledError:
            return 143
        except (OSError, RuntimeError) as error:
            console.print(f"[bold red]The {what} could not go on:[/] {escape(str(error))}")
            return 1
