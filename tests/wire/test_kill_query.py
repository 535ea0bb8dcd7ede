"""Kills on the wire, on a recent ClickHouse: one query by its id and user,
only a plain SELECT, and nobody else's.
"""

import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rehearsal.servers import free_port
from rehearsal.servers.clickhouse import ClickHouseServer
from service.act.kill_query import KIND, KillArguments, KillHand, KillQuery, plan
from service.act.kind import TargetState, Writers
from service.clients.clickhouse_write import ClickHouseWriter
from service.kit.clock import Clock, SystemClock, VirtualClock
from service.kit.deadline import Deadline
from service.model.action import Mode, NotPossible
from service.model.errors import Refused
from service.model.reasons import Reason
from service.settings import ClickHouseSettings
from tests.servers import clickhouse as servers
from tests.servers import faults
from tests.wire.staged import ALREADY_DONE, DONE, DRY, LOST, TARGET, at_once, intent, outcome

# The proxy before the server lives in the loop, so tests and server share one.
pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG = "SELECT sleepEachRow(0.1) FROM numbers(3000) SETTINGS max_block_size = 1 FORMAT Null"
FORBIDDEN = ("Refused", Reason.FORBIDDEN)
USERS = {
    "app": "<password/><profile>default</profile>",
    "reader": "<password/><profile>readonly</profile>",
    "looker": "<password/><profile>default</profile><grants><query>GRANT SELECT ON *.*</query></grants>",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClickHouseServer]:
    async with servers.modern(tmp_path_factory.mktemp("clickhouse"), users=USERS) as started:
        yield started


Step = Callable[[], Awaitable[object] | object]


class Watched(ClickHouseWriter):
    """Counts the kills; `before` and `after` run around the first one, whatever becomes of it."""

    before: Step = staticmethod(lambda: None)
    after: Step = staticmethod(lambda: None)
    kills = 0

    async def execute(self, sql: str, *args: Any, **options: Any) -> list[dict[str, object]]:
        self.kills += 1
        if self.kills > 1:
            return await super().execute(sql, *args, **options)
        await _ran(self.before)
        try:
            return await super().execute(sql, *args, **options)
        finally:
            await _ran(self.after)


async def _ran(step: Step) -> None:
    ended = step()
    if isinstance(ended, Awaitable):
        await ended


@dataclass
class Runaway:
    """A query of `app` that runs for long, seen by an administrator."""

    query_id: str
    admin: ClickHouseWriter

    def kill(self, *, user: str = "app", min_elapsed_s: float = 0.0) -> KillQuery:
        return KillQuery(TARGET, self.query_id, user, min_elapsed_s)

    async def end(self) -> None:
        """By somebody else."""
        sql, args = "KILL QUERY WHERE query_id = %(id)s SYNC", {"id": self.query_id}
        await self.admin.execute(sql, args, confirm=at_once, deadline=Deadline.after(10.0))

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
        ClickHouseWriter(ClickHouseSettings(host="127.0.0.1", port=port)) as admin,
        servers.long_query(port, user="app", query_id=query_id, sql=sql),
    ):
        found = Runaway(query_id, admin)
        await found.until(True)
        yield found


def client(port: int, user: str = "default") -> Watched:
    return Watched(ClickHouseSettings(host="127.0.0.1", port=port, act_user=user))


async def killed(
    acting: ClickHouseWriter,
    request: KillQuery,
    *,
    mode: Mode = Mode.AUTO,
    confirm: Callable[[], Awaitable[None]] = at_once,
    within_s: float = 10.0,
    clock: Clock | None = None,
) -> tuple[str, Reason]:
    hand = KillHand(acting, clock or SystemClock())
    wanted = intent(request, KIND.name, mode)
    return await outcome(hand, wanted, confirm=confirm, within_s=within_s)


async def read_back(acting: ClickHouseWriter, request: KillQuery) -> TargetState:
    hand = KillHand(acting, SystemClock())
    return await hand.read_back(intent(request, KIND.name), Deadline.after(5.0))


async def test_a_long_query_is_ended_by_its_id_and_user(server: ClickHouseServer) -> None:
    async with client(server.port) as acting, runaway(server.port) as query:
        assert await read_back(acting, query.kill()) is TargetState.UNTOUCHED
        assert await killed(acting, query.kill()) == DONE
        assert not await query.runs()
        assert await read_back(acting, query.kill()) is TargetState.APPLIED
        assert await killed(acting, query.kill()) == ALREADY_DONE
        assert acting.kills == 1


@pytest.mark.parametrize(
    "aim",
    [
        pytest.param(lambda q: q.kill(user="default"), id="of another user"),
        pytest.param(lambda q: q.kill(user=""), id="of nobody"),
        pytest.param(lambda q: q.kill(min_elapsed_s=3600.0), id="younger than the one that was seen"),
        pytest.param(lambda q: replace(q.kill(), query_id=q.query_id[:-1]), id="whose id only begins so"),
        pytest.param(lambda q: replace(q.kill(), query_id="' OR 1 OR '"), id="whose id is a piece of SQL"),
    ],
)  # fmt: skip
async def test_a_query_is_not_hit(
    server: ClickHouseServer, aim: Callable[[Runaway], KillQuery]
) -> None:
    async with client(server.port) as acting, runaway(server.port) as query:
        assert await killed(acting, aim(query)) == ALREADY_DONE
        assert acting.kills == 0
        # The condition of the statement itself, where the look before it saw something else.
        async with Overseen(acting) as fooled:
            await killed(fooled, aim(query), within_s=5.0)
        assert acting.kills == 1
        assert await query.spared()


