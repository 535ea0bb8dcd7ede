"""Raising a container's memory limit, up to a written ceiling;
the rollout that follows is the workload's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from service.act import quantity
from service.act.kind import Deed, Hand, Kind, TargetState, Writers
from service.act.pod_template import TemplateHand, container_of, container_path, needs, ref_of
from service.model.action import Applied, NotPossible
from service.model.objects import Write
from service.model.reasons import Reason
from service.model.target import Target

Object = Mapping[str, Any]  # Any: the JSON of an API object


@dataclass(frozen=True, slots=True)
class MemoryArguments:
    """`from` is the limit that was seen, as Kubernetes writes it or in bytes."""

    container: str
    from_: str | int
    ceiling: str | int
    factor: Annotated[float, Field(gt=1, le=4, allow_inf_nan=False)] = 2.0


@dataclass(frozen=True, slots=True)
class PatchMemoryLimit:
    """Set a container's memory limit from the one that was seen to another.
    Idempotent: the limit is absolute.
    """

    target: Target
    container: str
    from_limit: str
    to_limit: str

    def __str__(self) -> str:
        change = f"from {self.from_limit} to {self.to_limit}"
        return f"set the memory limit of {self.container} in {self.target} {change}"


def plan(target: Target, arguments: MemoryArguments) -> PatchMemoryLimit | NotPossible:
    """The next limit, in whole Mi and never above the ceiling."""
    if target.workload is None:
        return NotPossible(Reason.TARGET_UNRESOLVED, f"{target} has no containers")
    if not arguments.container:
        detail = "which container? a pod may have several, and sidecars are none of ours"
        return NotPossible(Reason.CONTAINER_UNNAMED, detail)
    sizes = {name: _size(given) for name, given in _given(arguments).items()}
    for name, found in sizes.items():
        if found is None:
            given = str(_given(arguments)[name])[:60]
            detail = f"{name} is {given!r}: no size, or one without its unit (512Mi, 4Gi)"
            return NotPossible(Reason.BAD_QUANTITY, detail)
    seen, ceiling = sizes["from"] or 0, sizes["ceiling"] or 0
    wanted = _rounded(seen * arguments.factor, ceiling)
    if wanted <= seen:
        detail = f"the limit is {arguments.from_}, and the ceiling is {arguments.ceiling}"
        return NotPossible(Reason.AT_CEILING, detail)
    from_limit = _text(arguments.from_)
    return PatchMemoryLimit(target, arguments.container, from_limit, quantity.spelled(wanted))


def _given(arguments: MemoryArguments) -> Mapping[str, str | int]:
    return {"from": arguments.from_, "ceiling": arguments.ceiling}


def _size(given: str | int) -> int | None:
    return quantity.size(str(given).strip())


def _text(given: str | int) -> str:
    return quantity.spelled(given) if isinstance(given, int) else given.strip()


def _rounded(wanted: float, ceiling: int) -> int:
    up = -int(-wanted // quantity.MI) * quantity.MI
    # The server spells only whole Ki as it is told: a ceiling beside that is rounded down.
    return min(up, ceiling // quantity.KI * quantity.KI)


def look(request: PatchMemoryLimit, workload: Object) -> TargetState | Deed:
    """How the container's limit stands to the request. Requests never pass limits:
    the server would refuse.
    """
    container = container_of(workload, request.container)
    if isinstance(container, Deed):
        return container
    resources = container.get("resources") or {}
    limit = (resources.get("limits") or {}).get("memory")
    if limit is None:
        detail = f"container {request.container} has no memory limit: what ended it was the node"
        return Deed(Applied.FAILED, Reason.LIMIT_MISSING, detail)
    now = quantity.value(str(limit))
    if now == quantity.value(request.to_limit):
        return TargetState.APPLIED
    if now != quantity.value(request.from_limit):
        return TargetState.CHANGED
    wished, to = (resources.get("requests") or {}).get("memory"), quantity.size(request.to_limit)
    if wished is not None and (quantity.value(str(wished)) or 0) > (to or 0):
        detail = f"it requests {wished}, more than the limit of {request.to_limit} it would get"
        return Deed(Applied.FAILED, Reason.TARGET_CHANGED, detail)
    return TargetState.UNTOUCHED


def _patch(request: PatchMemoryLimit) -> Object:
    limits = {"limits": {"memory": request.to_limit}}
    return {"spec": {"containers": [{"name": request.container, "resources": limits}]}}


def _writes(request: PatchMemoryLimit, action_id: str) -> tuple[Write, ...]:
    path = container_path(request.container, "resources", "limits", "memory")
    return (Write(ref_of(request.target), path, request.to_limit),)


def _inverse(request: PatchMemoryLimit) -> PatchMemoryLimit:
    return PatchMemoryLimit(request.target, request.container, request.to_limit, request.from_limit)


def _bind(writers: Writers) -> Hand[PatchMemoryLimit] | None:
    return TemplateHand(writers.kubernetes, look, _patch) if writers.kubernetes else None


KIND = Kind(
    name="patch_memory_limit",
    arguments=MemoryArguments,
    request=PatchMemoryLimit,
    plan=plan,
    bind=_bind,
    needs=needs("spec.template.spec.containers[].resources.limits.memory"),
    writes=_writes,
    inverse=_inverse,
    interrupts=True,
)
