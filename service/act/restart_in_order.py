"""Restarting several workloads in a written order, each rollout complete before
the next begins: a course.

Never here: the steps themselves (saga/outage.py), or doing one (`rollout_restart`).
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from service.act import rollout_restart
from service.act.kind import Kind, Writers
from service.act.pod_template import workload_of
from service.model.action import NotPossible
from service.model.course import CourseStep
from service.model.reasons import Reason
from service.model.target import Target
from service.saga import outage

_Workload = Annotated[str, Field(pattern=r"^(Deployment|StatefulSet)/[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]  # fmt: skip


@dataclass(frozen=True, slots=True)
class InOrderArguments:
    """`workloads` as Kind/name, of the target's namespace, in their order;
    each has `within_s` to be rolled out.
    """

    workloads: Annotated[tuple[_Workload, ...], Field(min_length=1, max_length=20)]
    within_s: Annotated[float, Field(ge=1, le=86_400)] = 600.0


@dataclass(frozen=True, slots=True)
class RestartInOrder:
    """Restart some workloads one after the other."""

    target: Target
    workloads: tuple[Target, ...]
    within_s: float

    def __str__(self) -> str:
        return f"restart in order {', '.join(one.name for one in self.workloads)}"


def plan(target: Target, arguments: InOrderArguments) -> RestartInOrder | NotPossible:
    """The workloads, each once."""
    found: list[Target] = []
    for text in arguments.workloads:
        kind, _, name = text.partition("/")
        meant = workload_of(target, kind, name)
        if isinstance(meant, NotPossible):
            return meant
        if meant in found:
            return NotPossible(Reason.ARGUMENT_OUT_OF_BOUNDS, f"{text} is named twice")
        found.append(meant)
    return RestartInOrder(target, tuple(found), arguments.within_s)


def course(request: RestartInOrder) -> tuple[CourseStep, ...]:
    """The steps."""
    return outage.steps(request.workloads, request.within_s)


def _bind(writers: Writers) -> None:
    return None


KIND = Kind(
    name="restart_in_order",
    arguments=InOrderArguments,
    request=RestartInOrder,
    plan=plan,
    bind=_bind,
    needs=rollout_restart.KIND.needs,
    course=course,
)
