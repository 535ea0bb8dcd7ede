"""A checkpoint as a line of JSON, and the file of them, only ever appended to.

An append-only file system attribute (`chattr +a`) on it works, and is worth it. What a
consumer of the topic (topic.py) writes to a file reads the same.
"""

import asyncio
import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from service.kit.deadline import Deadline
from service.model.audit import Checkpoint
from service.model.errors import BadConfig


class CheckpointFile:
    """A file as a place that keeps checkpoints."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self._path = path

    def newest(self) -> Checkpoint | None:
        """The last one that it has. Raises BadConfig."""
        return newest(self._path)

    async def keep(self, made: Checkpoint, *, deadline: Deadline) -> None:
        """Returns when it is on the disk. Raises OSError or Unavailable."""
        async with deadline.enforced(f"checkpoint file {self._path}"):
            await asyncio.to_thread(append, self._path, made)


def line_of(made: Checkpoint) -> str:
    """A checkpoint as it stands in every place, without an end of line."""
    return json.dumps({"at": made.at.isoformat(), "count": made.count, "hash": made.hash})


def append(path: Path, made: Checkpoint) -> None:
    """Adds a checkpoint, durably. Raises OSError."""
    with path.open("a") as file:
        file.write(line_of(made) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> Iterator[Checkpoint]:
    """The checkpoints of a file, in its order. Raises BadConfig;
    a last line that was cut off is left out.
    """
    try:
        with path.open() as file:
            for number, line in enumerate(file, 1):
                if not line.endswith("\n"):
                    return  # the process died in the middle of it
                yield _checkpoint(path, number, line)
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"checkpoint file {path}: {error}") from error


def newest(path: Path) -> Checkpoint | None:
    """The last checkpoint of a file; None where there is no file yet. Raises BadConfig."""
    if not path.exists():
        return None
    last = None
    for last in read(path):  # noqa: B007 - the last one is what is wanted
        pass
    return last


def _checkpoint(path: Path, number: int, line: str) -> Checkpoint:
    try:
        found = json.loads(line)
        return Checkpoint(
            int(found["count"]), str(found["hash"]), datetime.fromisoformat(found["at"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BadConfig(f"{path}:{number}: is not a checkpoint ({error})") from error
