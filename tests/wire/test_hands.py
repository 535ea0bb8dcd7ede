"""The executor and its hands on the wire: whatever is lost, done once; whatever is refused, said; nothing hidden.

Scaling and restarts go to the emulated cluster with faults, kills to a recent ClickHouse.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from service.act.queries import KillHand
from service.act.workloads import ACTION, RestartHand, ScaleHand

from rehearsal.cluster import (
    Cluster,
    Cut,
    Delays,
    Fault,
    Identity,
    Rule,
    carbon_ingestion,
    too_many_requests,
)
from rehearsal.cluster.faults import Injected
from rehearsal.servers import free_port
from rehearsal.servers.clickhouse import ClickHouseServer
from service.act.executor import Executor, Hand
from service.clients.clickhouse import ClickHouseClient
from service.clients.kubernetes import Object, workload_path
from service.clients.kubernetes_write import KubernetesWriter
from service.kit.clock import Clock, SystemClock, VirtualClock
from service.kit.deadline import Deadline
from service.model.action import (
    Action,
    ActionResult,
    Applied,
    Intent,
    KillQuery,
    Mode,
    RolloutRestart,
    Scale,
)
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.settings import ClickHouseSettings, KubernetesSettings
from tests.servers import clickhouse as servers
from tests.servers import faults
from tests.unit.made import T0

pytestmark = pytest.mark.asyncio(loop_scope="module")

NS = "carbon-ingestion"
TARGET = Target(TargetKind.DEPLOYMENT, NS, "normalization-service")
PATH = workload_path(TARGET)
SCALE, RESTART = Scale(TARGET, 3, 4), RolloutRestart(TARGET)
BOTH = [pytest.param(SCALE, id="scale"), pytest.param(RESTART, id="restart")]

DONE = (Applied.DONE, Reason.DONE)
ALREADY_DONE = (Applied.DONE, Reason.ALREADY_DONE)
DRY = (Applied.DRY, Reason.MODE_DRY_RUN)


def failed(reason: Reason) -> tuple[Applied, Reason]:
    return Applied.FAILED, reason


def said(result: ActionResult) -> tuple[Applied, Reason]:
    return result.applied, result.reason


def intent(action: Action, mode: Mode = Mode.AUTO, action_id: str = "act-1") -> Intent:
    return Intent(action_id, "inc-1", "rung", action, mode, T0)


class Pauses(VirtualClock):
    """Waiting takes no time; how long each wait was meant to be is remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.taken.append(seconds)
        await super().sleep(seconds)


class Staged(KubernetesWriter):
    """A writer with somebody behind it: `before` and `after` run around its first patch, whatever that patch does."""

    before: Callable[[], Awaitable[object] | object] = staticmethod(lambda: None)
    after: Callable[[], Awaitable[object] | object] = staticmethod(lambda: None)
    patches = 0

    async def patch(self, path: str, body: Object, **options: Any) -> Object:
        self.patches += 1
        if self.patches > 1:
            return await super().patch(path, body, **options)
        await _ran(self.before)
        try:
            return await super().patch(path, body, **options)
        finally:
            await _ran(self.after)


async def _ran(step: Callable[[], Awaitable[object] | object]) -> None:
    outcome = step()
    if isinstance(outcome, Awaitable):
        await outcome


@dataclass
class Stage:
    """One cluster, the hands on it, and what became of the Deployment."""

    cluster: Cluster
    writer: Staged
    clock: Pauses
    first_generation: int

    async def act(
        self,
        action: Action | Intent,
        *,
        resumed: bool = False,
        lapsed: Reason | None = None,
        within_s: float = 10.0,
    ) -> ActionResult:
        return await executor(self.writer, self.clock, within_s).act(
            action if isinstance(action, Intent) else intent(action), resumed=resumed, lapsed=lapsed
        )

    @property
    def sent(self) -> int:
        """Patches that reached the server, dry runs not counted."""
        return sum(a.method == "PATCH" and "dryRun" not in a.query for a in self.cluster.requests)

    @property
    def effects(self) -> int:
        """How often the spec was changed: its generation counts that."""
        found = self.cluster.get("deployments", NS, TARGET.name)
        return int(found["metadata"]["generation"]) - self.first_generation

    def meet(self, *trouble: Fault) -> list[Injected]:
        return [self.cluster.inject(fault) for fault in trouble]

    def scale_to(self, replicas: int) -> None:
        """By somebody else."""
        self.cluster.edit(
            "deployments", NS, TARGET.name, lambda d: d["spec"].update(replicas=replicas)
        )

    def pause(self) -> None:
        self.cluster.edit("deployments", NS, TARGET.name, lambda d: d["spec"].update(paused=True))

    def remove(self) -> None:
        self.cluster.remove("deployments", NS, TARGET.name)


