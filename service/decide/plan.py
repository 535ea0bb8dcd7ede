"""From a rung's arguments and the evidence to one concrete request,
or the reason why there is none.

It knows no kind of action: all evidence enters through the arguments,
and the bounds are the kind's own.
"""

from collections.abc import Mapping
from typing import Any

from service.model.action import NotPossible, Request
from service.model.playbook import Argument, Do, Template
from service.model.reasons import Reason
from service.model.target import Target


class _Missing(Exception):
    """A template has no value: what it needs is Unknown."""


def plan(do: Do, target: Target, view: Mapping[str, Any]) -> Request | NotPossible:
    """The request with every template filled from the evidence, checked against the kind's
    bounds.
    """
    # A person's sentence and command name the target as much as the evidence.
    view = {**view, "target": target.view}
    try:
        filled = {name: _filled(value, view) for name, value in do.arguments.items()}
    except _Missing as missing:
        return NotPossible(Reason.EVIDENCE_UNKNOWN, f"{missing} is not known")
    try:
        arguments = do.check(filled)
    except ValueError as error:
        return NotPossible(Reason.ARGUMENT_OUT_OF_BOUNDS, str(error)[:500])
    planned: Request | NotPossible = do.kind.plan(target, arguments)
    return planned


def _filled(value: Argument, view: Mapping[str, Any]) -> Any:  # Any: a plain value of any shape
    if isinstance(value, Mapping):
        return {key: _filled(item, view) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(item, view) for item in value]
    if not isinstance(value, Template):
        return value
    filled = value.render(view)
    if filled is None:
        raise _Missing(value.text)
    return filled
