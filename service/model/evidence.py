"""What was seen. A reading is Known or Unknown, and always says from where, when and how long it took.

Each chapter of the playbook has one evidence type: a dataclass whose fields are readings, one per probe. Its
field names, and those of the reading's value, are what conditions may name: `evidence.kafka.lag_total`. The
types of the values stand beside the probes that read them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Generic, TypeAlias, TypeVar

from service.model.objects import Seen
from service.model.reasons import Reason

V_co = TypeVar("V_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Known(Generic[V_co]):
    """A probe's answer: the value, the source it was read from, when it was read and how long that took."""

    value: V_co
    source: str
    at: datetime
    took_s: float


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer, and why. It never argues for acting."""

    reason: Reason
    source: str
    at: datetime
    took_s: float
    detail: str = ""


Reading: TypeAlias = Known[V_co] | Unknown


@dataclass(frozen=True, slots=True)
class Evidence:
    """Base of the chapters' evidence types: each field holds a `Reading`; the target is read with every chapter."""

    target: Reading[Seen]

    @classmethod
    def groups(cls) -> tuple[str, ...]:
        """Names of the readings, in the order in which they are shown."""
        return tuple(f.name for f in fields(cls))

    def readings(self) -> Mapping[str, Reading[object]]:
        """Every reading by its name."""
        return {name: getattr(self, name) for name in self.groups()}


# A condition's view of the evidence: plain maps, with what is Unknown left out (see playbooks/conditions.py).
Facts: TypeAlias = Mapping[str, Any]  # Any: CEL takes any nesting of maps, lists and scalars


def facts(evidence: Evidence) -> Facts:
    """The evidence as conditions see it: Known fields only, so that naming an Unknown one is no answer.

    A value of None inside a Known reading is Unknown too, and left out as well. Instants and durations stay
    what they are: CEL compares them.
    """
    seen: dict[str, Any] = {}
    for name, reading in evidence.readings().items():
        shown = plain(reading.value) if isinstance(reading, Known) else None
        seen[name] = {} if shown is None else shown
    return seen


def plain(value: object) -> Any:  # Any: see Facts
    """A reading's value as maps, lists and scalars. Raises TypeError for what CEL has no form for."""
    if value is None or isinstance(value, bool | int | float | str | datetime | timedelta):
        return value.value if isinstance(value, Enum) else value
    if is_dataclass(value) and not isinstance(value, type):
        return _known({f.name: getattr(value, f.name) for f in fields(value)})
    if isinstance(value, Mapping):
        return _known({str(key): item for key, item in value.items()})
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value if item is not None]
    raise TypeError(f"{type(value).__name__} has no form in a condition")


def _known(items: Mapping[str, object]) -> dict[str, Any]:
    return {name: plain(item) for name, item in items.items() if item is not None}
