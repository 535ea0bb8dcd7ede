"""Every kind that writes to a workload: once, bound to the uid, and read back when a reply is
lost.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from rehearsal.cluster import Cluster, Cut, Fault, Identity, Rule
from rehearsal.servers import free_port
from service.act import rollout_restart, scale
from service.act.kind import Hand, TargetState
from service.clients.kubernetes_write import KubernetesWriter
from service.model.action import Mode, Request
from service.model.errors import Refused
from service.model.reasons import Reason
from service.settings import KubernetesSettings
from tests.cluster.recorded import exchange
from tests.wire.staged import (
    ALREADY_DONE,
    ATTEMPTS,
    DONE,
    DRY,
    LOST,
    PATH,
    TARGET,
    Stage,
    cut,
    failed,
    intent,
    outcome,
    stage,
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A kind, its hand, and a request that changes the Deployment."""

    kind: str
    hand: Callable[[KubernetesWriter], Hand[Any]]
    request: Request


CASES = (
    Case(scale.KIND.name, scale.ScaleHand, scale.Scale(TARGET, 3, 4)),
    Case(
        rollout_restart.KIND.name,
        rollout_restart.RestartHand,
        rollout_restart.RolloutRestart(TARGET),
    ),
)


@pytest.fixture(params=CASES, ids=lambda case: case.kind)
def case(request: pytest.FixtureRequest) -> Case:
    made: Case = request.param
    return made


@pytest.fixture
async def staged(case: Case, tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path, case.kind, case.hand) as opened:
        yield opened


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
async def test_one_attempt_is_sent_once_and_says_what_became_of_it(
    case: Case, staged: Stage, attempt: tuple[Fault | None, tuple[str, Reason], int, int]
) -> None:
    trouble, expected, sent, effects = attempt
    if trouble is not None:
        staged.meet(replace(trouble, hits=0))
    assert await staged.act(case.request) == expected
    assert (staged.sent, staged.effects) == (sent, effects)
    assert staged.confirmed == sent


@pytest.mark.parametrize(
    ("done", "state"), [(True, TargetState.APPLIED), (False, TargetState.UNTOUCHED)]
)
async def test_what_a_lost_reply_left_behind_is_read_back(
    case: Case, staged: Stage, done: bool, state: TargetState
) -> None:
    staged.meet(cut(Cut.HANG, done=done))
    assert await staged.act(case.request, within_s=0.8) == LOST
    assert await staged.read_back(case.request) is state


async def test_done_again_it_is_already_done(case: Case, staged: Stage) -> None:
    assert await staged.act(case.request) == DONE
    assert await staged.act(case.request) == ALREADY_DONE
    assert (staged.sent, staged.effects) == (1, 1)


async def test_a_dry_run_is_asked_and_changes_nothing(case: Case, staged: Stage) -> None:
    assert await staged.act(case.request, Mode.DRY_RUN) == DRY
    assert (staged.sent, staged.effects) == (0, 0)
    assert await staged.read_back(case.request) is TargetState.UNTOUCHED
    assert [a.query["dryRun"] for a in staged.cluster.requests if a.method == "PATCH"] == ["All"]


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.DRY_RUN], ids=str)
async def test_a_right_that_is_missing_is_forbidden_dry_or_not(
    case: Case, staged: Stage, tmp_path: Path, mode: Mode
) -> None:
    reads = Rule(("get", "list"), ("*",), ("*",))
    staged.cluster.identities["looks-only"] = Identity("viewer", (reads,))
    file = staged.cluster.kubeconfig(tmp_path / "viewer", token="looks-only")
    async with KubernetesWriter(KubernetesSettings(kubeconfig=file)) as writer:
        wanted = intent(case.request, case.kind, mode)
        assert await outcome(case.hand(writer), wanted) == ("Refused", Reason.FORBIDDEN)
    assert staged.effects == 0


async def test_an_incident_that_another_process_took_over_is_not_acted_on(
    case: Case, staged: Stage
) -> None:
    async def lost() -> None:
        raise Refused(Reason.CLAIM_LOST, "another one has it", 0)

    ended = await outcome(staged.hand, intent(case.request, case.kind), confirm=lost)
    assert ended == ("Refused", Reason.CLAIM_LOST)
    assert (staged.sent, staged.effects) == (0, 0)


async def test_a_server_that_is_down_is_unreachable(case: Case, tmp_path: Path) -> None:
    down = Cluster()
    down.url = f"http://127.0.0.1:{free_port()}"
    file = down.kubeconfig(tmp_path / "down")
    async with KubernetesWriter(KubernetesSettings(kubeconfig=file)) as writer:
        ended = await outcome(case.hand(writer), intent(case.request, case.kind))
    assert ended == ("Unavailable", Reason.UNREACHABLE)


async def test_an_object_made_anew_under_the_same_name_is_not_written_to(
    case: Case, staged: Stage
) -> None:
    uids = {PATH: staged.uid}
    staged.make_anew()
    assert uids[PATH] != staged.uid
    first = staged.found["metadata"]["generation"]
    assert await staged.act(case.request, uids=uids) == failed(Reason.TARGET_REPLACED)
    assert await staged.read_back(case.request, uids=uids) is TargetState.REPLACED
    assert (staged.sent, staged.found["metadata"]["generation"]) == (0, first)
    assert await staged.act(case.request, uids={PATH: staged.uid}) == DONE


async def test_an_object_made_anew_while_the_write_is_on_its_way_is_not_written_to(
    case: Case,
    staged: Stage,
) -> None:
    uids = {PATH: staged.uid}
    staged.writer.before = staged.make_anew
    assert await staged.act(case.request, uids=uids) == failed(Reason.TARGET_REPLACED)
    assert staged.sent == 1
    assert await staged.read_back(case.request) is TargetState.UNTOUCHED


async def test_an_object_that_is_gone_is_not_found(case: Case, staged: Stage) -> None:
    staged.remove()
    assert await staged.act(case.request) == ("Refused", Reason.NOT_FOUND)
    with pytest.raises(Refused):
        await staged.read_back(case.request)


@pytest.mark.parametrize("said", ["scale-stale-resource-version", "scale-wrong-uid"])
async def test_a_recorded_conflict_that_does_not_end_holds_the_write(
    case: Case, staged: Stage, said: str
) -> None:
    recorded = exchange("13h", said)["response"]
    staged.meet(Fault("PATCH", status=recorded["status"], body=recorded["body"]))
    assert await staged.act(case.request) == ("Unavailable", Reason.CONFLICT)
    assert staged.effects == 0
