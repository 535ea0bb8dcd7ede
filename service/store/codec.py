"""Values to JSON columns and back."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from service.model.action import Kinds, Request


def plain(value: object) -> Any:
    """JSON types for any of the model's frozen values (Any: that is what a JSON column takes)."""
    return to_jsonable_python(value)


def request_from(kinds: Kinds, name: str, request: Mapping[str, Any]) -> Request:
    """The request that the ledger remembers. Raises LookupError for a kind
    that is not there any more.
    """
    known = kinds.get(name)
    if known is None:
        raise LookupError(f"no kind of action is called {name!r}")
    made: Request = _adapter(known.request).validate_python(request)
    return made


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}  # building one takes milliseconds


def _adapter(request: type[Any]) -> TypeAdapter[Any]:
    if request not in _ADAPTERS:
        _ADAPTERS[request] = TypeAdapter(request)
    return _ADAPTERS[request]
