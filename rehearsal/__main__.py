"""`python -m rehearsal`: the demo's command line. It is run from a checkout, never from the
wheel.
"""

import asyncio
import sys
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(
    epilog="Examples: python -m rehearsal --once; python -m rehearsal --list; python -m rehearsal --scenario 4.2"
)
def demo(
    once: Annotated[
        bool, typer.Option(help="End when the incident has ended; 1 if not as expected.")
    ] = False,
    within_s: Annotated[
        float, typer.Option(help="With --once, and of a scenario: at most this many seconds.")
    ] = 120.0,
    port: Annotated[
        int, typer.Option(help="Port of the service; 0 lets the system choose.")
    ] = 9095,
    scenario: Annotated[
        str | None, typer.Option(help="Break the world in this way instead; ? lists the ways.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the scenarios.")] = False,
) -> None:
    """Start a small platform under load on this machine, and watch an alert being healed."""
    if listed or scenario == "?":
        _list()
    elif scenario is not None:
        sys.exit(_scenario(scenario, once=once, within_s=within_s, port=port))
    else:
        from rehearsal.demo import run

        sys.exit(asyncio.run(run(once=once, within_s=within_s, port=port)))


def _list() -> None:
    from rehearsal.scenarios import SCENARIOS

    width = max(map(len, SCENARIOS))
    for scenario in SCENARIOS.values():
        typer.echo(f"{scenario.name:{width}}  {scenario.breaks}")


def _scenario(name: str, *, once: bool, within_s: float, port: int) -> int:
    from rehearsal.scenarios import find
    from rehearsal.scenarios.show import show

    try:
        found = find(name)
    except LookupError as error:
        typer.echo(f"error: {error.args[0]}", err=True)
        return 2
    return asyncio.run(show(found, once=once, within_s=within_s, port=port))


if __name__ == "__main__":
    app()
