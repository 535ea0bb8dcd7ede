"""What every diagnosis reads beside its own probes: the target itself,
where it is an object of the API.
"""

import pytest

from service.diagnose.chapter import Look
from service.diagnose.sources import Sources
from service.kit.clock import VirtualClock
from service.kit.deadline import Deadline
from service.model.evidence import Known, Unknown
from service.model.objects import Seen
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from tests.unit.made import NAMESPACE, TARGET


def at(target: Target) -> Look:
    return Look(
        Sources(), target, Deadline.after(5.0), VirtualClock(), lambda name, result, took_s: None
    )


@pytest.mark.parametrize("kind", [k for k in TargetKind if Target(k, "n", "x").ref is None])
async def test_a_target_that_is_no_object_of_the_api_is_not_missing(kind: TargetKind) -> None:
    read = (await at(Target(kind, NAMESPACE, "x")).gather({}))["target"]
    assert isinstance(read, Known)
    assert read.value == Seen(uid="", generation=0)


async def test_a_target_that_is_one_is_asked_for() -> None:
    read = (await at(TARGET).gather({}))["target"]
    assert isinstance(read, Unknown)
    assert read.reason is Reason.NOT_CONFIGURED
