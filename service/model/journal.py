"""The journal as it is read again: a step with its number, for whoever follows what happens."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One step of an incident. `id` grows with time and is never given twice;
    `data` is as `model/step.py` has it.

    The kind `again` stands for any number of looks that have changed nothing;
    it is written anew at each of them.
    """

    id: int
    incident_id: str
    playbook: str
    target: str  # its key
    at: datetime
    kind: str
    data: Mapping[str, Any]  # Any: JSON
