"""A new thing owns one file: a chapter, a kind of action, a guard and a sink that
`service/` has never heard of.

They are defined here, handed down as registries, and go the whole way: loaded, diagnosed, planned,
ruled, done, read back, verified, kept and published.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import pytest
import sqlalchemy as sa
from pydantic import Field

from service.act.executor import Executor
from service.act.kind import Deed, Hand, Kind, Permit, TargetState, Writers
from service.diagnose.chapter import Chapter, Look
from service.diagnose.gather import Probe
from service.diagnose.sources import Sources
from service.guard.chain import CHAIN
from service.guard.question import Objection, Question
from service.kit.clock import VirtualClock
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, NotPossible
from service.model.errors import Refused, Unavailable
from service.model.evidence import Evidence, Reading
from service.model.incident import Incident, IncidentState
from service.model.journal import JournalEntry
from service.model.playbook import Playbook
from service.model.reasons import Reason
from service.model.target import Target
from service.playbooks.load import load
from service.publish.follower import Follower, follow_all, followers
from service.publish.sink import Outlets, Sink, SinkKind
from service.store.database import Database
from service.store.outbox import Behind, Outbox
from service.store.schema import incidents, steps
from tests.path.world import Platform, World
from tests.unit.made import T0

# ---------------------------------------- the backend, and a chapter over it


@dataclass
class Tank:
    """What the toys are about."""

    level: int = 90
    drained: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TankParameters:
    """The chapter's `with:`."""

    tank: str


@dataclass(frozen=True, slots=True)
class Level:
    """What its probe reads."""

    percent: int
    valves: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TankEvidence(Evidence):
    """What the chapter sees."""

    level: Reading[Level]


def chapter_of(tank: Tank) -> Chapter[TankParameters, TankEvidence]:
    async def diagnose(look: Look, params: TankParameters) -> TankEvidence:
        async def ask() -> Level:
            assert params.tank == "normalization-service"
            return Level(tank.level, ("north", "south"))

        return TankEvidence(**await look.gather({"level": Probe("tank", ask)}))

    return Chapter("overflow", TankParameters, TankEvidence, diagnose)


# ---------------------------------------------------------------------- a kind of action


@dataclass(frozen=True, slots=True)
class DrainArguments:
    """To which level, through which valve."""

    to: Annotated[int, Field(ge=0, le=50)]
    valve: str = "north"


@dataclass(frozen=True, slots=True)
class Drain:
    """Absolute: a level, not an amount."""

    target: Target
    to: int
    valve: str

    def __str__(self) -> str:
        return f"drain {self.target} to {self.to} % through {self.valve}"


def plan(target: Target, arguments: DrainArguments) -> Drain | NotPossible:
    return Drain(target, arguments.to, arguments.valve)


@dataclass
class DrainHand:
    """Its only impure part."""

    tank: Tank

    async def apply(self, permit: Permit[Drain]) -> Deed:
        await permit.confirm()
        self.tank.level = permit.intent.request.to
        self.tank.drained.append(permit.intent.action_id)
        return Deed(Applied.DONE, Reason.DONE, "drained")

    async def read_back(self, intent: Intent[Drain], deadline: Deadline) -> TargetState:
        done = self.tank.level == intent.request.to
        return TargetState.APPLIED if done else TargetState.UNTOUCHED


def kind_of(tank: Tank) -> Kind[DrainArguments, Drain]:
    def bind(writers: Writers) -> Hand[Drain]:
        return DrainHand(tank)

    return Kind("drain", DrainArguments, Drain, plan, bind)


# ---------------------------------------------------------------------- a guard, and a sink


def rain(question: Question) -> Objection | None:
    """Not in the first minute."""
    dry_at = T0 + timedelta(seconds=60)
    if question.now >= dry_at:
        return None
    return Objection(Reason.TARGET_BUSY, "it rains", dry_at)


