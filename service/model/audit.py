"""The audit chain's nouns: a line of it, a checkpoint, and what a verification can find."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class LineKind(StrEnum):
    """What a line of the chain is about."""

    STEP = "step"  # a step of the journal, whole
    BEGUN = "begun"  # a step that later looks are folded into: what of it will not change
    FOLDED = "folded"  # the same step, once nothing is folded into it any more, whole
    PRUNED = "pruned"  # steps whose time was over, and that were deleted


@dataclass(frozen=True, slots=True)
class AuditLine:
    """A line. `mac` is over everything above it and the line before; the last two are in no
    hash.
    """

    seq: int  # 1, 2, 3 ...
    kind: str
    step_id: int | None
    incident_id: str | None
    at: datetime  # when it was chained
    digest: str  # SHA-256 of the step's content, or of `data`
    data: Mapping[str, Any] | None  # Any: JSON; of a line about the chain itself
    algorithm: str
    key_id: str
    mac: str
    unfinished: bool = False
    pruned: int | None = None  # the line that tells of the step's pruning


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How long the chain was at a time, and the last line's MAC,
    which stands for all lines up to it.
    """

    count: int
    hash: str
    at: datetime


class Forgery(StrEnum):
    """What is wrong with the first wrong row."""

    EDITED = "edited"  # a step is not what was chained
    ALTERED = "altered"  # a line of the chain is not what was written
    REORDERED = "reordered"  # the line that belongs here stands further down
    DELETED = "deleted"  # a line, or the step that it is about, is gone and was not pruned
    INSERTED = "inserted"  # a step that was never chained stands among those that were
    TRUNCATED = "truncated"  # the chain is shorter than it was
    ALGORITHM = "algorithm"  # a line that claims another algorithm
    KEY = "key"  # a line by a key that is not ours, or by one that had been replaced
    REWRITTEN = "rewritten"  # a good line that is not the one that a checkpoint has seen


@dataclass(frozen=True, slots=True)
class Finding:
    """The first wrong row of a chain."""

    forgery: Forgery
    seq: int
    step_id: int | None
    detail: str

    def __str__(self) -> str:
        step = f", step {self.step_id}" if self.step_id is not None else ""
        return f"line {self.seq}{step}: {self.forgery}: {self.detail}"


class ExportFormat(StrEnum):
    """How the journal is exported."""

    JSONL = "jsonl"
    CSV = "csv"
