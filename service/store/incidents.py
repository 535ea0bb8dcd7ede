"""Episodes and incidents: sorting deliveries into them, claiming, moving, reading them back."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from service.model.alert import Alert, AlertStatus, EpisodeKey
from service.model.incident import Incident, IncidentState, Move, OutcomeKind
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.store.codec import plain
from service.store.database import Database
from service.store.schema import Instant, episodes, incidents, locks, steps, waiting

Row: TypeAlias = dict[str, Any]  # Any: a database row


def new_id(prefix: str, now: datetime) -> str:
    """A name that sorts by time and that a person can read out: `inc-20261123-203412-9f3a1c07`."""
    return f"{prefix}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class Sorted:
    """What the sorter made of one episode; `destination` is None for what belongs to no incident."""

    row: Row  # columns of `episodes`
    known: bool  # the episode is in the store already
    opens: tuple[str, Target] | None = None  # (playbook, target) to open or to join


@dataclass(slots=True)
class Absorbed:
    """What one sorting changed."""

    opened: list[str] = field(default_factory=list)


class Incidents:
    """Episodes and incidents in the store."""

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

    async def absorb(self, letters: Sequence[int], items: Sequence[Sorted], now: datetime) -> Absorbed:
        """Commits a sorting: episodes, the incidents they open or join, and the letters as sorted."""

        def commit(tx: sa.Connection) -> Absorbed:
            result = Absorbed()
            joined: dict[tuple[str, Target], str] = {}  # a storm of 1,500 alerts is about a few targets
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

    # ------------------------------------------------------------------ claims

    async def claim(
        self, owner: str, now: datetime, lease: timedelta, busy: Sequence[str] = ()
    ) -> Incident | None:
        """The longest due incident whose target nobody works on, locked for `owner`; None when there is none.

        `busy` are the targets this process works on itself, whatever became of their leases.
        """
        due = (
            sa.select(incidents)
            .where(incidents.c.state != IncidentState.CLOSED, incidents.c.due_at <= now)
            .where(incidents.c.target_key.not_in(busy))
            .where(~sa.exists().where(locks.c.target_key == incidents.c.target_key, _held(owner, now)))
            .order_by(incidents.c.due_at)
            .limit(1)
        )

        def take(tx: sa.Connection) -> Incident | None:
            row = tx.execute(due).mappings().first()
            if row is None:
                return None
            upsert: Any = (sqlite if tx.dialect.name == "sqlite" else postgresql).insert(locks)
            mine = {"incident_id": row["id"], "owner": owner, "until": now + lease}
            taken = tx.execute(
                upsert.values(target_key=row["target_key"], **mine).on_conflict_do_update(
                    index_elements=["target_key"], set_=mine, where=~_held(owner, now)
                )
            )
            return _load(tx, row) if taken.rowcount else None

        # Most of the time nothing is due: that is found out without taking the writer.
        if (
            await self._database.read(lambda c: c.execute(due.with_only_columns(incidents.c.id)).scalar())
            is None
        ):
            return None
        return await self._database.write(take)

    async def renew(self, incident: Incident, owner: str, until: datetime) -> bool:
        """Extends a claim; False when somebody else has it by now."""
        extend = (
            sa.update(locks)
            .where(locks.c.target_key == incident.target.key, locks.c.owner == owner)
            .where(locks.c.incident_id == incident.id)
            .values(until=until)
        )
        return bool(await self._database.write(lambda tx: tx.execute(extend).rowcount))

    async def release(self, incident: Incident, owner: str) -> None:
        """Gives a claim back."""
        drop = sa.delete(locks).where(locks.c.target_key == incident.target.key, locks.c.owner == owner)
        await self._database.write(lambda tx: tx.execute(drop).rowcount)

    async def release_all(self) -> None:
        """Drops every claim: right at the start of the one process that owns a SQLite file, and only then."""
        await self._database.write(lambda tx: tx.execute(sa.delete(locks)).rowcount)

    async def next_due(self, owner: str, now: datetime, busy: Sequence[str] = ()) -> datetime | None:
        """When the next incident can be claimed: it is due, and another owner's claim on its target is over."""
        held = sa.and_(locks.c.target_key == incidents.c.target_key, _held(owner, now))
        free_at = sa.case((locks.c.until > incidents.c.due_at, locks.c.until), else_=incidents.c.due_at)
        query = (
            sa.select(sa.func.min(free_at))
            .select_from(incidents.outerjoin(locks, held))
            .where(incidents.c.state != IncidentState.CLOSED, incidents.c.due_at.is_not(None))
            .where(incidents.c.target_key.not_in(busy))
        )
        due: datetime | None = await self._database.read(lambda c: c.execute(query).scalar())
        return due

    # ------------------------------------------------------------------ moving

    async def note(self, incident_id: str, kind: str, data: object, at: datetime) -> None:
        """Adds a step to the incident's record."""
        await self._database.write(lambda tx: write_step(tx, incident_id, kind, data, at))

    async def move(
        self, incident: Incident, move: Move, at: datetime, outcome: OutcomeKind | None = None
    ) -> bool:
        """Moves an incident to a state, with a step that says why. False: it has to close, and an alert fires."""
        values: Row = {"state": move.state, "reason": move.reason, "due_at": move.due_at}
        if move.state is IncidentState.CLOSED:
            values |= {"closed_at": at, "due_at": None}
        if outcome is not None:
            values["outcome"] = outcome

        def commit(tx: sa.Connection) -> bool:
            firing = count_firing(tx, incident.id)
            if firing and move.state is IncidentState.CLOSED:
                return False  # an alert joined while it was worked on; it is still due, and seen again
            if not firing and move.state is not IncidentState.CLOSED:
                values["due_at"] = at  # its last alert resolved while it was worked on: see to it at once
            tx.execute(sa.update(incidents).where(incidents.c.id == incident.id).values(**values))
            said = {
                "state": move.state,
                "reason": move.reason,
                "detail": move.detail,
                "due_at": values["due_at"],
            }
            write_step(tx, incident.id, "moved", said, at)
            return True

        return await self._database.write(commit)

    # ------------------------------------------------------------------ reading

    async def get(self, incident_id: str) -> Incident | None:
        """The incident as the worker holds it."""
        query = sa.select(incidents).where(incidents.c.id == incident_id)

        def load(connection: sa.Connection) -> Incident | None:
            row = connection.execute(query).mappings().first()
            return _load(connection, row) if row else None

        return await self._database.read(load)

    async def counts(self) -> Mapping[str, int]:
        """Incidents that are not closed, by state."""
        query = (
            sa.select(incidents.c.state, sa.func.count())
            .where(incidents.c.state != IncidentState.CLOSED)
            .group_by(incidents.c.state)
        )
        rows = await self._database.read(lambda c: c.execute(query).all())
        return {str(state): int(count) for state, count in rows}

    async def listing(self, limit: int) -> list[Row]:
        """The newest incidents, a row each."""
        return await self._rows(sa.select(incidents).order_by(incidents.c.opened_at.desc()).limit(limit))

    async def unrouted(self, limit: int) -> list[Row]:
        """The newest alerts that belong to no incident, with the reason."""
        none = sa.select(episodes).where(episodes.c.unrouted.is_not(None))
        return await self._rows(none.order_by(episodes.c.last_seen_at.desc()).limit(limit))

    async def record(self, incident_id: str) -> tuple[Row, list[Row], list[Row]] | None:
        """The incident, its episodes and its steps, in the order of time."""
        found = await self._rows(sa.select(incidents).where(incidents.c.id == incident_id))
        if not found:
            return None
        its = sa.select(episodes).where(episodes.c.incident_id == incident_id)
        taken = sa.select(steps).where(steps.c.incident_id == incident_id)
        return (
            found[0],
            await self._rows(its.order_by(episodes.c.first_seen_at)),
            await self._rows(taken.order_by(steps.c.id)),
        )

    async def _rows(self, query: sa.Select[Any]) -> list[Row]:
        return await self._database.read(lambda c: [dict(row) for row in c.execute(query).mappings()])


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
            .values({name: sa.bindparam(f"_{name}", type_=episodes.c[name].type) for name in columns}),
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
        firing = sa.select(episodes.c.fingerprint, episodes.c.starts_at, episodes.c.incident_id).where(
            episodes.c.fingerprint.in_(some), episodes.c.status == AlertStatus.FIRING
        )
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