@dataclass
class Board:
    """A receiver that keeps what it is told by the step's id, and may be away or refuse
    something.
    """

    name: str = "board"
    told: dict[int, JournalEntry] = field(default_factory=dict)
    calls: list[list[int]] = field(default_factory=list)
    away: list[Exception] = field(default_factory=list)
    refused: set[int] = field(default_factory=set)

    async def deliver(self, entries: Sequence[JournalEntry], deadline: Deadline) -> None:
        self.calls.append([entry.id for entry in entries])
        if self.away:
            raise self.away.pop(0)
        if self.refused & {entry.id for entry in entries}:
            raise Refused(Reason.INVALID_REQUEST, "I do not take that", 400)
        self.told |= {entry.id: entry for entry in entries}


PLAYBOOK = """\
playbook: overflow
match: ['alertname="ConsumerLagHigh"']
target: {kind: Deployment, namespace: "{{ labels.namespace }}", name: "{{ labels.workload }}"}
diagnose: overflow
with: {tank: "{{ target.name }}"}
remedies:
  - name: open-a-valve
    when: evidence.level.percent > 80 && 'south' in evidence.level.valves
    do: {drain: {to: 40, valve: south}}
    mode: auto
healed: evidence.level.percent < 50
"""


@dataclass
class Grown(World):
    """A world over chapters that are handed down, as app.py does it."""

    chapters: Mapping[str, Chapter[Any, Any]] = field(default_factory=dict)

    async def diagnose(self, playbook: Playbook, incident: Incident) -> Evidence:
        chapter = self.chapters[playbook.diagnose]
        params = chapter.parameters(**playbook.params_for(incident.target))
        look = Look(Sources(), incident.target, Deadline.after(5.0), self.clock, lambda *_: None)
        evidence: Evidence = await chapter.diagnose(look, params)
        return evidence


@asynccontextmanager
async def grown(
    store_url: str, clock: VirtualClock, folder: Path, tank: Tank
) -> AsyncIterator[Grown]:
    """A world that knows the toys and nothing else."""
    folder.mkdir()
    (folder / "overflow.yaml").write_text(PLAYBOOK)
    chapters, kinds = {"overflow": chapter_of(tank)}, {"drain": kind_of(tank)}
    made = Grown(
        store_url,
        clock,
        Platform(),
        kinds=kinds,
        playbooks=load(folder, chapters, kinds),
        chain={**CHAIN, "rain": rain},
        executor=Executor.of(kinds, Writers(clock)),
        chapters=chapters,
    )
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def test_a_chapter_a_kind_a_guard_and_a_sink_from_outside_go_the_whole_way(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    tank, board = Tank(), Board()
    async with grown(store_url, clock, tmp_path / "playbooks", tank) as made:
        registry = {"board": SinkKind("board", lambda outlets: board)}
        (follower,) = followers(registry, Outlets(clock), Outbox(made.database), "here")
        assert not await follower.follow()  # nothing has happened yet
        await made.fires()
        await made.settle()
        assert await made.actions() == [("open-a-valve", "done", "healed")]
        assert (tank.level, len(tank.drained)) == (40, 1)
        ruled = [word for kind, word in await made.told() if kind == "ruled"]
        assert ruled == ["target_busy", "within_limits"]
        (line,) = await made.ledger.entries(None, 9)
        assert (line["kind"], line["request"]["valve"]) == ("drain", "south")
        await made.resolves()
        await made.settle()
        assert (await made.only()).state is IncidentState.CLOSED
        while await follower.follow():
            pass
        kinds = [entry.kind for _, entry in sorted(board.told.items())]
        assert kinds == [kind for kind, _ in await made.told()]
        assert {entry.target for entry in board.told.values()} == {line["target_key"]}


async def test_an_intent_of_a_kind_from_outside_is_read_from_the_ledger_after_a_restart(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    tank = Tank()
    async with grown(store_url, clock, tmp_path / "playbooks", tank) as made:
        await made.fires()
        clock.advance(60)
        await made.round()
        await made.restart()
        under_way = (await made.only()).under_way
        assert under_way is not None
        target = (await made.only()).target
        assert under_way.intent.request == Drain(target, 40, "south")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        pytest.param(("to: 40", "to: 90"), "less than or equal to 50", id="an argument's bounds"),
        pytest.param(("percent", "precent"), "did you mean", id="an evidence's name"),
        pytest.param(("drain:", "dran:"), "did you mean 'drain'", id="a kind's name"),
    ],
)
def test_what_the_loader_knows_of_a_new_thing_follows_from_its_types(
    tmp_path: Path, wrong: tuple[str, str], told: str
) -> None:
    tank = Tank()
    (tmp_path / "overflow.yaml").write_text(PLAYBOOK.replace(*wrong))
    with pytest.raises(Exception, match=told):
        load(tmp_path, {"overflow": chapter_of(tank)}, {"drain": kind_of(tank)})


