"""`paramedic breaker`: how the circuit breaker stands, and lifting it."""

import json
from typing import Annotated

import typer

from service.desk.commands.service import URL, AsJson, TokenFile, Url, ask, fail

app = typer.Typer(
    help="The circuit breaker: after too many new incidents nothing is acted on for a while.",
    no_args_is_help=True,
)


@app.command(epilog="Example: paramedic breaker show --json")
def show(url: Url = URL, token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """Show whether it is open, and until when."""
    found = ask(url, token_file, "/api/v1/breaker")
    if as_json:
        return typer.echo(json.dumps(found, indent=2))
    until = f" until {found['until']}" if found["open"] else ""
    last = found["last"] or {}
    lifted = f"\nlifted by {last['lifted_by']}: {last['why']}" if last.get("lifted_by") else ""
    return typer.echo(
        f"{'open' if found['open'] else 'closed'}{until}; it opens after {found['limit']}{lifted}"
    )


@app.command(epilog="Example: paramedic breaker lift --why 'it was the storage move'")
def lift(
    why: Annotated[str, typer.Option(help="Why; it stands in the record under your name.")] = "",
    url: Url = URL,
    token_file: TokenFile = None,
) -> None:
    """Close it before its time: what it held is looked at again at once."""
    if not why.strip():
        raise fail("say why with --why: it stands in the record under your name", code=2)
    found = ask(url, token_file, "/api/v1/breaker/lift", {"why": why})
    typer.echo("lifted" if found["lifted"] else "it was not open")
