"""`paramedic audit verify` and `paramedic audit export`: they read the store
beside the running service.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from service.model.audit import ExportFormat
from service.model.errors import BadConfig, Unavailable

if TYPE_CHECKING:  # imported late where it is used, so that --help is quick
    from service.audit.keys import Keys
    from service.audit.verify import Verified

app = typer.Typer(
    help="Verify the audit chain, and export the journal. The service may run meanwhile.",
    no_args_is_help=True,
)

Store = Annotated[
    str | None, typer.Option("--store", help="The store's URL; without it that of the settings.")
]


@app.command(
    "verify",
    epilog="Example: paramedic audit verify --checkpoint /mnt/other/checkpoints.jsonl\n\n"
    "Checkpoints of a topic: kafka-console-consumer.sh --bootstrap-server KAFKA:9092 --topic TOPIC"
    " --from-beginning --timeout-ms 10000 > checkpoints.jsonl\n\n"
    "Exit code 0: the chain is good. 1: it is not, and the first wrong row is named. 2: it could not be read.",
)
def verify_command(
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="File of checkpoints, or what was consumed from their topic;"
            " without it the file of the settings, if one is set."
        ),
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(help="File of the audit keys; without it that of the settings.")
    ] = None,
    store: Store = None,
) -> None:
    """Find an edit, a reordering, a deletion, a truncation, a downgrade or another key's
    hand in the audit chain.

    Without a file of checkpoints a truncation is only found where the store
    itself still tells of it.
    """
    from service import settings as room
    from service.audit import keys

    try:
        settings = room.load()
        key_path = key_file or settings.audit.key_file
        if key_path is None:
            raise BadConfig("no audit key: set PARAMEDIC_AUDIT__KEY_FILE, or name --key-file")
        known = keys.read(key_path)
        seen = checkpoint or settings.audit.checkpoint_file
        found = asyncio.run(_verified(store or settings.store.url, known, seen))
    except (BadConfig, Unavailable) as error:
        raise _fail(error) from error
    if found.finding is not None:
        typer.secho(f"{found.finding}", fg=typer.colors.RED)
        typer.echo(f"{found.count} lines before it are good")
        raise typer.Exit(1)
    typer.secho(f"{found.count} lines good, the last is {found.head or 'none'}", fg="green")
    if seen is None:
        typer.echo("without a file of checkpoints: lines cut off at the end may go unnoticed")


async def _verified(url: str, known: "Keys", seen: Path | None) -> "Verified":
    from service.audit import checkpoints
    from service.audit.verify import verify
    from service.store.audit import AuditReader
    from service.store.reading import reading

    async with reading(url) as opened:
        reader = AuditReader(opened)
        total, _ = await reader.head()
        with _progress("verifying", total) as tick:
            return await verify(reader, known, checkpoints.read(seen) if seen else (), tick)


@app.command(
    "export",
    epilog="Example: paramedic audit export --from 2026-11-23T18:00 --to 2026-11-24T06:00 --format csv -o night.csv",
)
def export_command(
    from_at: Annotated[
        str | None, typer.Option("--from", help="First instant, ISO 8601; UTC where it says none.")
    ] = None,
    to_at: Annotated[str | None, typer.Option("--to", help="First instant after it.")] = None,
    form: Annotated[
        ExportFormat, typer.Option("--format", help="jsonl or csv.")
    ] = ExportFormat.JSONL,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; without it standard output.")
    ] = None,
    store: Store = None,
) -> None:
    """Export the steps of a time, each with the line of the audit chain that authenticates it."""
    from service import settings as room

    try:
        url = store or room.load().store.url
        begin, end = _instant("--from", from_at), _instant("--to", to_at)
        with output.open("w", newline="") if output else nullcontext(sys.stdout) as out:
            count = asyncio.run(_exported(url, out, form, begin, end))
    except (BadConfig, Unavailable, OSError) as error:
        raise _fail(error) from error
    typer.echo(f"{count} steps", err=True)


async def _exported(
    url: str, out: TextIO, form: ExportFormat, begin: datetime | None, end: datetime | None
) -> int:
    from service.audit.export import export
    from service.store.audit import AuditReader
    from service.store.reading import reading

    async with reading(url) as opened:
        reader = AuditReader(opened)
        total = await reader.count_between(begin, end) if sys.stderr.isatty() else 0
        with _progress("exporting", total) as tick:
            return await export(reader, out, form, begin, end, tick)


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.update(task, completed=count)


def _instant(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadConfig(f"{option} {text!r}: write an instant as 2026-11-23T18:00") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _fail(error: Exception) -> typer.Exit:
    typer.secho(str(error), fg=typer.colors.RED, err=True)
    return typer.Exit(2)
