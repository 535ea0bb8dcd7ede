"""Is what was written still there? Pure: the fields that the ledger knows against the
objects as they stand now.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from service.model.objects import Survey, Write


def reverted(writes: Sequence[Write], surveys: Sequence[Survey]) -> str | None:
    """A sentence on the first object with a written field that is not as it was
    written; None: all last.
    """
    for survey in surveys:
        written = {w.key: w.value for w in writes if w.known and w.ref.path == survey.ref.path}
        if said := lasting(written, survey):
            return said
    return None


def lasting(written: Mapping[str, Any], survey: Survey) -> str | None:
    """None while every written field still is as it was written;
    else what it is now and who holds it.

    `written` has the values by the field's key (`Write.key`); None for a field that was taken away.
    """
    changed = list(_changed(written, survey))
    return f"{survey.ref}: {'; '.join(changed)}" if changed else None


def _changed(written: Mapping[str, Any], survey: Survey) -> Iterator[str]:
    for key, value in written.items():
        now = survey.values.get(key)
        if now == value:
            continue
        holder = survey.holders.get(key)
        # A revert erases our own entry, and a write through /scale may leave
        # none at all (recorded).
        who = "who did it is unknown"
        if holder is not None:
            by = f" (as {holder.manager})" if holder.manager not in ("", holder.name) else ""
            who = f"it is held by {holder.name}{by}"
        yield f"{key} is {_shown(now)}, and {_shown(value)} was written: {who}"


def _shown(value: Any) -> str:
    return "not there" if value is None else json.dumps(value)[:200]
