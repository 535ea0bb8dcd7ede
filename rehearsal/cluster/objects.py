"""What a Kubernetes object is in this room, and the few things everybody asks of one.

Never here: anything that changes an object or knows a kind.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

Object = dict[str, Any]
"""JSON of some kind. Not a model: the emulator must hand back fields that it does not
know, as the server does.
"""


_T = TypeVar("_T")


def clone(value: _T) -> _T:
    """A deep copy of JSON: three times as fast as copy.deepcopy,
    and most of what a write costs here.
    """
    return cast("_T", _cloned(value))


def _cloned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cloned(item) for key, item in value.items()}
    return [_cloned(item) for item in value] if isinstance(value, list) else value


def name_of(obj: Object) -> str:
    return str(obj["metadata"].get("name", ""))


def namespace_of(obj: Object) -> str:
    return str(obj["metadata"].get("namespace", ""))


def uid_of(obj: Object) -> str:
    return str(obj["metadata"].get("uid", ""))


def is_terminating(obj: Object) -> bool:
    return "deletionTimestamp" in obj["metadata"]


def owner_of(obj: Object, kind: str) -> Object | None:
    """The controlling owner reference, when it is of that kind."""
    for reference in obj["metadata"].get("ownerReferences", []):
        if reference.get("controller") and reference["kind"] == kind:
            return dict(reference)
    return None


def condition(obj: Object, kind: str) -> Object | None:
    for entry in obj.get("status", {}).get("conditions", []):
        if entry["type"] == kind:
            return dict(entry)
    return None


def is_ready(pod: Object) -> bool:
    found = condition(pod, "Ready")
    return found is not None and found["status"] == "True"


def without_zeros(status: Object, keep: tuple[str, ...] = ()) -> Object:
    """The server leaves out what is 0, empty or false, but for the fields that its
    types do not mark omitempty.
    """
    return {field: value for field, value in status.items() if value or field in keep}


def stamp(instant: datetime) -> str:
    """metav1.Time: whole seconds."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_stamp(instant: datetime) -> str:
    """metav1.MicroTime: exactly six digits of a second."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_stamp(text: str) -> datetime:
    return datetime.fromisoformat(text)


def short_hash(value: Any, length: int = 10) -> str:
    """A name suffix in the alphabet that Kubernetes uses: no vowels, so that no words come out."""
    alphabet = "bcdfghjklmnpqrstvwxz2456789"
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    return "".join(alphabet[byte % len(alphabet)] for byte in digest[:length])