def executor(writer: KubernetesWriter, clock: Clock, within_s: float = 10.0) -> Executor:
    hands: dict[str, Hand] = {
        Scale.kind: ScaleHand(writer),
        RolloutRestart.kind: RestartHand(writer),
    }
    return Executor(hands, clock, within_s)


def _seeds() -> list[dict[str, Any]]:
    wanted = {"Namespace", "Node"}
    return [
        o for o in carbon_ingestion() if o["kind"] in wanted or o["metadata"]["name"] == TARGET.name
    ]


@pytest_asyncio.fixture(loop_scope="module")
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with Cluster(_seeds(), delays=Delays(0, 0, 0, 0)) as cluster:
        settings = KubernetesSettings(kubeconfig=cluster.kubeconfig(tmp_path / "kubeconfig"))
        async with Staged(settings) as writer:
            generation = cluster.get("deployments", NS, TARGET.name)["metadata"]["generation"]
            yield Stage(cluster, writer, Pauses(), generation)


def a_status(code: int, text: str) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "code": code, "message": text}


def answer(code: int, text: str = "", *, times: int | None = None, done: bool = False) -> Fault:
    return Fault("PATCH", status=code, body=a_status(code, text), times=times, after_commit=done)


def cut(how: Cut, *, times: int | None = 1, done: bool) -> Fault:
    return Fault("PATCH", cut=how, times=times, after_commit=done)


WEBHOOK = 'Internal error occurred: failed calling webhook "policy.example.com": connection refused'
PAGE = Fault("PATCH", status=200, body="<html>a proxy</html>", after_commit=True, times=1)


@pytest.mark.parametrize("action", BOTH)
@pytest.mark.parametrize(
    ("trouble", "expected", "sent", "effects"),
    [
        pytest.param([], DONE, 1, 1, id="no trouble"),
        pytest.param([cut(Cut.RESET, done=True)], DONE, 1, 1, id="the reply is lost after the write"),
        pytest.param([cut(Cut.TRUNCATE, done=True)], DONE, 1, 1, id="the reply breaks off after the write"),
        pytest.param([PAGE], DONE, 1, 1, id="the reply cannot be read after the write"),
        pytest.param([answer(500, "etcd", times=1, done=True)], DONE, 1, 1, id="500 after the write"),
        pytest.param([answer(503, "proxy", times=1, done=True)], DONE, 1, 1, id="503 after the write"),
        pytest.param([answer(504, "Timeout", times=1, done=True)], DONE, 1, 1, id="504 after the write"),
        pytest.param([cut(Cut.RESET, done=False)], DONE, 2, 1, id="the connection is lost before the write"),
        pytest.param([answer(500, "etcd", times=1)], DONE, 2, 1, id="500 before the write"),
        pytest.param([answer(504, "Timeout", times=1)], DONE, 2, 1, id="504 before the write"),
        pytest.param([answer(500, WEBHOOK, times=1)], DONE, 2, 1, id="a webhook fails once"),
        pytest.param([answer(409, "modified", times=1)], DONE, 2, 1, id="a conflict once"),
        pytest.param([too_many_requests("PATCH", times=1)], DONE, 2, 1, id="shed once"),
        pytest.param([too_many_requests("PATCH", times=2)], DONE, 3, 1, id="shed twice"),
        pytest.param(
            [too_many_requests("PATCH")], failed(Reason.THROTTLED), 3, 0, id="shed every time"
        ),
        pytest.param([answer(400)], failed(Reason.INVALID_REQUEST), 1, 0, id="400"),
        pytest.param([answer(401)], failed(Reason.UNAUTHORIZED), 1, 0, id="401"),
        pytest.param([answer(403)], failed(Reason.FORBIDDEN), 1, 0, id="403"),
        pytest.param([answer(404)], failed(Reason.NOT_FOUND), 1, 0, id="404"),
        pytest.param([answer(415)], failed(Reason.INVALID_REQUEST), 1, 0, id="415"),
        pytest.param([answer(422)], failed(Reason.INVALID_REQUEST), 1, 0, id="422"),
        pytest.param([answer(500, "etcd")], failed(Reason.INDETERMINATE), 2, 0, id="500 every time"),
        pytest.param([answer(500, WEBHOOK)], failed(Reason.SERVER_ERROR), 3, 0, id="a webhook fails every time"),
        pytest.param(
            [cut(Cut.RESET, times=None, done=False)], failed(Reason.INDETERMINATE), 2, 0,
            id="the connection is lost before the write every time",
        ),
        pytest.param(
            [cut(Cut.RESET, done=False), cut(Cut.RESET, done=True)], failed(Reason.INDETERMINATE), 2, 1,
            id="lost before the write, then after it",
        ),
        pytest.param(
            [cut(Cut.RESET, done=False), answer(403)], failed(Reason.FORBIDDEN), 2, 0,
            id="lost before the write, then refused",
        ),
        pytest.param([Fault("GET", cut=Cut.RESET, times=2)], DONE, 1, 1, id="two reads are lost first"),
        pytest.param(
            [Fault("GET", cut=Cut.RESET)], failed(Reason.CONNECTION_LOST), 0, 0, id="every read is lost"
        ),
        pytest.param([Fault("GET", status=403)], failed(Reason.FORBIDDEN), 0, 0, id="reading is refused"),
    ],
)  # fmt: skip
async def test_a_write_takes_effect_at_most_once_and_says_what_became_of_it(
    stage: Stage, action: Action, trouble: Sequence[Fault], expected: tuple[Applied, Reason],
    sent: int, effects: int,
) -> None:  # fmt: skip
    stage.meet(*(replace(fault, hits=0) for fault in trouble))
    assert said(await stage.act(action)) == expected
    assert (stage.sent, stage.effects) == (sent, effects)


