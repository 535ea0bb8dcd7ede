"""The circuit breaker in the store: how many incidents are new, when it tripped, and who lifted it.

Never here: when it trips (guard/breaker.py).
"""

from datetime import datetime, timedelta

import sqlalchemy as sa

from service.model.limits import BreakerLimits
from service.model.reasons import Reason
from service.model.ruling import BreakerState
from service.store.controls import wake
from service.store.database import Database
from service.store.schema import Instant, Row, breaker_trips, incidents

_NEWEST = sa.select(breaker_trips).order_by(breaker_trips.c.id.desc()).limit(1)
# One more than is counted to is as good as all.
_NEW = (
    sa.select(sa.literal(1))
    .where(incidents.c.opened_at > sa.bindparam("since", type_=Instant()))
    .limit(sa.bindparam("most", type_=sa.Integer()))
)
_OPENED = sa.select(sa.func.count()).select_from(_NEW.subquery())


def state(tx: sa.Connection, limits: BreakerLimits, now: datetime) -> BreakerState:
    """As guards see it. What was opened before a person lifted it does not trip it again."""
    trip = tx.execute(_NEWEST).mappings().first()
    since, until = now - timedelta(seconds=limits.window_s), None
    if trip is not None and trip["lifted_at"] is not None:
        since = max(since, trip["lifted_at"])
    elif trip is not None:
        until = trip["until_at"]
    asked = {"since": since, "most": limits.opened + 1}
    return BreakerState(int(tx.execute(_OPENED, asked).scalar_one()), until)


def trip(tx: sa.Connection, limits: BreakerLimits, found: BreakerState, now: datetime) -> bool:
    """Trips it, within a transaction that is under way, where it is not open already;
    True: it has tripped now.
    """
    still_open = found.until is not None and found.until > now
    if still_open or found.opened <= limits.opened:
        return False
    until = now + timedelta(seconds=limits.cooldown_s)
    row = {"tripped_at": now, "until_at": until, "opened": found.opened}
    tx.execute(sa.insert(breaker_trips).values(row))
    return True


class Breaker:
    """The breaker for those who look at it, and who lift it."""

    def __init__(self, database: Database, limits: BreakerLimits) -> None:
        self._database = database
        self._limits = limits

    async def look(self, now: datetime) -> tuple[BreakerState, Row | None]:
        """Its state, tripped now if it has to be, and the newest trip."""

        def read(connection: sa.Connection) -> tuple[BreakerState, Row | None]:
            newest = connection.execute(_NEWEST).mappings().first()
            return state(connection, self._limits, now), dict(newest) if newest else None

        found, newest = await self._database.read(read)
        passed = found.opened > self._limits.opened
        if passed and (found.until is None or found.until <= now):
            await self._database.write(
                lambda tx: trip(tx, self._limits, state(tx, self._limits, now), now)
            )
            return await self._database.read(read)
        return found, newest

    async def lift(self, who: str, why: str, now: datetime) -> bool:
        """Closes it before its time. What it held is due at once. False: it was not open."""

        def write(tx: sa.Connection) -> bool:
            newest = tx.execute(_NEWEST).mappings().first()
            if newest is None or newest["lifted_at"] is not None or newest["until_at"] <= now:
                return False
            values = {"lifted_at": now, "lifted_by": who, "why": why}
            tx.execute(
                sa.update(breaker_trips).where(breaker_trips.c.id == newest["id"]).values(values)
            )
            wake(tx, now, incidents.c.reason == Reason.BREAKER_OPEN)
            return True

        return await self._database.write(write)
