"""The body of what somebody says over HTTP: read, bounded, and a map. Never here: what it says."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from aiohttp import web
from pydantic_core import from_json

from service.model.errors import BadInput
from service.model.reasons import Reason

_LARGEST = 64 * 1024  # bytes

Body: TypeAlias = Mapping[str, Any]  # Any: JSON as it comes in


async def read_map(request: web.Request) -> Body:
    """The body as a map. Raises BadInput for anything else."""
    raw = bytearray()
    async for chunk in request.content.iter_any():
        raw += chunk
        if len(raw) > _LARGEST:
            raise BadInput(Reason.TOO_LARGE, f"at most {_LARGEST} bytes are read")
    try:
        body = from_json(bytes(raw), allow_inf_nan=False)
    except ValueError as wrong:
        raise BadInput(Reason.NOT_JSON, f"not valid JSON: {wrong}") from wrong
    if not isinstance(body, dict):
        raise BadInput(Reason.WRONG_SHAPE, 'the body has to be a map, as in {"why": "..."}')
    return body


def text(body: Body, name: str) -> str:
    """A text that is there, and not blank. Raises BadInput otherwise."""
    value = body.get(name)
    if not isinstance(value, str) or not value.strip():
        raise BadInput(Reason.WRONG_SHAPE, f"`{name}` is missing: it has to be a text")
    return value