@pytest.mark.parametrize(("action", "sent"), [(SCALE, 9), (RESTART, 3)], ids=["scale", "restart"])
async def test_a_conflict_every_time_is_given_up_after_a_few(
    stage: Stage, action: Action, sent: int
) -> None:
    stage.meet(answer(409, "the object has been modified"))
    assert said(await stage.act(action)) == failed(Reason.CONFLICT)
    assert (stage.sent, stage.effects) == (sent, 0)


@pytest.mark.parametrize("action", BOTH)
async def test_a_server_that_sheds_load_is_left_alone_for_as_long_as_it_asked(
    stage: Stage, action: Action
) -> None:
    shed = Fault("PATCH", status=429, body="busy", headers={"Retry-After": "7"}, times=1)
    stage.meet(shed)
    assert said(await stage.act(action)) == DONE
    assert [pause >= 7.0 for pause in stage.clock.taken] == [True]


async def test_a_wish_to_wait_beyond_the_deadline_is_not_waited_for(stage: Stage) -> None:
    stage.meet(Fault("PATCH", status=429, body="busy", headers={"Retry-After": "3600"}, times=1))
    result = await stage.act(SCALE, within_s=5.0)
    assert said(result) == failed(Reason.THROTTLED)
    assert (stage.sent, stage.clock.taken) == (1, [])


@pytest.mark.parametrize("action", BOTH)
@pytest.mark.parametrize(
    ("done", "expected", "effects"),
    [
        pytest.param(True, DONE, 1, id="the write was done"),
        pytest.param(False, failed(Reason.INDETERMINATE), 0, id="nothing is seen of the write, and no time is left"),
    ],
)  # fmt: skip
async def test_a_server_that_hangs_is_read_back_and_not_written_to_again(
    stage: Stage, action: Action, done: bool, expected: tuple[Applied, Reason], effects: int
) -> None:
    stage.meet(cut(Cut.HANG, done=done))
    result = await stage.act(action, within_s=0.8)
    assert said(result) == expected
    assert (stage.sent, stage.effects) == (1, effects)
    assert "reading back shows" in result.detail


