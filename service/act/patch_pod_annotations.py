"""Setting annotations of the pod template, of an allowed prefix only:
`prometheus.io/scrape` that went missing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from service.act.kind import Deed, Hand, Kind, TargetState, Writers
from service.act.objects import annotations_of
from service.act.pod_template import ANNOTATIONS, TemplateHand, needs, ref_of
from service.model.action import NotPossible
from service.model.objects import Write
from service.model.reasons import Reason
from service.model.target import Target

Object = Mapping[str, Any]  # Any: the JSON of an API object

_KEY = re.compile(
    r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
# These change how Kubernetes, a mesh or this service treats a pod.
_RESERVED = ("kubernetes.io/", "k8s.io/", "paramedic.dev/")


@dataclass(frozen=True, slots=True)
class AnnotationsArguments:
    """`annotations` to set; `from` are those that were seen under the same names,
    none where it was missing.
    """

    annotations: Annotated[dict[str, str], Field(min_length=1, max_length=10)]
    from_: dict[str, str] = field(default_factory=dict)
    prefixes: tuple[str, ...] = ("prometheus.io/",)


@dataclass(frozen=True, slots=True)
class PatchPodAnnotations:
    """Set annotations from what was seen to others; None takes one away. Idempotent:
    the values are absolute.
    """

    target: Target
    from_: Mapping[str, str | None]
    to: Mapping[str, str | None]

    def __str__(self) -> str:
        change = ", ".join(f"{key}={value}" for key, value in self.to.items())
        return f"annotate the pods of {self.target}: {change}"


def plan(target: Target, arguments: AnnotationsArguments) -> PatchPodAnnotations | NotPossible:
    """The annotations, each of an allowed prefix."""
    if target.workload is None:
        return NotPossible(Reason.TARGET_UNRESOLVED, f"{target} has no pod template")
    for key, value in arguments.annotations.items():
        if why := _refused(key, arguments.prefixes):
            return NotPossible(Reason.ARGUMENT_OUT_OF_BOUNDS, why)
        if len(value) > 256:
            detail = f"the value of {key} has {len(value)} characters; 256 are allowed"
            return NotPossible(Reason.ARGUMENT_OUT_OF_BOUNDS, detail)
    before = {key: arguments.from_.get(key) for key in arguments.annotations}
    return PatchPodAnnotations(target, before, dict(arguments.annotations))


def _refused(key: str, prefixes: tuple[str, ...]) -> str | None:
    if not _KEY.fullmatch(key):
        return f"{key[:80]!r} is no name of an annotation; write prefix/name"
    domain = key.partition("/")[0] + "/"
    if any(domain == reserved or domain.endswith("." + reserved) for reserved in _RESERVED):
        return f"{key} is Kubernetes' own, or this service's"
    if not any(prefix.endswith("/") and key.startswith(prefix) for prefix in prefixes):
        return f"{key} has none of the allowed prefixes: {', '.join(prefixes)}"
    return None


def look(request: PatchPodAnnotations, workload: Object) -> TargetState | Deed:
    """How the annotations stand to the request; some as before and some as wanted is untouched."""
    now = annotations_of(workload, "spec", "template")
    if all(now.get(key) == value for key, value in request.to.items()):
        return TargetState.APPLIED
    known = all(now.get(key) in (value, request.from_[key]) for key, value in request.to.items())
    return TargetState.UNTOUCHED if known else TargetState.CHANGED


def _patch(request: PatchPodAnnotations) -> Object:
    return {"metadata": {"annotations": dict(request.to)}}


def _writes(request: PatchPodAnnotations, action_id: str) -> tuple[Write, ...]:
    ref = ref_of(request.target)
    return tuple(Write(ref, (*ANNOTATIONS, key), value) for key, value in request.to.items())


def _inverse(request: PatchPodAnnotations) -> PatchPodAnnotations:
    return PatchPodAnnotations(request.target, request.to, request.from_)


def _bind(writers: Writers) -> Hand[PatchPodAnnotations] | None:
    return TemplateHand(writers.kubernetes, look, _patch) if writers.kubernetes else None


KIND = Kind(
    name="patch_pod_annotations",
    arguments=AnnotationsArguments,
    request=PatchPodAnnotations,
    plan=plan,
    bind=_bind,
    needs=needs("spec.template.metadata.annotations"),
    writes=_writes,
    inverse=_inverse,
    interrupts=True,
)