# ---------------------------------------------------------------------- following


@dataclass
class Journalled:
    """A store with one incident in it, and steps on demand."""

    database: Database
    outbox: Outbox
    clock: VirtualClock

    def follower(self, sink: Sink, owner: str = "w1") -> Follower:
        return Follower(sink, self.outbox, self.clock, owner)

    async def tell(self, count: int = 1) -> None:
        await self.database.write(lambda tx: [tx.execute(self.insert()) for _ in range(count)][-1])

    def insert(self) -> sa.Insert:
        return sa.insert(steps).values(incident_id="inc-1", at=T0, kind="moved", data={})


@pytest.fixture
async def journal(store_url: str, clock: VirtualClock) -> AsyncIterator[Journalled]:
    opened = await Database.open(store_url)
    row = {
        "id": "inc-1", "playbook": "p", "target_kind": "Deployment", "target_namespace": "n",
        "target_name": "t", "target_key": "Deployment/n/t", "state": "open", "opened_at": T0, "due_at": T0,
    }  # fmt: skip
    await opened.write(lambda tx: tx.execute(sa.insert(incidents).values(row)).rowcount)
    yield Journalled(opened, Outbox(opened), clock)
    await opened.close()


async def test_a_sink_gets_each_step_once_and_in_order_and_goes_on_where_it_was(
    journal: Journalled,
) -> None:
    board = Board()
    await journal.tell(3)  # before the sink was there: not its business
    assert not await journal.follower(board).follow()
    await journal.tell(450)
    while await journal.follower(board).follow():  # a new process each time
        pass
    assert [len(call) for call in board.calls] == [50] * 9
    ids = [entry_id for call in board.calls for entry_id in call]
    assert ids == sorted(set(ids))
    assert len(ids) == 450


async def test_a_sink_that_catches_up_writes_its_cursor_once_a_second_and_at_its_end(
    journal: Journalled,
) -> None:
    board, outbox = Board(), Outbox(journal.database)
    follower = journal.follower(board)
    await follower.follow()
    await journal.tell(170)

    async def cursor_after_a_batch() -> int:
        assert await follower.follow()
        journal.clock.advance(0.4)
        return (await outbox.behind(journal.clock.now()))[board.name].steps

    assert [await cursor_after_a_batch() for _ in range(4)] == [120, 120, 120, 0]


@pytest.mark.parametrize(
    ("takes_s", "apart_s"), [(0.0, 0.25), (0.1, 0.25), (2.0, 2.0)], ids=["at once", "soon", "late"]
)
async def test_a_sink_that_is_behind_takes_its_time_and_rests_no_longer_than_that(
    journal: Journalled, takes_s: float, apart_s: float
) -> None:
    clock, begun = journal.clock, list[float]()

    class Timed(Board):
        async def deliver(self, entries: Sequence[JournalEntry], deadline: Deadline) -> None:
            begun.append(clock.monotonic())
            clock.advance(takes_s)
            if len(begun) == 3:
                following.cancel()

    board = Timed()
    await journal.follower(board).follow()
    await journal.tell(150)
    following = asyncio.create_task(journal.follower(board).run())
    with pytest.raises(asyncio.CancelledError):
        await following
    assert begun == pytest.approx([n * apart_s for n in range(3)])