@pytest.mark.parametrize("action", BOTH)
async def test_a_server_that_hangs_before_anything_was_sent_is_late(
    stage: Stage, action: Action
) -> None:
    stage.meet(Fault("GET", cut=Cut.HANG))
    assert said(await stage.act(action, within_s=0.2)) == failed(Reason.LATE)
    assert stage.sent == 0


@pytest.mark.parametrize("action", BOTH)
@pytest.mark.parametrize(
    ("after", "expected", "sent"),
    [
        pytest.param(lambda s: s.meet(Fault("GET", cut=Cut.RESET)), failed(Reason.INDETERMINATE), 1,
 id="never answers again"),
        pytest.param(lambda s: s.meet(Fault("GET", status=503)), failed(Reason.INDETERMINATE), 1,
 id="answers 503 from then on"),
        pytest.param(lambda s: s.meet(Fault("GET", cut=Cut.RESET, times=2)), DONE, 1, id="answers the third time"),
        pytest.param(lambda s: s.meet(too_many_requests("GET", times=2)), DONE, 1, id="sheds load twice"),
        pytest.param(lambda s: s.meet(Fault("GET", status=403)), failed(Reason.INDETERMINATE), 1, id="refuses"),
        pytest.param(lambda s: s.remove(), failed(Reason.NOT_FOUND), 1, id="has lost the Deployment"),
    ],
)  # fmt: skip
async def test_a_lost_reply_of_a_server_that_then(
    stage: Stage,
    action: Action,
    after: Callable[[Stage], object],
    expected: tuple[Applied, Reason],
    sent: int,
) -> None:
    stage.meet(cut(Cut.RESET, done=True))
    stage.writer.after = lambda: after(stage)
    assert said(await stage.act(action)) == expected
    assert stage.sent == sent


@pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
async def test_a_scale_with_a_lost_reply_gives_way_to_somebody_elses_number(
    stage: Stage, done: bool
) -> None:
    stage.meet(cut(Cut.RESET, done=done))
    stage.writer.after = lambda: stage.scale_to(7)
    assert said(await stage.act(SCALE)) == failed(Reason.TARGET_CHANGED)
    assert stage.sent == 1
    assert stage.cluster.get("deployments", NS, TARGET.name)["spec"]["replicas"] == 7


async def test_a_scale_that_somebody_overtakes_is_read_again_and_gives_way(stage: Stage) -> None:
    stage.writer.before = lambda: stage.scale_to(5)
    assert said(await stage.act(SCALE)) == failed(Reason.TARGET_CHANGED)
    assert stage.sent == 1


@pytest.mark.parametrize("action", BOTH)
async def test_a_right_that_is_missing_is_forbidden_dry_or_not(
    stage: Stage, tmp_path: Path, action: Action
) -> None:
    reads = Rule(("get", "list"), ("*",), ("*",))
    stage.cluster.identities["looks-only"] = Identity("viewer", (reads,))
    file = stage.cluster.kubeconfig(tmp_path / "viewer", token="looks-only")
    async with KubernetesWriter(KubernetesSettings(kubeconfig=file)) as writer:
        for mode in (Mode.AUTO, Mode.DRY_RUN):
            result = await executor(writer, stage.clock).act(intent(action, mode), resumed=False)
            assert said(result) == failed(Reason.FORBIDDEN)
            assert "viewer" in result.detail
    assert stage.effects == 0


@pytest.mark.parametrize("action", BOTH)
@pytest.mark.parametrize("resumed", [False, True], ids=["first", "resumed"])
async def test_a_dry_run_is_asked_and_changes_nothing(
    stage: Stage, action: Action, resumed: bool
) -> None:
    assert said(await stage.act(intent(action, Mode.DRY_RUN), resumed=resumed)) == DRY
    assert (stage.sent, stage.effects) == (0, 0)
    assert [a.query["dryRun"] for a in stage.cluster.requests if a.method == "PATCH"] == ["All"]


async def test_a_dry_run_of_what_somebody_else_did_meanwhile_is_not_called_our_deed(
    stage: Stage,
) -> None:
    stage.meet(cut(Cut.RESET, done=True))
    stage.writer.after = lambda: stage.scale_to(4)
    assert said(await stage.act(intent(SCALE, Mode.DRY_RUN))) == ALREADY_DONE
    assert said(await stage.act(intent(SCALE, Mode.DRY_RUN), resumed=True)) == ALREADY_DONE
    assert stage.sent == 0


