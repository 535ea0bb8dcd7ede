"""Values to JSON columns and back. Called by the files of this room only."""

from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from service.model.action import Action, KillQuery, RolloutRestart, Scale

_ACTIONS: dict[str, TypeAdapter[Any]] = {
    kind.kind: TypeAdapter(kind) for kind in (Scale, RolloutRestart, KillQuery)
}


def plain(value: object) -> Any:
    """JSON types for any of the model's frozen values (Any: that is what a JSON column takes)."""
    return to_jsonable_python(value)


def action_from(kind: str, request: dict[str, Any]) -> Action:
    """The action that the ledger remembers."""
    action: Action = _ACTIONS[kind].validate_python(request)
    return action
