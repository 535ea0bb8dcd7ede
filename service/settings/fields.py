"""What settings are made of: a group that refuses unknown names,
a file that has to be there, a list in one text.
"""

import json
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


class Group(BaseModel):
    """Settings of one concern. Frozen: a change is a restart."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _readable(path: Path) -> Path:
    if not path.is_file():
        raise ValueError("no such file")  # not the value: a secret may stand in its place
    return path


File = Annotated[Path, AfterValidator(_readable)]


def listed(value: object) -> object:
    """`a,b` or a JSON list, as an environment variable writes a list."""
    if isinstance(value, str) and value.startswith("["):
        return json.loads(value)
    return (
        [part.strip() for part in value.split(",") if part.strip()]
        if isinstance(value, str)
        else value
    )