@pytest.mark.parametrize("action", BOTH)
async def test_a_dry_run_whose_reply_is_lost_is_asked_again(stage: Stage, action: Action) -> None:
    stage.meet(cut(Cut.RESET, done=True))
    assert said(await stage.act(intent(action, Mode.DRY_RUN))) == DRY
    assert (stage.sent, stage.effects) == (0, 0)


def nowhere(folder: Path) -> KubernetesWriter:
    """A writer of a cluster that is down: its port is closed."""
    cluster = Cluster()
    cluster.url = f"http://127.0.0.1:{free_port()}"
    return KubernetesWriter(KubernetesSettings(kubeconfig=cluster.kubeconfig(folder / "down")))


@pytest.mark.parametrize("action", BOTH)
async def test_a_server_that_is_down_is_tried_a_few_times_and_called_unreachable(
    tmp_path: Path, action: Action
) -> None:
    clock = Pauses()
    async with nowhere(tmp_path) as writer:
        result = await executor(writer, clock).act(intent(action), resumed=False)
    assert said(result) == failed(Reason.UNREACHABLE)
    assert len(clock.taken) == 2


@pytest.mark.parametrize("action", BOTH)
async def test_a_server_that_goes_down_between_reading_and_writing_is_unreachable_and_never_indeterminate(
    stage: Stage, tmp_path: Path, action: Action
) -> None:
    port = int(stage.cluster.url.rpartition(":")[2])
    async with faults.FaultyProxy(port) as proxy:
        direct, stage.cluster.url = stage.cluster.url, f"http://127.0.0.1:{proxy.port}"
        settings = KubernetesSettings(kubeconfig=stage.cluster.kubeconfig(tmp_path / "proxied"))
        stage.cluster.url = direct
        async with Staged(settings) as writer:

            async def down() -> None:
                await proxy.set(faults.Fault.REFUSE)
                await writer.close()  # connections that were open would make it a question of luck

            writer.before = down
            result = await executor(writer, stage.clock).act(intent(action), resumed=False)
    assert said(result) == failed(Reason.UNREACHABLE)
    assert (stage.sent, stage.effects) == (0, 0)


@pytest.mark.parametrize("action", BOTH)
async def test_a_resumed_action_on_a_server_that_is_down_is_indeterminate(
    tmp_path: Path, action: Action
) -> None:
    async with nowhere(tmp_path) as writer:
        result = await executor(writer, Pauses()).act(intent(action), resumed=True)
    assert said(result) == failed(Reason.INDETERMINATE)


async def crash_in_a_write(stage: Stage, action: Action, *, done: bool) -> None:
    """The process ends while it waits for the reply."""
    stage.meet(cut(Cut.HANG, done=done))
    task = asyncio.create_task(stage.act(action))
    give_up_at = time.monotonic() + 5.0
    while not stage.sent or (done and not stage.effects):
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("action", BOTH)
@pytest.mark.parametrize(
    ("crash", "lapsed", "expected", "sent", "effects"),
    [
        pytest.param("before", None, DONE, 1, 1, id="before it was sent"),
        pytest.param("lost", None, DONE, 2, 1, id="while it was sent, and it did not arrive"),
        pytest.param("done", None, DONE, 1, 1, id="while it was sent, and it was done"),
        pytest.param("after", None, DONE, 1, 1, id="after it was done"),
        pytest.param("before", Reason.ALERT_RESOLVED, failed(Reason.ALERT_RESOLVED), 0, 0, id="before, and unwanted"),
        pytest.param("lost", Reason.ALERT_RESOLVED, failed(Reason.ALERT_RESOLVED), 1, 0, id="lost, and unwanted"),
        pytest.param("done", Reason.ALERT_RESOLVED, DONE, 1, 1, id="done, and unwanted since"),
    ],
)  # fmt: skip
async def test_an_action_resumed_after_a_crash(
    stage: Stage, action: Action, crash: str, lapsed: Reason | None, expected: tuple[Applied, Reason],
    sent: int, effects: int,
) -> None:  # fmt: skip
    if crash == "after":
        await stage.act(action)
    elif crash != "before":
        await crash_in_a_write(stage, action, done=crash == "done")
    assert said(await stage.act(action, resumed=True, lapsed=lapsed)) == expected
    assert (stage.sent, stage.effects) == (sent, effects)
    assert (
        said(await stage.act(action, resumed=True, lapsed=lapsed)) == expected
    )  # and after one more crash
    assert (stage.sent, stage.effects) == (sent, effects)


