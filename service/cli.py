"""The command line: each command is a thin function over one room.

Called by: people and process managers. Never here: anything that a test could want without a terminal.
"""

import asyncio
import http.client
import json
import signal
import sys
import urllib.error
import urllib.parse
import urllib.request
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.model.action import Mode
from service.model.errors import BadConfig, Unavailable

if TYPE_CHECKING:  # imported late where it is used, so that --help is quick
    from service.settings import Settings

app = typer.Typer(
    help="Paramedic: diagnoses and remedies alerts, within limits, and proves that it worked.",
    epilog="First steps: `paramedic check`, then `paramedic serve`. See the README for the settings.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)

Folder = Annotated[Path, typer.Argument(help="Folder of playbooks.", envvar="PARAMEDIC_PLAYBOOKS")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"paramedic {metadata.version('paramedic')}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and end."
        ),
    ] = False,
) -> None:
    """Options of the command itself."""


def _fail(error: Exception, code: int = 2) -> typer.Exit:
    typer.secho(str(error), fg=typer.colors.RED, err=True)
    return typer.Exit(code)


@app.command(
    epilog="Example: PARAMEDIC_MODE=observe PARAMEDIC_KAFKA__BOOTSTRAP=kafka:9092 paramedic serve"
)
def serve(
    mode: Annotated[
        Mode | None, typer.Option(help="Ceiling over every playbook; wins over the settings.")
    ] = None,
) -> None:
    """Run the service until SIGTERM or SIGINT. Settings come from PARAMEDIC_* and PARAMEDIC_CONFIG."""
    from service import settings as room
    from service.record import log

    try:
        settings = room.load()
        if mode is not None:
            settings = settings.model_copy(update={"mode": mode})
        log.configure(settings.log_format, settings.log_level)
        problem = asyncio.run(_serve(settings))
    except (BadConfig, Unavailable) as error:
        raise _fail(error) from error
    if problem:
        raise _fail(RuntimeError(problem), code=1)


# Seconds. The store's thread takes the interpreter's lock several times in a commit; with Python's 5 ms a busy
# event loop lets it wait each time: 2,900 against 3,800 webhooks a second, measured.
SWITCH_INTERVAL_S = 0.0005


async def _serve(settings: "Settings") -> str | None:
    from service.app import serving

    sys.setswitchinterval(SWITCH_INTERVAL_S)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(settings) as service:
        service.failed.add_done_callback(lambda _: stop.set())
        await stop.wait()
        service.intake.close()  # readiness says no while the endpoints are taken away
        return service.failed.result() if service.failed.done() else None


@app.command(epilog="Example: paramedic check rules/playbooks --json")
def check(
    folder: Folder = Path("rules/playbooks"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Check playbooks: every field, matcher, condition, type and action. Exit code 2 when something is wrong."""
    from service.act import KINDS
    from service.diagnose import CHAPTERS
    from service.playbooks import causes
    from service.playbooks.load import load

    try:
        playbooks = load(folder, CHAPTERS, KINDS)
        causes.beside(folder, [p.name for p in playbooks])
    except BadConfig as error:
        if as_json:
            typer.echo(json.dumps({"ok": False, "mistakes": str(error).splitlines()}))
            raise typer.Exit(2) from error
        raise _fail(error) from error
    rows = [
        {"playbook": p.name, "diagnose": p.diagnose, "remedies": [f"{r.name} ({r.mode})" for r in p.remedies],
         "healed": p.healed.text.strip(), "source": p.source}
        for p in playbooks
    ]  # fmt: skip
    if as_json:
        typer.echo(json.dumps({"ok": True, "playbooks": rows}))
        return
    for row in rows:
        typer.secho(f"{row['playbook']}  ", bold=True, nl=False)
        typer.echo(
            f"{row['source']}\n  diagnose {row['diagnose']}\n  ladder   {' > '.join(row['remedies'])}"
        )
        typer.echo(f"  healed   {row['healed']}")
    typer.secho(f"{len(rows)} playbook(s) good", fg=typer.colors.GREEN)


@app.command(epilog="Example: paramedic incidents inc-20261123-203412-9f3a1c")
def incidents(
    incident: Annotated[
        str | None, typer.Argument(help="An incident's id, for its decision record.")
    ] = None,
    url: Annotated[str, typer.Option(help="The running service.")] = "http://127.0.0.1:9095",
    token_file: Annotated[Path | None, typer.Option(help="File with the bearer token.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """List incidents of a running service, or tell one incident's story."""
    from service.desk.story import listing, story

    path = (
        f"/api/v1/incidents/{urllib.parse.quote(incident, safe='')}"
        if incident
        else "/api/v1/incidents"
    )
    found = _ask(url.rstrip("/") + path, token_file)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    elif incident:
        typer.echo(story(found))
    else:
        typer.echo(listing(found))


def _ask(url: str, token_file: Path | None) -> Any:  # Any: JSON
    try:
        request = urllib.request.Request(url)  # noqa: S310 - the operator's own URL
        if token_file:
            request.add_header("Authorization", f"Bearer {token_file.read_text().strip()}")
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        hint = "; name the token with --token-file" if error.code == 401 and not token_file else ""
        told = error.read().decode(errors="replace")[:500]
        raise _fail(RuntimeError(f"{url}: {error.code} {told}{hint}"), 1) from error
    except urllib.error.URLError as error:
        problem = f"{url}: no answer ({error.reason}); is `paramedic serve` running there?"
        raise _fail(RuntimeError(problem), 1) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _fail(
            RuntimeError(f"{url}: {error}; is that the address of a Paramedic?"), 1
        ) from error


@app.command(epilog="Example: paramedic rbac --namespace carbon-ingestion | kubectl apply -f -")
def rbac(
    folder: Folder = Path("rules/playbooks"),
    namespace: Annotated[
        list[str] | None, typer.Option(help="A namespace of the platform; again for several.")
    ] = None,
    clickhouse_user: Annotated[
        str | None, typer.Option(help="Print the GRANTs of this acting user of ClickHouse instead.")
    ] = None,
) -> None:
    """Print the least rights that the playbooks need: Roles of the reading and the acting account."""
    from service.act import KINDS, rights
    from service.diagnose import CHAPTERS
    from service.playbooks.load import load

    try:
        playbooks = load(folder, CHAPTERS, KINDS)
    except BadConfig as error:
        raise _fail(error) from error
    named = {r.do.kind.name for p in playbooks for r in p.remedies if r.mode is not Mode.OBSERVE}
    kinds = rights.of(KINDS, named)
    if clickhouse_user is not None:
        for grant in rights.grants(kinds, clickhouse_user):
            typer.echo(f"{grant};")
        return
    typer.echo(rights.as_yaml(kinds, namespace or ["carbon-ingestion"]), nl=False)


class Table(StrEnum):
    """What `reference` can print."""

    SETTINGS = "settings"
    METRICS = "metrics"
    REASONS = "reasons"


@app.command(epilog="Example: paramedic reference settings")
def reference(table: Annotated[Table, typer.Argument(help="Which table.")]) -> None:
    """Print every setting, metric or reason as a table."""
    from service.desk import reference as room

    tables = {
        Table.SETTINGS: room.settings_table,
        Table.METRICS: room.metrics_table,
        Table.REASONS: room.reasons_table,
    }
    typer.echo(tables[table]())