async def two_batches_of_three(journal: Journalled, board: Board) -> Follower:
    """Delivered by a process that has written its cursor behind the first only."""
    follower = journal.follower(board)
    await follower.follow()
    await journal.tell(150)
    for _ in range(2):
        await follower.follow()
    return follower


async def test_what_was_delivered_and_not_yet_written_comes_again_after_a_crash(
    journal: Journalled,
) -> None:
    board = Board()
    await two_batches_of_three(journal, board)
    while await journal.follower(board).follow():  # new processes
        pass
    assert [(call[0], call[-1]) for call in board.calls] == [
        (1, 50),
        (51, 100),
        (51, 100),
        (101, 150),
    ]


async def test_what_went_well_before_a_failure_is_written_with_it(journal: Journalled) -> None:
    board = Board()
    follower = await two_batches_of_three(journal, board)
    board.away.append(Unavailable(Reason.UNREACHABLE, "refused"))
    assert not await follower.follow()
    journal.clock.advance(1)
    await journal.follower(board).follow()  # a new process
    assert [(call[0], call[-1]) for call in board.calls[2:]] == [(101, 150), (101, 125)]


async def test_a_receiver_that_is_away_gets_everything_later_and_delays_only_itself(
    journal: Journalled,
) -> None:
    dead = Board("dead", away=[Unavailable(Reason.UNREACHABLE, "refused")] * 4)
    alive = Board("alive")
    for board in (dead, alive):
        await journal.follower(board).follow()
    await journal.tell(2)
    asked_at: list[float] = []
    while not dead.told:
        before = len(dead.calls)
        await journal.follower(dead).follow()
        if len(dead.calls) > before:
            asked_at.append(journal.clock.monotonic())
        await journal.follower(alive).follow()
        journal.clock.advance(0.5)
    assert asked_at == [0.0, 1.0, 3.0, 7.0, 15.0]
    assert alive.calls == [[1, 2]]  # at once
    assert dead.told.keys() == alive.told.keys()


async def test_a_receiver_that_sheds_load_is_left_alone_for_as_long_as_it_wishes(
    journal: Journalled,
) -> None:
    board = Board(away=[Unavailable(Reason.THROTTLED, "429", retry_after_s=40.0)])
    await journal.follower(board).follow()
    await journal.tell()
    await journal.follower(board).follow()
    journal.clock.advance(39)
    assert not await journal.follower(board).follow()
    journal.clock.advance(1)
    assert await journal.follower(board).follow()


async def test_a_receiver_that_is_too_slow_for_a_batch_gets_smaller_ones(
    journal: Journalled,
) -> None:
    board = Board(away=[Unavailable(Reason.LATE, "no answer in time")] * 3)
    await journal.follower(board).follow()
    await journal.tell(50)
    while len(board.told) < 50:
        await journal.follower(board).follow()
        journal.clock.advance(10)
    assert [len(call) for call in board.calls][:5] == [50, 25, 12, 6, 44]


async def test_a_batch_asks_the_store_as_seldom_as_it_can(journal: Journalled) -> None:
    if journal.database.dialect != "sqlite":
        pytest.skip("with several writers it is asked also who is still writing")
    follower = journal.follower(Board())
    await follower.follow()  # the lease is taken
    await journal.tell(50)
    asked: list[str] = []
    journal.database.timed = lambda operation, took_s: asked.append(operation)
    assert await follower.follow()
    assert asked == ["read", "read", "write"], "its cursor, the steps, and how far it has come"


async def test_a_sink_may_begin_with_all_that_is_kept(journal: Journalled) -> None:
    board = Board()
    await journal.tell(3)
    follower = Follower(board, journal.outbox, journal.clock, "w1", from_the_first=True)
    assert await follower.follow()
    assert sorted(board.told) == [1, 2, 3]


