"""Ends one running ClickHouse query, and waits until the server no longer lists it."""

from dataclasses import dataclass

from service.act.executor import Deed, TargetState
from service.clients.clickhouse import ClickHouseClient
from service.kit.clock import Clock
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, KillQuery, Mode
from service.model.errors import Indeterminate, Unavailable
from service.model.reasons import Reason

# The user and the age are part of the condition: an id that was used again by another query is not hit.
_WHERE = "query_id = %(query_id)s AND user = %(user)s AND elapsed >= %(min_elapsed_s)s"
_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class KillHand:
    """KILL QUERY, bounded to one query of one user that has run for long enough."""

    client: ClickHouseClient
    clock: Clock

    async def apply(self, intent: Intent, deadline: Deadline) -> Deed:
        action = _kill(intent)
        if not await self._running(action, deadline):
            return Deed(Applied.DONE, Reason.ALREADY_DONE, "it had ended by itself")
        if intent.mode is Mode.DRY_RUN:
            await self.client.query(
                f"KILL QUERY WHERE {_WHERE} TEST", _args(action), deadline=deadline
            )
            return Deed(Applied.DRY, Reason.MODE_DRY_RUN, "the server would end it")
        kill = f"KILL QUERY WHERE {_WHERE} ASYNC"
        await self.client.query(kill, _args(action), write=True, deadline=deadline)
        try:
            while await self._running(action, deadline):
                if deadline.remaining_s() <= _POLL_S:
                    raise Indeterminate("killed, and still listed when the time was over")
                await self.clock.sleep(_POLL_S)
        except Unavailable as error:  # which would say that nothing was sent
            raise Indeterminate(f"killed, and not seen whether it ended: {error.detail}") from error
        return Deed(Applied.DONE, Reason.DONE, "the server no longer lists it")

    async def read_back(self, intent: Intent, deadline: Deadline) -> TargetState:
        still = await self._running(_kill(intent), deadline)
        return TargetState.UNTOUCHED if still else TargetState.APPLIED

    async def _running(self, action: KillQuery, deadline: Deadline) -> bool:
        rows = await self.client.query(
            f"SELECT query_id FROM system.processes WHERE {_WHERE}",  # noqa: S608 - the values are bound
            _args(action),
            deadline=deadline,
        )
        return bool(rows)


def _args(action: KillQuery) -> dict[str, object]:
    return {"query_id": action.query_id, "user": action.user, "min_elapsed_s": action.min_elapsed_s}


def _kill(intent: Intent) -> KillQuery:
    if not isinstance(intent.action, KillQuery):
        raise TypeError(f"{intent.action} is not for the kill hand")
    return intent.action
