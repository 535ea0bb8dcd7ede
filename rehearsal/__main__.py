"""`python -m rehearsal`: the demo's command line. It is run from a checkout, never from the wheel."""

import asyncio
import sys
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: python -m rehearsal --once")
def demo(
    once: Annotated[
        bool, typer.Option(help="End when the incident is closed as healed; 1 if it is not.")
    ] = False,
    within_s: Annotated[
        float, typer.Option(help="With --once: at most this many seconds.")
    ] = 120.0,
    port: Annotated[
        int, typer.Option(help="Port of the service; 0 lets the system choose.")
    ] = 9095,
) -> None:
    """Start a small platform under load on this machine, and watch an alert being healed."""
    from rehearsal.demo import run

    sys.exit(asyncio.run(run(once=once, within_s=within_s, port=port)))


if __name__ == "__main__":
    app()
