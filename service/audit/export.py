"""The journal of a time as JSON lines or CSV, page by page: a million steps take no
more memory than a thousand.
"""

import csv
import io
import json
from collections.abc import Callable
from datetime import datetime
from typing import TextIO

from service.model.audit import ExportFormat
from service.model.journal import JournalEntry
from service.store.audit import AuditReader

_PAGE = 200
COLUMNS = ("id", "at", "incident", "playbook", "target", "kind", "data", "line", "mac")


async def export(
    store: AuditReader,
    out: TextIO,
    form: ExportFormat,
    from_at: datetime | None,
    to_at: datetime | None,
    progress: Callable[[int], None] = lambda count: None,
) -> int:
    """Writes the steps from `from_at` up to but not at `to_at`; how many.
    Raises Unavailable, OSError.
    """
    written, last = 0, 0
    if form is ExportFormat.CSV:
        out.write(",".join(COLUMNS) + "\r\n")
    while page := await store.steps_between(from_at, to_at, last, _PAGE):
        out.write("".join(_row(form, *found) for found in page))
        last = page[-1][0].id
        written += len(page)
        progress(written)
    return written


def _row(form: ExportFormat, step: JournalEntry, line: int | None, mac: str | None) -> str:
    values = (
        step.id, f"{step.at:%Y-%m-%dT%H:%M:%S.%fZ}", step.incident_id, step.playbook, step.target,
        step.kind, step.data, line, mac,
    )  # fmt: skip
    if form is ExportFormat.JSONL:
        return json.dumps(dict(zip(COLUMNS, values, strict=True)), separators=(",", ":")) + "\n"
    told = io.StringIO()
    csv.writer(told).writerow([_cell(value) for value in values])
    return told.getvalue()


def _cell(value: object) -> str:
    """A cell. A spreadsheet takes what begins with one of these for a formula,
    and a label's text is a stranger's.
    """
    if isinstance(value, dict):
        return json.dumps(value, separators=(",", ":"))
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
