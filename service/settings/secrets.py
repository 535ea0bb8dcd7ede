"""Secrets, which come from files only."""

from pathlib import Path

from service.model.errors import Unavailable
from service.model.reasons import Reason


def secret(path: Path | None) -> str | None:
    """The content of a secret file without its last newline;
    read anew at each call, so rotation works.

    Raises Unavailable(credentials_unreadable), as in the moment in which a file is being replaced.
    """
    try:
        return path.read_text().rstrip("\r\n") if path else None
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(Reason.CREDENTIALS_UNREADABLE, f"{path}: {error}") from error
