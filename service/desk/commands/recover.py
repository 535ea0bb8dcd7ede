"""`paramedic recover`: one person asks for a complete recovery, another one approves it,
both can watch and stop it.

Never here: how a saga is shown (saga_view.py), or what the service makes of a wish.
"""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from service.desk.saga_view import as_text, listing, progress

Json: TypeAlias = dict[str, Any]  # Any: JSON

POLL_S = 2.0
_WITHIN_S = 10.0  # of one answer
_OVER = ("done", "stopped", "failed", "withdrawn", "expired")

app = typer.Typer(
    help="Restore a platform from its backup: stop the services, restore, start them again. Two people.",
    epilog=(
        "In this order, each person with their own token:\n\n"
        "paramedic recover start --namespace carbon-ingestion --token-file anna.token\n\n"
        "paramedic recover show\n\n"
        "paramedic recover approve SAGA --token-file ben.token"
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)

Url = Annotated[
    str, typer.Option(help="The running service.", envvar="PARAMEDIC_URL", show_default=True)
]
Token = Annotated[
    Path | None,
    typer.Option(help="File with your own token, as the people file knows it.", envvar="PARAMEDIC_TOKEN_FILE"),
]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Wait = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Follow it and tell of each step, or return at once.")
]  # fmt: skip
Id = Annotated[str, typer.Argument(help="The saga's id, as `start` and `show` print it.")]
_HERE = "http://127.0.0.1:9095"


@app.command(
    epilog="Examples:\n\n"
    "paramedic recover start --namespace carbon-ingestion --token-file anna.token\n\n"
    "paramedic recover start --json --no-wait"
)
def start(
    namespace: Annotated[
        str | None, typer.Option(help="The platform's namespace; without it the first allowed one.")
    ] = None,
    playbook: Annotated[
        str | None, typer.Option(help="The playbook, where several can be asked for.")
    ] = None,
    url: Url = _HERE,
    token_file: Token = None,
    as_json: AsJson = False,
    wait: Wait = True,
) -> None:
    """Ask for a recovery. It draws the steps up and changes nothing until
    another person approves them.

    Exit code 0: it is asked for, and its steps are known. 1: nothing can be restored. 2:
    it could not be asked for.
    """
    fields = {
        name: value for name, value in (("namespace", namespace), ("playbook", playbook)) if value
    }
    record = _call(url, "/api/v1/sagas", token_file, fields)
    if wait:
        record = _follow(url, record, token_file, quiet=as_json, until_asked=True)
    _print(record, as_json)


@app.command(epilog="Example: paramedic recover approve saga-20261124-031502-9f3a1c07")
def approve(
    saga: Id,
    url: Url = _HERE,
    token_file: Token = None,
    as_json: AsJson = False,
    wait: Wait = True,
) -> None:
    """Approve what another person has asked for, as `show` prints it, and follow it to its end.

    Exit code 0: it is approved, and with --wait done. 1: it ended otherwise. 2:
    it could not be approved.
    """
    record = _call(url, f"{_path(saga)}/approve", token_file, {})
    if wait:
        record = _follow(url, record, token_file, quiet=as_json)
    _print(record, as_json)


@app.command(epilog="Example: paramedic recover stop saga-20261124-031502-9f3a1c07")
def stop(saga: Id, url: Url = _HERE, token_file: Token = None, as_json: AsJson = False) -> None:
    """Stop it: at once before its first step, then between two steps.
    The step under way is brought to its end.

    One that has stopped or failed is taken as dealt with: other playbooks wait for it no longer.
    """
    record = _call(url, f"{_path(saga)}/stop", token_file, {})
    _print(record, as_json, ended=False)


@app.command(
    epilog="Examples:\n\n"
    "paramedic recover show\n\n"
    "paramedic recover show saga-20261124-031502-9f3a1c07 --wait"
)
def show(
    saga: Annotated[str | None, typer.Argument(help="A saga's id, for its steps.")] = None,
    url: Url = _HERE,
    token_file: Token = None,
    as_json: AsJson = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end.")] = False,
) -> None:
    """List the sagas, or show one with its steps and what a person may do next."""
    if saga is None:
        if wait:
            raise _fail("--wait follows one saga: name it, as `paramedic recover show` lists them")
        found = _call(url, "/api/v1/sagas", token_file)
        typer.echo(json.dumps(found, indent=2) if as_json else listing(found))
        return
    record = _call(url, _path(saga), token_file)
    if wait:
        record = _follow(url, record, token_file, quiet=as_json)
    _print(record, as_json, ended=wait)