class Overseen(ClickHouseWriter):
    """The first look finds the query whatever is asked for:
    as if another one took its id right afterwards.
    """

    def __init__(self, inner: Watched) -> None:
        super().__init__(ClickHouseSettings(host="127.0.0.1"))
        self._inner, self._looks = inner, 0

    async def query(self, sql: str, *args: Any, **options: Any) -> list[dict[str, object]]:
        self._looks += "FROM system.processes" in sql
        if self._looks == 1 and "FROM system.processes" in sql:
            return [{"query_id": "seen"}]
        return await self._inner.query(sql, *args, **options)

    async def execute(self, sql: str, *args: Any, **options: Any) -> list[dict[str, object]]:
        return await self._inner.execute(sql, *args, **options)


SLOW = "SELECT sleepEachRow(0.1) FROM numbers(3000) SETTINGS max_block_size = 1"
WORK = {
    "an INSERT ... SELECT": f"INSERT INTO w.t {SLOW}",
    "a CREATE ... AS SELECT": f"CREATE TABLE w.made ENGINE = Memory AS {SLOW}",
}


@pytest.mark.parametrize("sql", WORK.values(), ids=WORK)
async def test_work_is_not_hit_though_its_id_and_user_are_right(
    server: ClickHouseServer, sql: str
) -> None:
    async with client(server.port) as admin:
        for statement in (
            "DROP DATABASE IF EXISTS w",
            "CREATE DATABASE w",
            "CREATE TABLE w.t (a UInt8) ENGINE = Memory",
        ):
            await admin.execute(statement, confirm=at_once, deadline=Deadline.after(10.0))
    async with client(server.port) as acting, runaway(server.port, sql) as query:
        assert await killed(acting, query.kill()) == ALREADY_DONE
        async with Overseen(acting) as fooled:
            await killed(fooled, query.kill(), within_s=5.0)
        assert acting.kills == 1
        assert await query.spared()
        await query.end()


async def test_a_dry_run_kills_nothing(server: ClickHouseServer) -> None:
    async with client(server.port) as acting, runaway(server.port) as query:
        assert await killed(acting, query.kill(), mode=Mode.DRY_RUN) == DRY
        assert await query.spared()
        assert acting.kills == 0
        await killed(acting, query.kill())
        assert await killed(acting, query.kill(), mode=Mode.DRY_RUN) == ALREADY_DONE


@pytest.mark.parametrize("user", ["reader", "looker"])
@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.DRY_RUN], ids=str)
async def test_a_user_who_may_not_kill_is_forbidden(
    server: ClickHouseServer, user: str, mode: Mode
) -> None:
    async with client(server.port, user) as acting, runaway(server.port) as query:
        assert await killed(acting, query.kill(), mode=mode) == FORBIDDEN
        assert await query.spared()


async def test_an_incident_that_another_process_took_over_is_not_acted_on(
    server: ClickHouseServer,
) -> None:
    async def lost() -> None:
        raise Refused(Reason.CLAIM_LOST, "another one has it", 0)

    async with client(server.port) as acting, runaway(server.port) as query:
        ended = await killed(acting, query.kill(), confirm=lost)
        assert ended == ("Refused", Reason.CLAIM_LOST)
        assert await query.spared()


async def test_a_query_that_ends_between_the_look_and_the_kill_is_done(
    server: ClickHouseServer,
) -> None:
    async with client(server.port) as acting, runaway(server.port) as query:
        acting.before = query.end
        assert await killed(acting, query.kill()) == DONE


async def test_a_server_that_is_down_kills_nothing_and_is_unreachable() -> None:
    async with client(free_port()) as acting:
        ended = await killed(acting, KillQuery(TARGET, "q", "app", 0.0))
        assert ended == ("Unavailable", Reason.UNREACHABLE)
        assert acting.kills == 0


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
        assert await killed(acting, query.kill(), clock=VirtualClock()) == LOST
        assert acting.kills == 1
        await query.until(False)


async def test_a_server_that_hangs_after_the_kill_and_is_back_for_the_reading_shows_it_done(
    server: ClickHouseServer,
) -> None:
    async with (
        faults.FaultyProxy(server.port) as proxy,
        client(proxy.port) as acting,
        runaway(server.port) as query,
    ):
        acting.after = proxy.stall  # the connections that are open, not those that will be
        assert await killed(acting, query.kill(), within_s=1.0) == LOST
        assert await read_back(acting, query.kill()) is TargetState.APPLIED
        assert acting.kills == 1


async def test_a_kill_that_never_arrived_leaves_the_query_untouched(
    server: ClickHouseServer,
) -> None:
    async with (
        faults.FaultyProxy(server.port) as proxy,
        client(proxy.port) as acting,
        runaway(server.port) as query,
    ):
        acting.before = lambda: proxy.set(faults.Fault.RESET)
        acting.after = lambda: proxy.set(faults.Fault.PASS)
        ended, _ = await killed(acting, query.kill())
        assert ended in ("Indeterminate", "Unavailable")
        assert await read_back(acting, query.kill()) is TargetState.UNTOUCHED
        assert await query.spared()


async def test_a_server_that_dies_in_the_middle_is_indeterminate(tmp_path: Path) -> None:
    async with (
        servers.modern(tmp_path, users=USERS) as mortal,
        client(mortal.port) as acting,
        runaway(mortal.port) as query,
    ):
        acting.after = mortal.stop
        assert await killed(acting, query.kill(), clock=VirtualClock()) == LOST


async def test_the_query_that_was_seen_is_planned_and_none_is_not() -> None:
    assert plan(TARGET, KillArguments("q", "ann", 300.0)) == KillQuery(TARGET, "q", "ann", 300.0)
    nothing = plan(TARGET, KillArguments("", "", 300.0))
    assert isinstance(nothing, NotPossible)
    assert KIND.bind(Writers(SystemClock())) is None
