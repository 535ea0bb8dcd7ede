"""What people have said about all actions: read by every step that acts,
written with who, why and when.

Whoever holds an action back because of it reads it with `standing(locked=True)` in the
transaction that writes so:
what people say in that moment waits for the commit, and then finds the
incident that it has to wake.
Never here: who may say it (desk), or whether it holds an action back (guard).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from pydantic import TypeAdapter

from service.model import matcher
from service.model.control import Ceiling, Control, Once, Pause, Recurring, Spoken, Window
from service.model.incident import IncidentState
from service.model.reasons import Reason
from service.store.codec import plain
from service.store.database import Database
from service.store.schema import Row, control, control_log, incidents, windows

_CEILING = TypeAdapter(Ceiling)
_PAUSE = TypeAdapter(Pause)
_WHEN: TypeAdapter[Once | Recurring] = TypeAdapter(Once | Recurring)

_CONTROL = sa.select(control).where(control.c.id == 1)
_SHARED = _CONTROL.with_for_update(read=True)
_WINDOWS = (
    sa.select(windows)
    .where(sa.or_(windows.c.over_at.is_(None), windows.c.over_at > sa.bindparam("now")))
    .order_by(windows.c.id)
    .limit(1_000)
)


def standing(tx: sa.Connection, now: datetime, *, locked: bool = False) -> Control:
    """What people have said, as of now; windows that are over are left out."""
    row = tx.execute(_SHARED if locked else _CONTROL).mappings().one()
    return Control(
        version=row["version"],
        ceiling=_CEILING.validate_python(row["ceiling"]) if row["ceiling"] else None,
        pause=_PAUSE.validate_python(row["pause"]) if row["pause"] else None,
        windows=tuple(_window(dict(r)) for r in tx.execute(_WINDOWS, {"now": now}).mappings()),
    )


def version(tx: sa.Connection) -> int:
    """The version, which stays until the transaction ends."""
    return int(tx.execute(_SHARED).mappings().one()["version"])


class Controls:
    """What people have said, in the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def standing(self, now: datetime) -> Control:
        """As of the last commit. Raises Unavailable."""
        return await self._database.read(lambda c: standing(c, now))

    async def say_ceiling(self, ceiling: Ceiling) -> Control:
        """Sets the ceiling; what waits for a word is looked at again at once."""
        said = ceiling.said

        def commit(tx: sa.Connection) -> None:
            tx.execute(sa.update(control).values(ceiling=plain(ceiling)))
            wake(tx, said.at, incidents.c.state == IncidentState.WAITING)

        return await self._said("mode", said, {"mode": ceiling.mode}, commit)

    async def say_pause(self, pause: Pause) -> Control:
        """Pauses, or gives a pause another reason or end;
        what the last one holds learns of the new end.
        """
        said = pause.said

        def commit(tx: sa.Connection) -> None:
            tx.execute(sa.update(control).values(pause=plain(pause)))
            wake(tx, said.at, incidents.c.reason == Reason.SWITCHED_OFF)

        return await self._said("pause", said, {"until": pause.until}, commit)

    async def say_resume(self, said: Spoken) -> Control:
        """Ends the pause; what it held back is looked at again at once."""

        def commit(tx: sa.Connection) -> None:
            tx.execute(sa.update(control).values(pause=sa.null()))
            wake(tx, said.at, incidents.c.reason == Reason.SWITCHED_OFF)

        return await self._said("resume", said, {}, commit)

    async def add_window(self, window: Window) -> Control:
        """Adds a window."""
        when, said = window.when, window.said
        over_at = when.ends_at if isinstance(when, Once) else None
        row = {
            "id": window.id,
            "when": plain(when),
            "matchers": list(window.texts),
            "by": said.by,
            "why": said.why,
            "at": said.at,
            "over_at": over_at,
        }

        def commit(tx: sa.Connection) -> None:
            tx.execute(sa.insert(windows).values(row))

        return await self._said("window", said, {"window": window.id, "when": when}, commit)

    async def end_window(self, window_id: str, said: Spoken) -> bool:
        """Ends a window now; what it held back is looked at again. False:
        no such window is open or to come.
        """

        def commit(tx: sa.Connection) -> bool:
            open_ones = sa.or_(windows.c.over_at.is_(None), windows.c.over_at > said.at)
            ending = sa.update(windows).where(windows.c.id == window_id, open_ones)
            values = {"ended_by": said.by, "ended_why": said.why, "ended_at": said.at}
            if not tx.execute(ending.values(over_at=said.at, **values)).rowcount:
                return False
            wake(tx, said.at, incidents.c.reason == Reason.MAINTENANCE)
            _log(tx, "window_end", said, {"window": window_id})
            return True

        def whole(tx: sa.Connection) -> bool:
            _begin(tx)
            return commit(tx)

        return await self._database.write(whole)

    async def history(self, limit: int) -> list[Row]:
        """The newest things that were said, newest first."""
        query = sa.select(control_log).order_by(control_log.c.id.desc()).limit(limit)
        return await self._database.read(lambda c: [dict(r) for r in c.execute(query).mappings()])

    async def _said(
        self,
        what: str,
        said: Spoken,
        data: Mapping[str, object],
        commit: Callable[[sa.Connection], None],
    ) -> Control:
        def whole(tx: sa.Connection) -> Control:
            _begin(tx)
            commit(tx)
            _log(tx, what, said, data)
            return standing(tx, said.at)

        return await self._database.write(whole)


def _begin(tx: sa.Connection) -> None:
    """The next version. Whoever relies on the last one has committed by then."""
    tx.execute(sa.update(control).values(version=control.c.version + 1))


def _log(tx: sa.Connection, what: str, said: Spoken, data: Mapping[str, object]) -> None:
    row = {"at": said.at, "what": what, "by": said.by, "why": said.why, "data": plain(data)}
    tx.execute(sa.insert(control_log).values(row))


def wake(tx: sa.Connection, now: datetime, which: sa.ColumnElement[bool]) -> None:
    """Makes due what is held, within a transaction that is under way: wherever it stands, also
    with a person's yes or given to people meanwhile.
    """
    still_open = incidents.c.state != sa.literal_column("'closed'")  # as an index has it
    tx.execute(sa.update(incidents).where(still_open, which).values(due_at=now))


def _window(row: Row) -> Window:
    texts: Sequence[str] = row["matchers"]
    return Window(
        id=row["id"],
        when=_WHEN.validate_python(row["when"]),
        matchers=tuple(matcher.parse(text) for text in texts),
        texts=tuple(texts),
        said=Spoken(row["by"], row["why"], row["at"]),
    )