@pytest.mark.parametrize("action", BOTH)
@pytest.mark.parametrize(
    ("meanwhile", "scale", "restart"),
    [
        pytest.param(lambda s: s.scale_to(7), failed(Reason.TARGET_CHANGED), DONE, id="scaled it"),
        pytest.param(lambda s: s.pause(), DONE, failed(Reason.PAUSED), id="paused it"),
        pytest.param(lambda s: s.remove(), failed(Reason.NOT_FOUND), failed(Reason.NOT_FOUND), id="deleted it"),
    ],
)  # fmt: skip
async def test_an_action_resumed_after_somebody(
    stage: Stage, action: Action, meanwhile: Callable[[Stage], None], scale: tuple[Applied, Reason],
    restart: tuple[Applied, Reason],
) -> None:  # fmt: skip
    meanwhile(stage)
    expected = scale if action is SCALE else restart
    assert said(await stage.act(action, resumed=True)) == expected
    assert stage.sent == (1 if expected == DONE else 0)


async def test_a_restart_says_which_action_it_was(stage: Stage) -> None:
    await stage.act(RESTART)
    template = stage.cluster.get("deployments", NS, TARGET.name)["spec"]["template"]
    assert template["metadata"]["annotations"][ACTION] == "act-1"


@pytest.mark.parametrize(
    ("strategy", "restarted"),
    [("RollingUpdate", DONE), ("OnDelete", failed(Reason.PAUSED))],
    ids=["that rolls", "whose strategy restarts nothing"],
)
async def test_a_stateful_set(
    stage: Stage, strategy: str, restarted: tuple[Applied, Reason]
) -> None:
    brokers = Target(TargetKind.STATEFULSET, NS, "kafka")
    stage.cluster.seed(o for o in carbon_ingestion() if o["metadata"]["name"] == "kafka")
    stage.cluster.edit(
        "statefulsets", NS, "kafka", lambda s: s["spec"].update(updateStrategy={"type": strategy})
    )
    before = stage.cluster.get("statefulsets", NS, "kafka")["metadata"]["generation"]
    assert said(await stage.act(RolloutRestart(brokers))) == restarted
    assert said(await stage.act(Scale(brokers, 3, 4))) == DONE
    after = stage.cluster.get("statefulsets", NS, "kafka")
    assert after["spec"]["replicas"] == 4
    assert after["metadata"]["generation"] == before + 1 + (restarted == DONE)


# Kills, on a recent ClickHouse. The proxy before it lives in the loop, so tests and server share one.

LONG = "SELECT sleepEachRow(0.1) FROM numbers(3000) SETTINGS max_block_size = 1 FORMAT Null"
USERS = {
    "app": "<password/><profile>default</profile>",
    "reader": "<password/><profile>readonly</profile>",
    "looker": "<password/><profile>default</profile><grants><query>GRANT SELECT ON *.*</query></grants>",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClickHouseServer]:
    async with servers.modern(tmp_path_factory.mktemp("clickhouse"), users=USERS) as started:
        yield started


class Watched(ClickHouseClient):
    """Counts the kills; `after` runs when one was answered, or was not."""

    after: Callable[[], Awaitable[object] | object] = staticmethod(lambda: None)
    before: Callable[[], Awaitable[object] | object] = staticmethod(lambda: None)
    kills = 0

    async def query(self, sql: str, *args: Any, **options: Any) -> list[dict[str, object]]:
        if not sql.startswith("KILL") or sql.endswith("TEST"):
            return await super().query(sql, *args, **options)
        self.kills += 1
        if self.kills > 1:
            return await super().query(sql, *args, **options)
        await _ran(self.before)
        try:
            return await super().query(sql, *args, **options)
        finally:
            await _ran(self.after)


