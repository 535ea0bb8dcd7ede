"""What was seen. A reading is Known or Unknown, and always says from where,
when and how long it took.

Each chapter of the playbook has one evidence type: a dataclass whose fields are readings, one per
probe. Its field names, and those of the reading's value, are what conditions may name:
`evidence.kafka.lag_total`. The types of the values stand beside the probes that read them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any, Generic, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from service.model.objects import Seen
from service.model.reasons import Reason

V_co = TypeVar("V_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Known(Generic[V_co]):
    """A probe's answer: the value, the source it was read from,
    when it was read and how long that took.
    """

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
    """Base of the chapters' evidence types: each field holds a `Reading`;
    the target is read with every chapter.
    """

    target: Reading[Seen]

    @classmethod
    def groups(cls) -> tuple[str, ...]:
        """Names of the readings, in the order in which they are shown."""
        return tuple(f.name for f in fields(cls))

    def readings(self) -> Mapping[str, Reading[object]]:
        """Every reading by its name."""
        return {name: getattr(self, name) for name in self.groups()}

    def seen_at(self, now: datetime) -> datetime:
        """As old as its oldest reading that is Known; `now` where none is."""
        return min((r.at for r in self.readings().values() if isinstance(r, Known)), default=now)


# The reading whose fields a playbook declares itself:
# Prometheus queries by name, under `with.series`.
SERIES = "series"

# A condition's view of the evidence: plain maps, with what is Unknown left out (see
# playbooks/conditions.py).
Facts: TypeAlias = Mapping[str, Any]  # Any: CEL takes any nesting of maps, lists and scalars


def shapes(evidence: type[Evidence]) -> Mapping[str, Any]:  # Any: a type hint is any object
    """The type of each reading's value, by the reading's name."""
    return _shapes(evidence)  # type: ignore[arg-type]  # a type has a hash, whatever its objects have


@cache
def _shapes(
    evidence: Any,
) -> Mapping[str, Any]:  # Any: mypy takes a dataclass's type for no Hashable
    found: dict[str, Any] = {}
    for name, reading in get_type_hints(evidence).items():
        known = next(a for a in (reading, *get_args(reading)) if get_origin(a) is Known)
        (found[name],) = get_args(known)
    return found


def facts(evidence: Evidence) -> Facts:
    """The evidence as conditions see it: Known fields only,
    so that naming an Unknown one is no answer.

    A value of None inside a Known reading is Unknown too, and left out as well.
    Instants and durations stay what they are: CEL compares them.
    """
    seen: dict[str, Any] = {}
    for name, reading in evidence.readings().items():
        if isinstance(reading, Known) and reading.value is not None:
            seen[name] = plain(reading.value)
        elif name == SERIES or is_dataclass(shapes(type(evidence))[name]):
            seen[name] = {}  # so that `has(evidence.kafka.lag)` is false, and not an error
        # A list or a map that is Unknown may not look empty: it is left out as a whole.
    return seen


def plain(value: object) -> Any:  # Any: see Facts
    """A reading's value as maps, lists and scalars. Raises TypeError for what CEL has no form
    for.
    """
    if type(value) in _SCALARS:  # nearly always, and asked of each field of each reading
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, bool | int | float | str | datetime | timedelta):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        shown = _known({name: getattr(value, name) for name in _names(type(value))})
        # CEL adds no int to a double: a count of 0 in a field of floats has to be 0.0.
        return shown | {n: float(shown[n]) for n in _floats(type(value)) if n in shown}
    if isinstance(value, Mapping):
        return _known({str(plain(key)): item for key, item in value.items()})
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value if item is not None), key=str)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value if item is not None]
    raise TypeError(f"{type(value).__name__} has no form in a condition")


_SCALARS = frozenset({bool, int, float, str, datetime, timedelta})


@cache
def _names(kind: Any) -> tuple[str, ...]:  # Any: see _shapes
    return tuple(f.name for f in fields(kind))


@cache
def _floats(kind: type) -> tuple[str, ...]:
    return tuple(n for n, h in get_type_hints(kind).items() if h in (float, float | None))


def _known(items: Mapping[str, object]) -> dict[str, Any]:
    return {name: plain(item) for name, item in items.items() if item is not None}


# In JSON an instant, a duration and a number that JSON does not have are maps of one key with a
# `$`; a key that begins with one gets another in front.
_INSTANT, _DURATION, _FLOAT = "$instant", "$duration", "$float"


def to_json(value: Any) -> Any:  # Any: facts, and JSON values
    """Facts as a JSON column takes them. Exactly these facts come back from `from_json`."""
    match value:
        case datetime():
            return {_INSTANT: value.isoformat()}
        case timedelta():
            return {_DURATION: [value.days, value.seconds, value.microseconds]}
        case float() if not math.isfinite(value):
            return {_FLOAT: str(value)}
        case Mapping():
            return {f"${k}" if k.startswith("$") else k: to_json(v) for k, v in value.items()}
        case list() | tuple():
            return [to_json(item) for item in value]
        case _:
            return value


def from_json(value: Any) -> Any:  # Any: see to_json
    """The facts that `to_json` wrote. Raises ValueError or TypeError for a
    tag that it never writes.
    """
    match value:
        case {"$instant": text, **rest} if not rest:
            return datetime.fromisoformat(text)
        case {"$duration": [days, seconds, microseconds], **rest} if not rest:
            return timedelta(days, seconds, microseconds)
        case {"$float": text, **rest} if not rest:
            return float(text)
        case Mapping():
            return {k[1:] if k.startswith("$") else k: from_json(v) for k, v in value.items()}
        case list():
            return [from_json(item) for item in value]
        case _:
            return value
