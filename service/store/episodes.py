"""Episodes in the store, and the incidents that they open or join: rows in, rows out.

What a delivery means is decided in route/; here it is read and written,
within a transaction that is under way.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from service.model.alert import Alert, AlertStatus, EpisodeKey
from service.model.incident import IncidentState
from service.model.target import Target
from service.store import bulk
from service.store.database import Database
from service.store.schema import Row, episodes, incidents

_KEY = ("fingerprint", "starts_at")


class KnownRows(NamedTuple):
    """What the store has about some fingerprints."""

    rows: Mapping[EpisodeKey, Row]  # those of the keys asked for, and all that fire
    ended_at: Mapping[str, datetime]  # fingerprint -> the latest end that was told
    firing: Mapping[str, int]  # incident of one of the rows -> how many of its episodes fire


class Episodes:
    """Episodes in the store, for reading."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def unrouted(self, limit: int) -> list[Row]:
        """The newest alerts that belong to no incident, with the reason."""
        none = sa.select(episodes).where(episodes.c.unrouted.is_not(None))
        return await self._rows(none.order_by(episodes.c.last_seen_at.desc()).limit(limit))

    async def unheard(self, before: datetime, limit: int) -> list[EpisodeKey]:
        """Some episodes that fire and were last heard of before an instant."""
        query = (
            sa.select(episodes.c.fingerprint, episodes.c.starts_at)
            .where(episodes.c.status == AlertStatus.FIRING.value)
            .where(episodes.c.last_seen_at < before)
            .limit(limit)
        )
        return await self._database.read(lambda c: [EpisodeKey(*row) for row in c.execute(query)])

    async def _rows(self, query: sa.Select[Any]) -> list[Row]:
        return await self._database.read(
            lambda c: [dict(row) for row in c.execute(query).mappings()]
        )


def known(tx: sa.Connection, keys: Iterable[EpisodeKey]) -> KnownRows:
    """What the store has about the fingerprints of `keys`."""
    wanted = set(keys)
    rows: dict[EpisodeKey, Row] = {}
    ended_at: dict[str, datetime] = {}
    for some in _portions(sorted({key.fingerprint for key in wanted})):
        rows |= _by_key(tx.execute(_FIRING, {"names": some}))
        ended_at.update((name, end) for name, end in tx.execute(_ENDS, {"names": some}) if end)
    # One that ended and was told of has an end, or nobody had heard of it:
    # only then a key can be there that does not fire.
    absent = [key for key in wanted if key not in rows]
    for keys_of_some in _portions(sorted(absent)):
        names = [key.fingerprint for key in keys_of_some]
        starts = sorted({key.starts_at for key in keys_of_some})
        found = _by_key(tx.execute(_STARTED, {"names": names, "starts": starts}))
        rows |= {key: row for key, row in found.items() if key in wanted}
    joined = sorted({row["incident_id"] for row in rows.values() if row["incident_id"]})
    return KnownRows(rows, ended_at, count_firing_in(tx, joined))


def count_firing_in(tx: sa.Connection, incident_ids: Sequence[str]) -> dict[str, int]:
    """How many episodes of each incident fire; those of which none does are left out."""
    counts: dict[str, int] = {}
    for some in _portions(incident_ids):
        counts.update((str(i), int(n)) for i, n in tx.execute(_COUNTS, {"ids": some}))
    return counts


def open_incidents(tx: sa.Connection, target_keys: Sequence[str]) -> dict[tuple[str, str], str]:
    """(playbook, target key) -> the open incident there. They stay open until the transaction
    ends.
    """
    query = _OPEN if tx.dialect.name == "sqlite" else _OPEN.with_for_update()
    found: dict[tuple[str, str], str] = {}
    for some in _portions(target_keys):
        found.update(((row[0], row[1]), row[2]) for row in tx.execute(query, {"targets": some}))
    return found


def open_new(tx: sa.Connection, opened: Sequence[tuple[str, str, Target]], now: datetime) -> None:
    """Opens incidents: (id, playbook, target) of each."""
    bulk.put(
        tx,
        incidents,
        [
            {
                "id": incident_id, "playbook": playbook, "target_kind": target.kind.value,
                "target_namespace": target.namespace, "target_name": target.name,
                "target_key": target.key, "state": IncidentState.OPEN.value, "opened_at": now,
                "due_at": now,
            }
            for incident_id, playbook, target in opened
        ],
    )  # fmt: skip


def write(tx: sa.Connection, rows: Sequence[Row]) -> None:
    """Writes episodes, new ones and known ones; a row has every column."""
    bulk.put(tx, episodes, rows, replace_on=_KEY)


def wake(tx: sa.Connection, incident_ids: Sequence[str], now: datetime) -> None:
    """Makes incidents due that are not closed."""
    for some in _portions(incident_ids):
        tx.execute(
            sa.update(incidents)
            .where(incidents.c.id.in_(some), incidents.c.state != IncidentState.CLOSED)
            .values(due_at=now)
        )


def _names() -> sa.BindParameter[Any]:
    return sa.bindparam("names", expanding=True)


_FIRING = sa.select(episodes).where(
    episodes.c.fingerprint.in_(_names()),
    # Written out, not as a parameter: only so the planner knows that the partial index serves.
    episodes.c.status == sa.literal_column("'firing'"),
)
_STARTED = sa.select(episodes).where(
    episodes.c.fingerprint.in_(_names()),
    episodes.c.starts_at.in_(sa.bindparam("starts", expanding=True)),
)
_ENDS = (
    sa.select(
        episodes.c.fingerprint, sa.func.max(episodes.c.ends_at, type_=episodes.c.ends_at.type)
    )
    .where(episodes.c.fingerprint.in_(_names()))
    .group_by(episodes.c.fingerprint)
)
_COUNTS = (
    sa.select(episodes.c.incident_id, sa.func.count())
    .where(episodes.c.incident_id.in_(sa.bindparam("ids", expanding=True)))
    .where(episodes.c.status == sa.literal_column("'firing'"))
    .group_by(episodes.c.incident_id)
)
_OPEN = (
    sa.select(incidents.c.playbook, incidents.c.target_key, incidents.c.id)
    .where(incidents.c.target_key.in_(sa.bindparam("targets", expanding=True)))
    .where(incidents.c.state != sa.literal_column("'closed'"))
    .order_by(incidents.c.id)
)


def _by_key(found: sa.CursorResult[Any]) -> dict[EpisodeKey, Row]:
    return {EpisodeKey(row["fingerprint"], row["starts_at"]): dict(row) for row in found.mappings()}


def _portions(names: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """As many at a time as every database takes in one statement."""
    return (names[start : start + 500] for start in range(0, len(names), 500))


def alert_of(row: Row) -> Alert:
    """The alert that a row of `episodes` holds."""
    return Alert(
        fingerprint=row["fingerprint"], starts_at=row["starts_at"], ends_at=row["ends_at"],
        status=AlertStatus(row["status"]), labels=row["labels"], annotations=row["annotations"],
        generator_url=row["generator_url"],
    )  # fmt: skip