@dataclass
class Runaway:
    """A query of `app` that runs for long, seen by an administrator."""

    query_id: str
    admin: ClickHouseClient

    def kill(self, *, user: str = "app", min_elapsed_s: float = 0.0) -> KillQuery:
        return KillQuery(TARGET, self.query_id, user, min_elapsed_s)

    async def runs(self) -> bool:
        sql = "SELECT 1 FROM system.processes WHERE query_id = %(id)s"
        return bool(
            await self.admin.query(sql, {"id": self.query_id}, deadline=Deadline.after(5.0))
        )

    async def spared(self) -> bool:
        """It runs, and no kill has reached it either."""
        sql = "SELECT is_cancelled FROM system.processes WHERE query_id = %(id)s"
        rows = await self.admin.query(sql, {"id": self.query_id}, deadline=Deadline.after(5.0))
        return [row["is_cancelled"] for row in rows] == [0]

    async def until(self, running: bool, seconds: float = 5.0) -> None:
        give_up_at = time.monotonic() + seconds
        while await self.runs() is not running:
            assert time.monotonic() < give_up_at, f"running is not {running}"


@asynccontextmanager
async def runaway(port: int, sql: str = LONG) -> AsyncIterator[Runaway]:
    query_id = f"runaway-{uuid.uuid4()}"
    async with (
        ClickHouseClient(ClickHouseSettings(host="127.0.0.1", port=port)) as admin,
        servers.long_query(port, user="app", query_id=query_id, sql=sql),
    ):
        found = Runaway(query_id, admin)
        await found.until(True)
        yield found


def client(port: int, user: str = "default") -> Watched:
    return Watched(ClickHouseSettings(host="127.0.0.1", port=port, act_user=user), for_acting=True)


async def killed(
    acting: ClickHouseClient,
    action: KillQuery,
    *,
    mode: Mode = Mode.AUTO,
    resumed: bool = False,
    within_s: float = 10.0,
    clock: Clock | None = None,
) -> ActionResult:
    clock = clock or SystemClock()
    hands = {KillQuery.kind: KillHand(acting, clock)}
    return await Executor(hands, clock, within_s).act(intent(action, mode), resumed=resumed)


@pytest.mark.parametrize("resumed", [False, True], ids=["first", "resumed"])
async def test_a_long_query_is_ended_by_its_id_and_user(
    server: ClickHouseServer, resumed: bool
) -> None:
    async with client(server.port) as acting, runaway(server.port) as query:
        assert said(await killed(acting, query.kill(), resumed=resumed)) == DONE
        assert not await query.runs()
        assert acting.kills == 1
        assert said(await killed(acting, query.kill())) == ALREADY_DONE
        assert said(await killed(acting, query.kill(), resumed=True)) == DONE
        assert acting.kills == 1


@pytest.mark.parametrize(
    "aim",
    [
        pytest.param(lambda q: q.kill(user="default"), id="of another user"),
        pytest.param(lambda q: q.kill(user=""), id="of nobody"),
        pytest.param(
            lambda q: q.kill(min_elapsed_s=3600.0), id="that is younger than the one that was seen"
        ),
        pytest.param(
            lambda q: replace(q.kill(), query_id=q.query_id[:-1]), id="whose id only begins so"
        ),
        pytest.param(
            lambda q: replace(q.kill(), query_id="' OR 1 OR '"), id="whose id is a piece of SQL"
        ),
    ],
)
async def test_a_query_is_not_hit(
    server: ClickHouseServer, aim: Callable[[Runaway], KillQuery]
) -> None:
    async with client(server.port) as acting, runaway(server.port) as query:
        assert said(await killed(acting, aim(query))) == ALREADY_DONE
        # The condition of the statement itself, where the look before it saw something else.
        hand = KillHand(Overseen(acting), SystemClock())
        await Executor({KillQuery.kind: hand}, SystemClock(), 5.0).act(
            intent(aim(query)), resumed=False
        )
        assert acting.kills == 1
        assert await query.spared()


class Overseen(ClickHouseClient):
    """The first look finds the query whatever is asked for: as if another one took its id right afterwards."""

    def __init__(self, inner: ClickHouseClient) -> None:
        self._inner, self._looks = inner, 0

    async def query(self, sql: str, *args: Any, **options: Any) -> list[dict[str, object]]:
        self._looks += 1
        if self._looks == 1:
            return [{"query_id": "seen"}]
        return await self._inner.query(sql, *args, **options)


