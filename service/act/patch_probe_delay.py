"""Giving a container more time before its probe begins: a slow start is not to be killed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from service.act.kind import Deed, Hand, Kind, TargetState, Writers
from service.act.pod_template import TemplateHand, container_of, container_path, needs, ref_of
from service.model.action import Applied, NotPossible
from service.model.objects import Write
from service.model.reasons import Reason
from service.model.target import Target

Object = Mapping[str, Any]  # Any: the JSON of an API object
Probe = Literal["liveness", "readiness", "startup"]

_LONGEST_S = 900


@dataclass(frozen=True, slots=True)
class ProbeArguments:
    """`from_s` is the delay that was seen; Kubernetes has 0 where none is written."""

    container: str
    probe: Probe
    to_s: Annotated[int, Field(gt=0, le=_LONGEST_S)]
    from_s: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True, slots=True)
class PatchProbeDelay:
    """Set initialDelaySeconds from what was seen to another. Idempotent: the delay is absolute."""

    target: Target
    container: str
    probe: Probe
    from_s: int
    to_s: int

    def __str__(self) -> str:
        change = f"from {self.from_s} s to {self.to_s} s"
        return (
            f"let the {self.probe} probe of {self.container} in {self.target} begin later, {change}"
        )


def plan(target: Target, arguments: ProbeArguments) -> PatchProbeDelay | NotPossible:
    """A later begin; never an earlier one."""
    if target.workload is None:
        return NotPossible(Reason.TARGET_UNRESOLVED, f"{target} has no containers")
    if not arguments.container:
        return NotPossible(Reason.CONTAINER_UNNAMED, "which container? a pod may have several")
    if arguments.to_s <= arguments.from_s:
        detail = f"the delay is {arguments.from_s} s, and {arguments.to_s} s would be no more"
        return NotPossible(Reason.AT_CEILING, detail)
    return PatchProbeDelay(
        target, arguments.container, arguments.probe, arguments.from_s, arguments.to_s
    )


def look(request: PatchProbeDelay, workload: Object) -> TargetState | Deed:
    """How the probe's delay stands to the request."""
    container = container_of(workload, request.container)
    if isinstance(container, Deed):
        return container
    probe = container.get(f"{request.probe}Probe")
    if not isinstance(probe, Mapping):
        detail = f"container {request.container} has no {request.probe} probe"
        return Deed(Applied.FAILED, Reason.PROBE_MISSING, detail)
    delay_s = int(probe.get("initialDelaySeconds") or 0)
    if delay_s == request.to_s:
        return TargetState.APPLIED
    return TargetState.UNTOUCHED if delay_s == request.from_s else TargetState.CHANGED


def _patch(request: PatchProbeDelay) -> Object:
    probe = {"initialDelaySeconds": request.to_s}
    return {"spec": {"containers": [{"name": request.container, f"{request.probe}Probe": probe}]}}


def _writes(request: PatchProbeDelay, action_id: str) -> tuple[Write, ...]:
    path = container_path(request.container, f"{request.probe}Probe", "initialDelaySeconds")
    # The server leaves a 0 out.
    return (Write(ref_of(request.target), path, request.to_s or None),)


def _inverse(request: PatchProbeDelay) -> PatchProbeDelay:
    return PatchProbeDelay(
        request.target, request.container, request.probe, request.to_s, request.from_s
    )


def _bind(writers: Writers) -> Hand[PatchProbeDelay] | None:
    return TemplateHand(writers.kubernetes, look, _patch) if writers.kubernetes else None


KIND = Kind(
    name="patch_probe_delay",
    arguments=ProbeArguments,
    request=PatchProbeDelay,
    plan=plan,
    bind=_bind,
    needs=needs("spec.template.spec.containers[].*Probe.initialDelaySeconds"),
    writes=_writes,
    inverse=_inverse,
    interrupts=True,
)
