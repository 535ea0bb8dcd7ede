"""Scaling on the wire: from the count that was seen to another, and never over somebody else's number."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from rehearsal.cluster import Cluster, Cut, Fault, Identity, Rule
from rehearsal.servers import free_port
from service.act.kind import TargetState
from service.act.scale import KIND, Scale, ScaleArguments, ScaleHand, plan
from service.clients.kubernetes_write import KubernetesWriter
from service.model.action import Mode, NotPossible
from service.model.errors import Refused
from service.model.reasons import Reason
from service.settings import KubernetesSettings
from tests.wire.staged import (
    ALREADY_DONE,
    ATTEMPTS,
    DONE,
    DRY,
    KAFKA,
    LOST,
    NS,
    PATH,
    TARGET,
    Stage,
    answer,
    cut,
    failed,
    intent,
    outcome,
    stage,
)  # fmt: skip

HAND = ScaleHand
REQUEST = Scale(TARGET, 3, 4)


@pytest.fixture
async def staged(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path, KIND.name, HAND) as opened:
        yield opened


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
async def test_one_attempt_is_sent_once_and_says_what_became_of_it(
    staged: Stage, attempt: tuple[Fault | None, tuple[str, Reason], int, int]
) -> None:
    trouble, expected, sent, effects = attempt
    if trouble is not None:
        staged.meet(replace(trouble, hits=0))
    assert await staged.act(REQUEST) == expected
    assert (staged.sent, staged.effects) == (sent, effects)
    assert staged.confirmed == sent


@pytest.mark.parametrize(
    ("done", "state"), [(True, TargetState.APPLIED), (False, TargetState.UNTOUCHED)]
)
async def test_what_a_lost_reply_left_behind_is_read_back(
    staged: Stage, done: bool, state: TargetState
) -> None:
    staged.meet(cut(Cut.HANG, done=done))
    assert await staged.act(REQUEST, within_s=0.8) == LOST
    assert await staged.read_back(REQUEST) is state


async def test_done_again_it_is_already_done(staged: Stage) -> None:
    assert await staged.act(REQUEST) == DONE
    assert await staged.act(REQUEST) == ALREADY_DONE
    assert (staged.sent, staged.effects) == (1, 1)


async def test_a_dry_run_is_asked_and_changes_nothing(staged: Stage) -> None:
    assert await staged.act(REQUEST, Mode.DRY_RUN) == DRY
    assert (staged.sent, staged.effects) == (0, 0)
    assert await staged.read_back(REQUEST) is TargetState.UNTOUCHED
    assert [a.query["dryRun"] for a in staged.cluster.requests if a.method == "PATCH"] == ["All"]


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.DRY_RUN], ids=str)
async def test_a_right_that_is_missing_is_forbidden_dry_or_not(
    staged: Stage, tmp_path: Path, mode: Mode
) -> None:
    reads = Rule(("get", "list"), ("*",), ("*",))
    staged.cluster.identities["looks-only"] = Identity("viewer", (reads,))
    file = staged.cluster.kubeconfig(tmp_path / "viewer", token="looks-only")
    async with KubernetesWriter(KubernetesSettings(kubeconfig=file)) as writer:
        wanted = intent(REQUEST, KIND.name, mode)
        assert await outcome(HAND(writer), wanted) == ("Refused", Reason.FORBIDDEN)
    assert staged.effects == 0


async def test_an_incident_that_another_process_took_over_is_not_acted_on(staged: Stage) -> None:
    async def lost() -> None:
        raise Refused(Reason.CLAIM_LOST, "another one has it", 0)

    ended = await outcome(staged.hand, intent(REQUEST, KIND.name), confirm=lost)
    assert ended == ("Refused", Reason.CLAIM_LOST)
    assert (staged.sent, staged.effects) == (0, 0)


async def test_a_server_that_is_down_is_unreachable(tmp_path: Path) -> None:
    down = Cluster()
    down.url = f"http://127.0.0.1:{free_port()}"
    file = down.kubeconfig(tmp_path / "down")
    async with KubernetesWriter(KubernetesSettings(kubeconfig=file)) as writer:
        ended = await outcome(HAND(writer), intent(REQUEST, KIND.name))
    assert ended == ("Unavailable", Reason.UNREACHABLE)


async def test_an_object_made_anew_under_the_same_name_is_not_written_to(staged: Stage) -> None:
    uids = {PATH: staged.uid}
    staged.make_anew()
    assert uids[PATH] != staged.uid
    first = staged.found["metadata"]["generation"]
    assert await staged.act(REQUEST, uids=uids) == failed(Reason.TARGET_REPLACED)
    assert await staged.read_back(REQUEST, uids=uids) is TargetState.REPLACED
    assert (staged.sent, staged.found["metadata"]["generation"]) == (0, first)
    assert await staged.act(REQUEST, uids={PATH: staged.uid}) == DONE


async def test_an_object_made_anew_while_the_write_is_on_its_way_is_not_written_to(
    staged: Stage,
) -> None:
    uids = {PATH: staged.uid}
    staged.writer.before = staged.make_anew
    assert await staged.act(REQUEST, uids=uids) == failed(Reason.TARGET_REPLACED)
    assert staged.sent == 1
    assert await staged.read_back(REQUEST) is TargetState.UNTOUCHED


async def test_an_object_that_is_gone_is_not_found(staged: Stage) -> None:
    staged.remove()
    assert await staged.act(REQUEST) == ("Refused", Reason.NOT_FOUND)
    with pytest.raises(Refused):
        await staged.read_back(REQUEST)


async def test_a_conflict_is_read_again_and_given_up_after_a_few(staged: Stage) -> None:
    staged.meet(answer(409, "the object has been modified"))
    assert await staged.act(REQUEST) == DONE
    assert staged.sent == 2
    staged.meet(replace(answer(409, "the object has been modified"), times=None))
    assert await staged.act(Scale(TARGET, 4, 5)) == ("Unavailable", Reason.CONFLICT)
    assert (staged.sent, staged.effects) == (5, 1)


async def test_somebody_elses_number_stays(staged: Stage) -> None:
    staged.writer.before = lambda: staged.edit(replicas=5)
    assert await staged.act(REQUEST) == failed(Reason.TARGET_CHANGED)
    assert (staged.sent, staged.found["spec"]["replicas"]) == (1, 5)
    assert await staged.act(REQUEST) == failed(Reason.TARGET_CHANGED)
    assert await staged.read_back(REQUEST) is TargetState.CHANGED
    assert staged.sent == 1


async def test_a_count_that_an_autoscaler_owns_is_left_to_it(staged: Stage) -> None:
    aim = {"apiVersion": "apps/v1", "kind": "Deployment", "name": TARGET.name}
    spec = {"minReplicas": 1, "maxReplicas": 9, "scaleTargetRef": aim}
    metadata = {"name": "hpa", "namespace": NS}
    kind = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    staged.cluster.seed([{**kind, "metadata": metadata, "spec": spec}])
    assert await staged.act(REQUEST) == failed(Reason.AUTOSCALED)
    assert staged.sent == 0


async def test_a_stateful_set_is_scaled_too(staged: Stage) -> None:
    staged.has_kafka()
    assert await staged.act(Scale(KAFKA, 3, 4)) == DONE
    assert staged.cluster.get("statefulsets", NS, "kafka")["spec"]["replicas"] == 4


@pytest.mark.parametrize(
    ("seen", "by", "most", "wanted"),
    [(2, 1, 5, 3), (4, 3, 5, 5), (0, 1, 1, 1), (5, 1, 5, None), (7, 1, 5, None)],
)
def test_the_next_count_is_absolute_and_bounded(
    seen: int, by: int, most: int, wanted: int | None
) -> None:
    planned = plan(TARGET, ScaleArguments(seen, by, most))
    if wanted is None:
        assert isinstance(planned, NotPossible)
        assert planned.reason is Reason.AT_CEILING
        return
    assert planned == Scale(TARGET, seen, wanted)
    assert KIND.inverse(planned) == Scale(TARGET, wanted, seen)
    (write,) = KIND.writes(planned, "act-1")
    assert (str(write), write.value) == (f"Deployment {NS}/{TARGET.name} spec.replicas", wanted)