async def test_a_sink_that_is_let_go_is_followed_by_another_at_once(journal: Journalled) -> None:
    board = Board()
    await journal.follower(board, "w1").follow()
    await journal.tell()
    await journal.outbox.release("w1")
    assert await journal.follower(board, "w2").follow()


async def test_how_far_a_sink_is_behind_is_told_in_steps_and_seconds(journal: Journalled) -> None:
    board = Board(away=[Unavailable(Reason.UNREACHABLE, "refused")])
    await journal.follower(board).follow()
    await journal.tell(2)
    await journal.follower(board).follow()
    lag = await journal.outbox.behind(T0 + timedelta(seconds=30))
    assert lag == {"board": Behind(2, 30.0, 1)}
    journal.clock.advance(10)
    await journal.follower(board).follow()
    assert await journal.outbox.behind(T0) == {"board": Behind(0, 0.0, 0)}


async def test_a_step_that_a_receiver_refuses_is_left_out_and_takes_no_other_with_it(
    journal: Journalled,
) -> None:
    board = Board()
    await journal.follower(board).follow()
    await journal.tell(3)
    board.refused = {2}
    assert await journal.follower(board).follow()
    assert sorted(board.told) == [1, 3]
    assert not await journal.follower(board).follow()


async def test_a_refusal_of_ourselves_and_a_bug_leave_nothing_out(journal: Journalled) -> None:
    board = Board(
        away=[Refused(Reason.UNAUTHORIZED, "who are you", 401), ZeroDivisionError("a bug")]
    )
    await journal.follower(board).follow()
    await journal.tell(2)
    for _ in range(3):
        await journal.follower(board).follow()
        journal.clock.advance(10)
    assert sorted(board.told) == [1, 2]
    assert board.calls == [[1, 2]] * 3


async def test_one_replica_follows_a_sink_and_another_takes_over_when_it_is_gone(
    journal: Journalled,
) -> None:
    board = Board()
    assert not await journal.follower(board, "w1").follow()
    await journal.tell()
    assert not await journal.follower(board, "w2").follow()
    assert board.calls == []
    journal.clock.advance(61)
    assert await journal.follower(board, "w2").follow()
    assert not await journal.follower(board, "w1").follow()
    assert len(board.told) == 1


async def test_followers_run_side_by_side_until_they_are_cancelled(journal: Journalled) -> None:
    boards = [Board(f"b{n}") for n in range(3)]
    all_of_them = [journal.follower(board) for board in boards]
    for follower in all_of_them:
        await follower.follow()
    await journal.tell(5)
    task = asyncio.create_task(follow_all(all_of_them))
    async with asyncio.timeout(10):
        while not all(len(board.told) == 5 for board in boards):
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_numbers_are_not_given_again_after_pruning(journal: Journalled) -> None:
    board = Board()
    await journal.follower(board).follow()
    await journal.tell(5)
    await journal.follower(board).follow()
    await journal.database.write(lambda tx: tx.execute(sa.delete(steps)).rowcount)
    await journal.tell(1)
    assert await journal.follower(board).follow()
    assert max(board.told) == 6


@pytest.mark.only_on("postgresql")  # SQLite has one writer
async def test_a_step_that_commits_after_a_later_number_is_not_passed_over(
    journal: Journalled, store_url: str
) -> None:
    board = Board()
    await journal.follower(board).follow()
    slow = replace(journal, database=await Database.open(store_url))
    numbered, go_on = asyncio.Event(), asyncio.Event()

    async def hesitate() -> None:
        async with slow.database._backend.engine.begin() as connection:  # type: ignore[attr-defined]
            await connection.execute(slow.insert())
            numbered.set()
            await go_on.wait()

    hesitating = asyncio.create_task(hesitate())
    async with asyncio.timeout(20):
        await numbered.wait()
    await journal.tell()  # number 2 is committed, number 1 is not
    following = asyncio.create_task(journal.follower(board).follow())
    await asyncio.sleep(0.2)
    assert board.calls == []
    go_on.set()
    await hesitating
    assert await following
    assert board.calls == [[1, 2]]
    await slow.database.close()
