"""Episodes: what deliveries of alerts were sorted into, and the incidents that they open or join."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from service.model.alert import Alert, AlertStatus, EpisodeKey
from service.model.incident import IncidentState
from service.model.target import Target
from service.store.database import Database
from service.store.names import new_id
from service.store.schema import Instant, Row, episodes, incidents, waiting


@dataclass(frozen=True, slots=True)
class Sorted:
    """What the sorter made of one episode; `opens` is None for what opens and joins no incident."""

    row: Row  # columns of `episodes`
    known: bool  # the episode is in the store already
    opens: tuple[str, Target] | None = None  # (playbook, target) to open or to join


@dataclass(slots=True)
class Absorbed:
    """What one sorting changed."""

    opened: list[str] = field(default_factory=list)


class Episodes:
    """Episodes in the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, keys: Sequence[EpisodeKey]) -> Mapping[EpisodeKey, Row]:
        """Those episodes of `keys` that the store has."""
        fingerprints = sorted({key.fingerprint for key in keys})

        def query(connection: sa.Connection) -> dict[EpisodeKey, Row]:
            found: dict[EpisodeKey, Row] = {}
            for some in _portions(fingerprints):
                its = sa.select(episodes).where(episodes.c.fingerprint.in_(some))
                for row in connection.execute(its).mappings():
                    found[EpisodeKey(row["fingerprint"], row["starts_at"])] = dict(row)
            return found

        return await self._database.read(query)

    async def absorb(
        self, letters: Sequence[int], items: Sequence[Sorted], now: datetime
    ) -> Absorbed:
        """Commits a sorting: episodes, the incidents they open or join, and the letters as sorted."""

        def commit(tx: sa.Connection) -> Absorbed:
            result = Absorbed()
            joined: dict[
                tuple[str, Target], str
            ] = {}  # a storm of 1,500 alerts is about a few targets
            for item in items:
                if item.opens:
                    if item.opens not in joined:
                        joined[item.opens] = _join(tx, *item.opens, now, result)
                    item.row["incident_id"] = joined[item.opens]
            _store_episodes(tx, items)
            touched = _end_others(tx, [i.row for i in items], now)
            _wake_resolved(tx, touched | {i.row.get("incident_id") for i in items}, now)
            tx.execute(sa.delete(waiting).where(waiting.c.inbox_id.in_(letters)))
            return result

        return await self._database.write(commit)

    async def unrouted(self, limit: int) -> list[Row]:
        """The newest alerts that belong to no incident, with the reason."""
        none = sa.select(episodes).where(episodes.c.unrouted.is_not(None))
        newest = none.order_by(episodes.c.last_seen_at.desc()).limit(limit)
        return await self._database.read(
            lambda c: [dict(row) for row in c.execute(newest).mappings()]
        )


def _join(tx: sa.Connection, playbook: str, target: Target, now: datetime, result: Absorbed) -> str:
    """The open incident of the playbook and the target, or a new one."""
    query = (
        sa.select(incidents.c.id)
        .where(incidents.c.playbook == playbook, incidents.c.target_key == target.key)
        .where(incidents.c.state != IncidentState.CLOSED)
    )
    existing: str | None = tx.execute(query).scalar()
    if existing:
        return existing
    incident_id = new_id("inc", now)
    tx.execute(
        sa.insert(incidents).values(
            id=incident_id, playbook=playbook, target_kind=target.kind, target_namespace=target.namespace,
            target_name=target.name, target_key=target.key, state=IncidentState.OPEN, opened_at=now, due_at=now,
        )
    )  # fmt: skip
    result.opened.append(incident_id)
    return incident_id


def _store_episodes(tx: sa.Connection, items: Sequence[Sorted]) -> None:
    fresh = [i.row for i in items if not i.known]
    changed = [{f"_{k}": v for k, v in i.row.items()} for i in items if i.known]
    if fresh:
        tx.execute(sa.insert(episodes), fresh)
    if changed:
        columns = [c.name for c in episodes.c if not c.primary_key]
        tx.execute(
            sa.update(episodes)
            .where(episodes.c.fingerprint == sa.bindparam("_fingerprint"))
            .where(episodes.c.starts_at == sa.bindparam("_starts_at", type_=Instant()))
            .values(
                {name: sa.bindparam(f"_{name}", type_=episodes.c[name].type) for name in columns}
            ),
            changed,
        )


def _end_others(tx: sa.Connection, rows: Sequence[Row], now: datetime) -> set[Any]:
    """Ends the episodes whose own "resolved" never comes, and names their incidents.

    An alert that starts anew has ended before, even if its "resolved" was lost on the way. And one that has ended
    has done so under every start it was told with: two Prometheus replicas give one label set two starts, and
    Alertmanager resolves the one that it kept.
    """
    begun: dict[str, datetime] = {}  # what started before this has ended ...
    ended: dict[str, datetime] = {}  # ... and so has what started up to this
    for row in rows:
        fires = row["status"] == AlertStatus.FIRING
        edges, at = (begun, row["starts_at"]) if fires else (ended, row["ends_at"])
        if at is not None:
            edges[row["fingerprint"]] = max(at, edges.get(row["fingerprint"], at))
    over: list[Row] = []
    touched: set[Any] = set()
    for some in _portions(list(begun.keys() | ended.keys())):
        firing = sa.select(
            episodes.c.fingerprint, episodes.c.starts_at, episodes.c.incident_id
        ).where(episodes.c.fingerprint.in_(some), episodes.c.status == AlertStatus.FIRING)
        for name, starts_at, incident_id in tx.execute(firing):
            before, until = begun.get(name), ended.get(name)
            if before and starts_at < before:
                until = before
            elif until is None or starts_at > until:
                continue
            over.append({"_fingerprint": name, "_starts_at": starts_at, "_ends_at": until})
            touched.add(incident_id)
    if over:
        tx.execute(
            sa.update(episodes)
            .where(episodes.c.fingerprint == sa.bindparam("_fingerprint"))
            .where(episodes.c.starts_at == sa.bindparam("_starts_at", type_=Instant()))
            .values(
                ends_at=sa.bindparam("_ends_at", type_=Instant()),
                status=AlertStatus.RESOLVED.value,
                resolved_seen_at=now,
            ),
            over,
        )
    return touched


def _wake_resolved(tx: sa.Connection, touched: set[Any], now: datetime) -> None:
    still_firing = sa.exists().where(
        episodes.c.incident_id == incidents.c.id, episodes.c.status == AlertStatus.FIRING
    )
    for some in _portions([incident_id for incident_id in touched if incident_id]):
        tx.execute(
            sa.update(incidents)
            .where(incidents.c.id.in_(some), incidents.c.state != IncidentState.CLOSED)
            .where(~still_firing)
            .values(due_at=now)
        )


def _portions(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many at a time as every database takes in one statement."""
    return (names[start : start + 500] for start in range(0, len(names), 500))


def alert_of(row: Row) -> Alert:
    """The alert that a row of `episodes` holds."""
    return Alert(
        fingerprint=row["fingerprint"], starts_at=row["starts_at"], ends_at=row["ends_at"],
        status=AlertStatus(row["status"]), labels=row["labels"], annotations=row["annotations"],
        generator_url=row["generator_url"],
    )  # fmt: skip