def _path(saga: str) -> str:
    return f"/api/v1/sagas/{urllib.parse.quote(saga, safe='')}"


def _follow(
    url: str, record: Json, token_file: Path | None, *, quiet: bool, until_asked: bool = False
) -> Json:
    """Looks until it is over, or waits for somebody's yes; tells on stderr what has changed.

    A service that is away for a moment is asked again: the course goes on without
    it, and after its restart.
    """
    before: Json | None = None
    while True:
        if not quiet:
            for line in progress(before, record):
                typer.echo(f"{time.strftime('%H:%M:%S')}  {line}", err=True)
        waits = record["state"] == "asked" and bool(record["steps"])
        if record["state"] in _OVER or (until_asked and waits):
            return record
        before = record
        time.sleep(POLL_S)
        try:
            record = _asked(url, _path(str(record["id"])), token_file)
        except _AwayError as away:
            if not quiet:
                typer.echo(
                    f"{time.strftime('%H:%M:%S')}  no answer ({away}); asked again", err=True
                )


def _print(record: Json, as_json: bool, *, ended: bool = True) -> None:
    typer.echo(json.dumps(record, indent=2) if as_json else as_text(record))
    if ended and record["state"] in _OVER and record["state"] != "done":
        raise typer.Exit(1)


class _AwayError(Exception):
    """Nobody answers there now."""


def _asked(
    url: str, path: str, token_file: Path | None, fields: Json | None = None
) -> Any:  # Any: JSON
    """The answer. Raises _AwayError where there is none, typer.Exit for a no."""
    address = url.rstrip("/") + path
    body = None if fields is None else json.dumps(fields).encode()
    request = urllib.request.Request(address, data=body)  # noqa: S310 - the operator's own URL
    request.add_header("Content-Type", "application/json")
    try:
        if token_file is not None:
            request.add_header("Authorization", f"Bearer {token_file.read_text().strip()}")
        with urllib.request.urlopen(request, timeout=_WITHIN_S) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as no:
        raise _fail(_told(no, token_file)) from no
    except urllib.error.URLError as away:
        raise _AwayError(str(away.reason)) from away
    except TimeoutError as away:
        raise _AwayError("late") from away
    except (OSError, ValueError) as error:
        raise _fail(f"{address}: {error}; is that the address of a Paramedic?") from error


def _call(
    url: str, path: str, token_file: Path | None, fields: Json | None = None
) -> Any:  # Any: JSON
    try:
        return _asked(url, path, token_file, fields)
    except _AwayError as away:
        told = f"{url}: no answer ({away}); is `paramedic serve` running there? Name it with --url"
        raise _fail(told) from away


def _told(no: urllib.error.HTTPError, token_file: Path | None) -> str:
    """The service's no, and what to do about it."""
    text = no.read().decode(errors="replace")[:1_000]
    try:
        answer = json.loads(text)
        reason, detail = str(answer["reason"]), str(answer["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{no.code} {text}"
    match reason:
        case "bad_credentials" if token_file is None:
            hint = "; name your token with --token-file"
        case "bad_credentials":
            hint = f"; the token in {token_file} is nobody's: see PARAMEDIC_INTAKE__PEOPLE_FILE"
        case "approval_required":
            hint = "; have them run: paramedic recover approve SAGA --token-file THEIR_TOKEN"
        case "target_busy":
            hint = "; see: paramedic recover show"
        case "approval_expired":
            hint = "; ask again: paramedic recover start"
        case "not_found":
            hint = "; list them: paramedic recover show"
        case _:
            hint = ""
    return f"{reason}: {detail}{hint}"


def _fail(told: str) -> typer.Exit:
    typer.secho(told, fg=typer.colors.RED, err=True)
    return typer.Exit(2)
