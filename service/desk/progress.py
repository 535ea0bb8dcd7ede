"""Probes as they end, ticked off on a terminal while a diagnosis runs;
nothing of it stays there afterwards.

Never here: the diagnosis.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from service.diagnose.gather import Observe

_COLUMN = 12  # the longest name of a reading and a blank


@contextmanager
def ticking(names: Sequence[str], console: Console) -> Iterator[Observe]:
    """What a diagnosis tells of its probes. On anything but a terminal it is not shown."""
    if not console.is_terminal:
        yield lambda *_: None
        return
    lines = {name: Text(f"  {name:{_COLUMN}}...", style="dim") for name in names}

    with Live(console=console, transient=True, refresh_per_second=10) as live:

        def show() -> None:
            live.update(Text("\n").join(lines.values()))

        def observe(name: str, result: str, took_s: float) -> None:
            lines[name] = line(name, result, took_s)
            show()

        show()
        yield observe


def line(name: str, result: str, took_s: float) -> Text:
    """One probe that has ended; `result` is "known" or the reason why not."""
    if result == "known":
        return Text(f"✓ {name:{_COLUMN}}{took_s:.2f} s", style="green")
    style = "dim" if result == "not_configured" else "yellow"
    return Text(f"- {name:{_COLUMN}}{result}", style=style)
