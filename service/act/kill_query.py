"""Ends one running ClickHouse query, and waits until the server no longer lists it."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from service.act.kind import Deed, Hand, Kind, Permit, TargetState, Writers
from service.clients.clickhouse_write import ClickHouseWriter
from service.kit.clock import Clock
from service.kit.deadline import Deadline
from service.model.action import Applied, Grant, Intent, Mode, NotPossible
from service.model.errors import Indeterminate, Unavailable
from service.model.reasons import Reason
from service.model.target import Target

# The user and the age are part of the condition: an id that was used again by another query
# is not hit. Nor is anything but a plain SELECT: a BACKUP, a mutation or an INSERT ...
# SELECT is never a runaway.
_WHERE = (
    "query_id = %(query_id)s AND user = %(user)s AND elapsed >= %(min_elapsed_s)s"
    " AND is_initial_query = 1 AND "
)
_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class KillArguments:
    """Which query, of which user, and how long it has to have run."""

    query_id: str
    user: str
    min_elapsed_s: Annotated[float, Field(gt=0, le=7 * 86_400)]


@dataclass(frozen=True, slots=True)
class KillQuery:
    """End one running query of one user that has run for at least `min_elapsed_s`."""

    target: Target
    query_id: str
    user: str
    min_elapsed_s: float

    def __str__(self) -> str:
        return f"kill query {self.query_id} of {self.user or 'the anonymous user'}"


def plan(target: Target, arguments: KillArguments) -> KillQuery | NotPossible:
    """The query that was seen."""
    if not arguments.query_id:
        return NotPossible(Reason.NO_DATA, "no query runs")
    return KillQuery(target, arguments.query_id, arguments.user, arguments.min_elapsed_s)


@dataclass(frozen=True, slots=True)
class KillHand:
    """KILL QUERY, bounded to one query of one user that has run for long enough."""

    client: ClickHouseWriter
    clock: Clock

    async def apply(self, permit: Permit[KillQuery]) -> Deed:
        intent, request, deadline = permit.intent, permit.intent.request, permit.deadline
        if not await self._running(request, deadline):
            return Deed(Applied.DONE, Reason.ALREADY_DONE, "it had ended by itself")
        where = await self._where(deadline)
        if intent.mode is Mode.DRY_RUN:
            kill = f"KILL QUERY WHERE {where} TEST"
            await self.client.check(kill, _args(request), deadline=deadline)
            return Deed(Applied.DRY, Reason.MODE_DRY_RUN, "the server would end it")
        kill = f"KILL QUERY WHERE {where} ASYNC"
        await self.client.execute(kill, _args(request), confirm=permit.confirm, deadline=deadline)
        try:
            while await self._running(request, deadline):
                if deadline.remaining_s() <= _POLL_S:
                    raise Indeterminate("killed, and still listed when the time was over")
                await self.clock.sleep(_POLL_S)
        except Unavailable as error:  # which would say that nothing was sent
            raise Indeterminate(f"killed, and not seen whether it ended: {error.detail}") from error
        return Deed(Applied.DONE, Reason.DONE, "the server no longer lists it")

    async def read_back(self, intent: Intent[KillQuery], deadline: Deadline) -> TargetState:
        still = await self._running(intent.request, deadline)
        return TargetState.UNTOUCHED if still else TargetState.APPLIED

    async def _where(self, deadline: Deadline) -> str:
        return _WHERE + await self.client.plain_select(deadline=deadline)

    async def _running(self, request: KillQuery, deadline: Deadline) -> bool:
        where = await self._where(deadline)
        rows = await self.client.query(
            f"SELECT query_id FROM system.processes WHERE {where}",  # noqa: S608 - the values are bound
            _args(request),
            deadline=deadline,
        )
        return bool(rows)


def _args(request: KillQuery) -> dict[str, object]:
    return {
        "query_id": request.query_id,
        "user": request.user,
        "min_elapsed_s": request.min_elapsed_s,
    }


def _bind(writers: Writers) -> Hand[KillQuery] | None:
    return KillHand(writers.clickhouse, writers.clock) if writers.clickhouse else None


KIND = Kind(
    name="kill_query",
    arguments=KillArguments,
    request=KillQuery,
    plan=plan,
    bind=_bind,
    needs=(Grant("SELECT ON system.processes"), Grant("KILL QUERY ON *.*")),
)