def _held(owner: str, now: datetime) -> sa.ColumnElement[bool]:
    """A lock that keeps `owner` out. Its own does not: what it works on now is in `busy`, the rest broke off."""
    return sa.and_(locks.c.until > now, locks.c.owner != owner)


def _load(connection: sa.Connection, row: Mapping[Any, Any]) -> Incident:
    query = sa.select(episodes).where(episodes.c.incident_id == row["id"]).order_by(episodes.c.first_seen_at)
    alerts = tuple(alert_of(dict(r)) for r in connection.execute(query).mappings())
    target = Target(TargetKind(row["target_kind"]), row["target_namespace"], row["target_name"])
    return Incident(
        id=row["id"], playbook=row["playbook"], target=target, state=IncidentState(row["state"]),
        reason=Reason(row["reason"]) if row["reason"] else None, opened_at=row["opened_at"],
        due_at=row["due_at"] or row["opened_at"], closed_at=row["closed_at"],
        outcome=OutcomeKind(row["outcome"]) if row["outcome"] else None, alerts=alerts,
    )  # fmt: skip


def alert_of(row: Row) -> Alert:
    """The alert that a row of `episodes` holds."""
    return Alert(
        fingerprint=row["fingerprint"], starts_at=row["starts_at"], ends_at=row["ends_at"],
        status=AlertStatus(row["status"]), labels=row["labels"], annotations=row["annotations"],
        generator_url=row["generator_url"],
    )  # fmt: skip


def count_firing(connection: sa.Connection, incident_id: str) -> int:
    """How many of the incident's alerts fire."""
    query = sa.select(sa.func.count()).where(
        episodes.c.incident_id == incident_id, episodes.c.status == AlertStatus.FIRING
    )
    return int(connection.execute(query).scalar_one())


def write_step(tx: sa.Connection, incident_id: str, kind: str, data: object, at: datetime) -> None:
    """Adds a step within a transaction that is under way."""
    tx.execute(sa.insert(steps).values(incident_id=incident_id, at=at, kind=kind, data=plain(data)))
