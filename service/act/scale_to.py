"""Scaling to a count that is named, 0 included: a step of a recovery that a person has
started, never a remedy.

The request and the hand are those of `scale`; only the arguments differ.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from service.act import scale
from service.act.kind import Kind
from service.act.pod_template import workload_of
from service.act.scale import Scale
from service.model.action import NotPossible
from service.model.reasons import Reason
from service.model.target import Target


@dataclass(frozen=True, slots=True)
class ScaleToArguments:
    """`from` is the count that was seen, `to` the one that is wanted;
    another workload may be named.
    """

    from_: Annotated[int, Field(ge=0, le=10_000)]
    to: Annotated[int, Field(ge=0, le=1_000)]
    workload_kind: str = ""
    workload: str = ""


def plan(target: Target, arguments: ScaleToArguments) -> Scale | NotPossible:
    """The count, as it is named."""
    meant = workload_of(target, arguments.workload_kind, arguments.workload)
    if isinstance(meant, NotPossible):
        return meant
    if arguments.from_ == arguments.to:
        return NotPossible(Reason.AT_CEILING, f"{meant} has {arguments.to} replicas already")
    return Scale(meant, arguments.from_, arguments.to)


KIND = Kind(
    name="scale_to",
    arguments=ScaleToArguments,
    request=Scale,
    plan=plan,
    bind=scale.KIND.bind,
    needs=scale.KIND.needs,
    writes=scale.KIND.writes,
    inverse=scale.KIND.inverse,
    interrupts=True,
    step_only=True,
)
