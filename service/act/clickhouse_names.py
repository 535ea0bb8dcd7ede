"""Names that go into a ClickHouse statement as they are: checked,
because identifiers cannot be bound as values.

Pure. Never here: a statement.
"""

import re

from service.model.action import NotPossible
from service.model.reasons import Reason

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_BACKUP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


def identifier(what: str, name: str) -> NotPossible | None:
    """Why `name` is no database, table or disk; None when it may stand in a statement."""
    if _IDENTIFIER.fullmatch(name):
        return None
    return NotPossible(Reason.BAD_NAME, f"{name[:80]!r} is no name of a {what}")


def backup(name: str) -> NotPossible | None:
    """Why `name` is no backup on a disk: no folder of another one, no way up."""
    if _BACKUP.fullmatch(name) and ".." not in name:
        return None
    return NotPossible(Reason.BAD_NAME, f"{name[:80]!r} is no name of a backup")
