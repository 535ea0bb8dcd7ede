"""Rollout restarts on the wire: once by their id, and never one that would go off later."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from rehearsal.cluster import Cluster, Cut, Fault, Identity, Rule
from rehearsal.servers import free_port
from service.act.kind import TargetState
from service.act.pod_template import ACTION, standstill
from service.act.rollout_restart import KIND, RestartHand, RolloutRestart
from service.clients.kubernetes_write import KubernetesWriter
from service.model.action import Mode
from service.model.errors import Refused
from service.model.reasons import Reason
from service.model.target import TargetKind
from service.settings import KubernetesSettings
from tests.recordings import recorded
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

HAND = RestartHand
REQUEST = RolloutRestart(TARGET)


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


async def test_a_conflict_is_unavailable_for_nothing_was_done(staged: Stage) -> None:
    staged.meet(answer(409, "the object has been modified"))
    assert await staged.act(REQUEST) == ("Unavailable", Reason.CONFLICT)
    assert (staged.sent, staged.effects) == (1, 0)


async def test_the_template_says_which_action_it_was(staged: Stage) -> None:
    await staged.act(REQUEST)
    assert staged.found["spec"]["template"]["metadata"]["annotations"][ACTION] == "act-1"
    (write,) = KIND.writes(REQUEST, "act-1")
    assert write.value == "act-1"
    other = intent(REQUEST, KIND.name, action_id="act-2")
    assert await outcome(staged.hand, other) == DONE
    assert staged.effects == 2


async def test_a_paused_rollout_is_not_restarted(staged: Stage) -> None:
    staged.edit(paused=True)
    assert await staged.act(REQUEST) == failed(Reason.PAUSED)
    assert staged.sent == 0


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        pytest.param({"type": "RollingUpdate"}, DONE, id="that rolls"),
        pytest.param({"type": "OnDelete"}, failed(Reason.PAUSED), id="whose strategy restarts nothing"),
        pytest.param(
            {"type": "RollingUpdate", "rollingUpdate": {"partition": 3}}, failed(Reason.PAUSED), id="with a partition"
        ),
    ],
)  # fmt: skip
async def test_a_stateful_set(
    staged: Stage, strategy: dict[str, object], expected: tuple[str, Reason]
) -> None:
    staged.has_kafka(updateStrategy=strategy)
    await staged.cluster.settled()
    before = staged.cluster.get("statefulsets", NS, "kafka")["metadata"]["generation"]
    assert await staged.act(RolloutRestart(KAFKA)) == expected
    after = staged.cluster.get("statefulsets", NS, "kafka")["metadata"]["generation"]
    assert after == before + (expected == DONE)


@pytest.mark.parametrize(
    ("kind", "file", "exchange", "said"),
    [
        (TargetKind.STATEFULSET, "13j", "read-healthy", None),
        (TargetKind.STATEFULSET, "13j", "read-pod-0-unready", "2 of 3 pods are ready"),
        (TargetKind.STATEFULSET, "13j", "read-stuck", "2 of 3 pods are ready"),
        (TargetKind.STATEFULSET, "13j", "read-stuck-2", "2 of 3 pods are ready"),
        (TargetKind.STATEFULSET, "13j", "read-recovered", None),
        (TargetKind.STATEFULSET, "13j", "patch-partition-at-replicas", "partition is 3 of 3"),
        (TargetKind.STATEFULSET, "13j", "read-partitioned", "partition is 3 of 3"),
        (TargetKind.STATEFULSET, "13j", "read-partition-0", None),
        (TargetKind.DEPLOYMENT, "03d", "patch-pause", "paused"),
        (TargetKind.DEPLOYMENT, "03d", "patch-restart", "paused"),
        (TargetKind.DEPLOYMENT, "03d", "patch-resume", None),
    ],
)
def test_a_restart_that_would_do_nothing_or_go_off_later_is_told_from_one_that_rolls(
    kind: TargetKind, file: str, exchange: str, said: str | None
) -> None:
    why = standstill(kind, recorded(file, exchange))
    assert why is None if said is None else why is not None and said in why


def test_pods_that_are_replaced_in_parallel_wait_for_nobody() -> None:
    stuck = recorded("13j", "read-pod-0-unready")
    parallel = {**stuck, "spec": {**stuck["spec"], "podManagementPolicy": "Parallel"}}
    assert standstill(TargetKind.STATEFULSET, parallel) is None
    none = {**stuck, "spec": {**stuck["spec"], "replicas": 0}}
    assert standstill(TargetKind.STATEFULSET, none) is None
