"""The command line: each command is a thin function over one room.

Never here: anything that a test could want without a terminal.
"""

import asyncio
import gc
import http.client
import json
import re
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

from service.desk.commands import audit, breaker, control, recover
from service.model.action import Mode
from service.model.errors import BadConfig, Unavailable

if TYPE_CHECKING:  # imported late where it is used, so that --help is quick
    from service.model.playbook import Remedy
    from service.settings import Settings

app = typer.Typer(
    help="Paramedic: diagnoses and remedies alerts, within limits, and proves that it worked.",
    epilog="First steps: `paramedic check`, then `paramedic serve`. "
    "`paramedic reference settings` lists the settings.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
app.add_typer(audit.app, name="audit")

app.add_typer(recover.app, name="recover")

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


def _how_far(remedy: "Remedy") -> str:
    """How far a rung goes by itself. One that writes nothing is a person's, whatever mode it
    has.
    """
    return remedy.do.kind.name if remedy.do.kind.name == "human" else remedy.mode.value


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
    """Run the service until SIGTERM or SIGINT. Settings come from PARAMEDIC_* and
    PARAMEDIC_CONFIG.
    """
    gc.disable()  # a start makes next to no garbage, and looking for it is a tenth of the start

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


# Seconds. The store's thread takes the interpreter's lock several times in a commit; with Python's
# 5 ms a busy event loop lets it wait each time: 2,900 against 3,800 webhooks a second, measured.
SWITCH_INTERVAL_S = 0.0005


async def _serve(settings: "Settings") -> str | None:
    from service.app import serving

    sys.setswitchinterval(SWITCH_INTERVAL_S)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(settings) as service:
        gc.freeze()  # what the start has made lives as long as the process: no collection walks it
        gc.enable()
        service.failed.add_done_callback(lambda _: stop.set())
        await stop.wait()
        service.intake.close()  # readiness says no while the endpoints are taken away
        return service.failed.result() if service.failed.done() else None


@app.command(epilog="Example: paramedic check rules/playbooks --json")
def check(
    folder: Folder = Path("rules/playbooks"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Check playbooks and the files beside them: every field, matcher, condition, type and action.

    Exit code 2 when something is wrong.
    """
    from service.act import KINDS
    from service.diagnose import CHAPTERS
    from service.playbooks import causes, quick
    from service.playbooks.load import load

    try:
        playbooks = load(folder, CHAPTERS, KINDS)
        causes.beside(folder, [p.name for p in playbooks])
        quick.beside(folder, CHAPTERS["quick"])
    except BadConfig as error:
        if as_json:
            typer.echo(json.dumps({"ok": False, "mistakes": str(error).splitlines()}))
            raise typer.Exit(2) from error
        mistakes = str(error).count("\n") + 1
        told = f"{error}\n{mistakes} mistake(s); nothing here is used before they are mended"
        raise _fail(BadConfig(told)) from error
    rows = [
        {"playbook": p.name, "diagnose": p.diagnose, "remedies": [f"{r.name} ({_how_far(r)})" for r in p.remedies],
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
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print one incident as a page for its post-mortem.")
    ] = False,
) -> None:
    """List incidents of a running service, or tell one incident's story."""
    from service.desk.markdown import page
    from service.desk.story import listing, story

    if as_markdown and (as_json or not incident):
        raise _fail(RuntimeError("--markdown goes with one incident's id, and without --json"))

    path = (
        f"/api/v1/incidents/{urllib.parse.quote(incident, safe='')}"
        if incident
        else "/api/v1/incidents"
    )
    found = _ask(url.rstrip("/") + path, token_file)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    elif as_markdown:
        rest = found
        while rest["more_after"] is not None and len(found["steps"]) < _MOST_STEPS:
            rest = _ask(f"{url.rstrip('/')}{path}?after={rest['more_after']}", token_file)
            found["steps"] += rest["steps"]
        typer.echo(page(found))
    elif incident:
        typer.echo(story(found))
    else:
        typer.echo(listing(found))


_MOST_STEPS = 1_000  # of a page


def _ask(
    url: str, token_file: Path | None, *, within_s: float = 10.0, failed: int = 1
) -> Any:  # Any: JSON
    """The service's answer; without one the exit code is `failed`."""
    try:
        request = urllib.request.Request(url)  # noqa: S310 - the operator's own URL
        if token_file:
            request.add_header("Authorization", f"Bearer {token_file.read_text().strip()}")
        with urllib.request.urlopen(request, timeout=within_s) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        hint = "; name the token with --token-file" if error.code == 401 and not token_file else ""
        told = error.read().decode(errors="replace")[:500]
        raise _fail(RuntimeError(f"{url}: {error.code} {told}{hint}"), failed) from error
    except urllib.error.URLError as error:
        problem = f"{url}: no answer ({error.reason}); is `paramedic serve` running there?"
        raise _fail(RuntimeError(problem), failed) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _fail(
            RuntimeError(f"{url}: {error}; is that the address of a Paramedic?"), failed
        ) from error


# Seconds that a running service is waited for: longer than its own deadline of
# a diagnosis usually is.
DIAGNOSIS_WITHIN_S = 60.0


@app.command(
    epilog="Examples:\n\n"
    "PARAMEDIC_KUBERNETES__KUBECONFIG=~/.kube/config paramedic diagnose\n\n"
    "paramedic diagnose --namespace carbon-ingestion --json\n\n"
    "paramedic diagnose --url http://127.0.0.1:9095 --token-file token"
)
def diagnose(
    namespace: Annotated[
        str | None,
        typer.Option(help="The namespace to look at; without it the first that is allowed."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON for scripts: the findings and all evidence.")
    ] = False,
    url: Annotated[
        str | None, typer.Option(help="Let the running service at this address look.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the bearer token, for --url.")
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Look from here, as without --url.")
    ] = False,
) -> None:
    """Look at a namespace now and tell what is wrong, worst first. It changes nothing.

    Without --url it looks from here, with the settings of PARAMEDIC_* and PARAMEDIC_CONFIG; which
    endpoints, logs and consumer groups it looks at is in quick.yaml beside the folder of playbooks.

    Exit code 0: nothing is wrong. 1: something is wrong. 2: it could not look (settings,
    credentials, a backend that is away) and nothing else is known to be wrong.
    """
    from service.desk import quick as room

    if (url and local) or (token_file and not url):
        told = "--url and --local exclude each other" if local else "--token-file goes with --url"
        raise _fail(RuntimeError(told))
    if namespace is not None and not re.fullmatch("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", namespace):
        raise _fail(RuntimeError(f"{namespace!r} is no name of a namespace"))
    found = _let_look(url, token_file, namespace) if url else _look(namespace)
    try:
        answer = room.from_json(found)
    except (KeyError, TypeError, ValueError) as error:
        told = f"{url}: this is no diagnosis; is that the address of a Paramedic?"
        raise _fail(RuntimeError(told)) from error
    typer.echo(json.dumps(found, indent=2) if as_json else room.as_text(answer), nl=as_json)
    raise typer.Exit(_EXIT_CODES[answer.outcome])


_EXIT_CODES = {"nothing_wrong": 0, "wrong": 1, "could_not_look": 2}


def _let_look(url: str, token_file: Path | None, namespace: str | None) -> Any:  # Any: JSON
    query = f"?namespace={namespace}" if namespace else ""
    path = f"{url.rstrip('/')}/api/v1/diagnose{query}"
    return _ask(path, token_file, within_s=DIAGNOSIS_WITHIN_S, failed=2)


def _look(namespace: str | None) -> Any:  # Any: JSON
    from rich.console import Console

    from service import backends
    from service import settings as room
    from service.desk.progress import ticking
    from service.desk.quick import as_json
    from service.diagnose.chapters.quick import CHAPTER
    from service.model.errors import ParamedicError
    from service.playbooks import quick
    from service.record import log

    try:
        settings = room.load()
        log.configure(settings.log_format, "error")
        parameters = quick.beside(settings.playbooks, CHAPTER)
        asked = namespace or next(iter(settings.guard.namespaces), "")
        if not asked:
            raise BadConfig("no namespace is allowed; name one with --namespace")
        with ticking(CHAPTER.evidence.groups(), Console(stderr=True)) as observe:
            answer, seen = asyncio.run(backends.looked_once(settings, parameters, asked, observe))
    except (BadConfig, ParamedicError) as error:
        raise _fail(error) from error
    return as_json(answer, seen)


@app.command(epilog="Example: paramedic rbac --namespace carbon-ingestion | kubectl apply -f -")
def rbac(
    folder: Folder = Path("rules/playbooks"),
    namespace: Annotated[
        list[str] | None, typer.Option(help="A namespace of the platform; again for several.")
    ] = None,
    clickhouse_user: Annotated[
        str | None, typer.Option(help="Print the GRANTs of this acting user of ClickHouse instead.")
    ] = None,
    secret_names: Annotated[
        bool,
        typer.Option(
            help="With the right to list Secrets, as the setting of this name needs it.",
            envvar="PARAMEDIC_KUBERNETES__SECRET_NAMES",
        ),
    ] = False,
) -> None:
    """Print the least rights that the playbooks need: Roles of the reading and the acting
    account.
    """
    from service import publish
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
    namespaces = namespace or ["carbon-ingestion"]
    made = rights.as_yaml(kinds, namespaces, also=publish.needs(), secret_names=secret_names)
    typer.echo(made, nl=False)


class Table(StrEnum):
    """What `reference` can print."""

    SETTINGS = "settings"
    METRICS = "metrics"
    REASONS = "reasons"
    GUARDS = "guards"
    PAGE = "page"


@app.command(epilog="Example: paramedic reference settings")
def reference(table: Annotated[Table, typer.Argument(help="Which table.")]) -> None:
    """Print every setting, metric, reason or guard as a table; `page` is docs/reference.md."""
    from service.desk import reference as room

    tables = {
        Table.SETTINGS: room.settings_table,
        Table.METRICS: room.metrics_table,
        Table.REASONS: room.reasons_table,
        Table.GUARDS: room.guards_table,
        Table.PAGE: room.page,
    }
    typer.echo(tables[table]().rstrip("\n"))


app.add_typer(control.app)
app.add_typer(breaker.app, name="breaker")