async def test_a_dry_run_of_a_kill_kills_nothing(server: ClickHouseServer) -> None:
    async with client(server.port) as acting, runaway(server.port) as query:
        for resumed in (False, True):
            assert (
                said(await killed(acting, query.kill(), mode=Mode.DRY_RUN, resumed=resumed)) == DRY
            )
        assert await query.spared()
        assert acting.kills == 0
        await killed(acting, query.kill())
        again = await killed(acting, query.kill(), mode=Mode.DRY_RUN, resumed=True)
        assert said(again) == ALREADY_DONE


@pytest.mark.parametrize("user", ["reader", "looker"])
@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.DRY_RUN], ids=str)
async def test_a_user_who_may_not_kill_is_forbidden(
    server: ClickHouseServer, user: str, mode: Mode
) -> None:
    async with client(server.port, user) as acting, runaway(server.port) as query:
        assert said(await killed(acting, query.kill(), mode=mode)) == failed(Reason.FORBIDDEN)
        assert await query.spared()


async def test_a_query_that_ends_between_the_look_and_the_kill_is_done(
    server: ClickHouseServer,
) -> None:
    async with client(server.port) as acting, runaway(server.port) as query:
        end = "KILL QUERY WHERE query_id = %(id)s SYNC"
        args, deadline = {"id": query.query_id}, Deadline.after(10.0)
        acting.before = lambda: query.admin.query(end, args, deadline=deadline)
        assert said(await killed(acting, query.kill())) == DONE


async def test_a_server_that_is_down_kills_nothing_and_is_unreachable() -> None:
    clock = Pauses()
    async with client(free_port()) as acting:
        result = await killed(acting, KillQuery(TARGET, "q", "app", 0.0), clock=clock)
        assert said(result) == failed(Reason.UNREACHABLE)
        assert (acting.kills, len(clock.taken)) == (0, 2)
        resumed = await killed(
            acting, KillQuery(TARGET, "q", "app", 0.0), clock=clock, resumed=True
        )
        assert said(resumed) == failed(Reason.INDETERMINATE)


@pytest.mark.parametrize(
    "fault", [faults.Fault.REFUSE, faults.Fault.RESET, faults.Fault.HANG_UP], ids=str
)
async def test_a_server_that_goes_after_the_kill_is_indeterminate_and_not_ended_by_itself(
    server: ClickHouseServer, fault: faults.Fault
) -> None:
    async with (
        faults.FaultyProxy(server.port) as proxy,
        client(proxy.port) as acting,
        runaway(server.port) as query,
    ):
        acting.after = lambda: proxy.set(fault)
        result = await killed(acting, query.kill(), clock=Pauses())
        assert said(result) == failed(Reason.INDETERMINATE)
        assert acting.kills == 1
        await query.until(False)


async def test_a_server_that_hangs_after_the_kill_and_is_back_for_the_reading_is_done(
    server: ClickHouseServer,
) -> None:
    async with (
        faults.FaultyProxy(server.port) as proxy,
        client(proxy.port) as acting,
        runaway(server.port) as query,
    ):
        acting.after = proxy.stall  # the connections that are open, not those that will be
        result = await killed(acting, query.kill(), within_s=1.0)
        assert said(result) == DONE
        assert "reading back" in result.detail
        assert acting.kills == 1


async def test_a_kill_whose_reply_is_lost_is_read_back_and_sent_again_where_the_query_still_runs(
    server: ClickHouseServer,
) -> None:
    async with (
        faults.FaultyProxy(server.port) as proxy,
        client(proxy.port) as acting,
        runaway(server.port) as query,
    ):
        acting.before = lambda: proxy.set(faults.Fault.RESET)
        acting.after = lambda: proxy.set(faults.Fault.PASS)
        assert said(await killed(acting, query.kill())) == DONE
        assert acting.kills == 2
        assert not await query.runs()


async def test_a_server_that_dies_in_the_middle_is_indeterminate(tmp_path: Path) -> None:
    async with (
        servers.modern(tmp_path, users=USERS) as mortal,
        client(mortal.port) as acting,
        runaway(mortal.port) as query,
    ):
        acting.after = mortal.stop
        result = await killed(acting, query.kill(), clock=Pauses())
    assert said(result) == failed(Reason.INDETERMINATE)
