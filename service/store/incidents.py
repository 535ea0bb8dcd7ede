"""Episodes and incidents: sorting deliveries into them, claiming, moving, reading them back."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from service.model.alert import Alert, AlertStatus, EpisodeKey
from service.model.incident import Incident, IncidentState, Move, OutcomeKind
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.store.codec import plain
from service.store.database import Database
from service.store.schema import episodes, inbox, incidents, locks, steps

Row: TypeAlias = dict[str, Any]  # Any: a database row


def new_id(prefix: str, now: datetime) -> str:
    """A name that sorts by time and that a person can read out: `inc-20261123-203412-9f3a1c`."""
    return f"{prefix}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


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
    joined: int = 0


class Incidents:
    """Episodes and incidents in the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, keys: Sequence[EpisodeKey]) -> Mapping[EpisodeKey, Row]:
        """Those episodes of `keys` that the store has."""
        found: dict[EpisodeKey, Row] = {}
        async with self._database.read() as connection:
            for start in range(0, len(keys), 400):
                some = [k.fingerprint for k in keys[start : start + 400]]
                query = sa.select(episodes).where(episodes.c.fingerprint.in_(some))
                for row in (await connection.execute(query)).mappings():
                    found[EpisodeKey(row["fingerprint"], row["starts_at"])] = dict(row)
        return found

    async def absorb(self, letters: Sequence[int], items: Sequence[Sorted], now: datetime) -> Absorbed:
        """Commits a sorting: episodes, the incidents they open or join, and the letters as sorted."""
        result = Absorbed()
        async with self._database.write() as tx:
            for item in items:
                if item.opens:
                    item.row["incident_id"] = await self._join(tx, *item.opens, now, result)
            fresh = [i.row for i in items if not i.known]
            changed = [{f"_{k}": v for k, v in i.row.items()} for i in items if i.known]
            if fresh:
                await tx.execute(sa.insert(episodes), fresh)
                await self._end_superseded(tx, fresh, now)
            if changed:
                columns = [c.name for c in episodes.c if not c.primary_key]
                await tx.execute(
                    sa.update(episodes)
                    .where(episodes.c.fingerprint == sa.bindparam("_fingerprint"))
                    .where(
                        episodes.c.starts_at == sa.bindparam("_starts_at", type_=episodes.c.starts_at.type)
                    )
                    .values({name: sa.bindparam(f"_{name}") for name in columns}),
                    changed,
                )
            await self._wake_resolved(tx, {i.row.get("incident_id") for i in items}, now)
            await tx.execute(sa.update(inbox).where(inbox.c.id.in_(letters)).values(sorted_at=now))
        return result

    async def _join(
        self, tx: AsyncConnection, playbook: str, target: Target, now: datetime, result: Absorbed
    ) -> str:
        query = (
            sa.select(incidents.c.id)
            .where(incidents.c.playbook == playbook, incidents.c.target_key == target.key)
            .where(incidents.c.state != IncidentState.CLOSED)
        )
        existing: str | None = (await tx.execute(query)).scalar()
        if existing:
            result.joined += 1
            return existing
        incident_id = new_id("inc", now)
        await tx.execute(
            sa.insert(incidents).values(
                id=incident_id, playbook=playbook, target_kind=target.kind, target_namespace=target.namespace,
                target_name=target.name, target_key=target.key, state=IncidentState.OPEN, opened_at=now,
                due_at=now,
            )
        )  # fmt: skip
        result.opened.append(incident_id)
        return incident_id

    async def _end_superseded(self, tx: AsyncConnection, fresh: Sequence[Row], now: datetime) -> None:
        # An alert that starts anew has ended before, even if its "resolved" was lost on the way.
        for row in fresh:
            if row["status"] == AlertStatus.FIRING:
                await tx.execute(
                    sa.update(episodes)
                    .where(episodes.c.fingerprint == row["fingerprint"])
                    .where(episodes.c.starts_at < row["starts_at"], episodes.c.status == AlertStatus.FIRING)
                    .values(status=AlertStatus.RESOLVED, ends_at=row["starts_at"], resolved_seen_at=now)
                )

    async def _wake_resolved(self, tx: AsyncConnection, touched: set[str | None], now: datetime) -> None:
        still_firing = sa.exists().where(
            episodes.c.incident_id == incidents.c.id, episodes.c.status == AlertStatus.FIRING
        )
        await tx.execute(
            sa.update(incidents)
            .where(incidents.c.id.in_(touched - {None}), incidents.c.state != IncidentState.CLOSED)
            .where(~still_firing)
            .values(due_at=now)
        )

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
            .where(~sa.exists().where(locks.c.target_key == incidents.c.target_key, locks.c.until > now))
            .order_by(incidents.c.due_at)
            .limit(1)
        )
        async with self._database.write() as tx:
            row = (await tx.execute(due)).mappings().first()
            if row is None:
                return None
            upsert: Any = (sqlite if self._database.dialect == "sqlite" else postgresql).insert(locks)
            mine = {"incident_id": row["id"], "owner": owner, "until": now + lease}
            taken = await tx.execute(
                upsert.values(target_key=row["target_key"], **mine).on_conflict_do_update(
                    index_elements=["target_key"], set_=mine, where=locks.c.until <= now
                )
            )
            return await self._load(tx, row) if taken.rowcount else None

    async def renew(self, incident: Incident, owner: str, until: datetime) -> bool:
        """Extends a claim; False when somebody else has it by now."""
        async with self._database.write() as tx:
            done = await tx.execute(
                sa.update(locks)
                .where(locks.c.target_key == incident.target.key, locks.c.owner == owner)
                .where(locks.c.incident_id == incident.id)
                .values(until=until)
            )
            return bool(done.rowcount)

    async def release(self, incident: Incident, owner: str) -> None:
        async with self._database.write() as tx:
            await tx.execute(
                sa.delete(locks).where(locks.c.target_key == incident.target.key, locks.c.owner == owner)
            )

    async def release_all(self) -> None:
        """Drops every claim: right at the start of the one process that owns a SQLite file, and only then."""
        async with self._database.write() as tx:
            await tx.execute(sa.delete(locks))

    async def next_due(self, busy: Sequence[str] = ()) -> datetime | None:
        """When the next incident is due, those of `busy` targets left out."""
        query = (
            sa.select(sa.func.min(incidents.c.due_at))
            .where(incidents.c.state != IncidentState.CLOSED)
            .where(incidents.c.target_key.not_in(busy))
        )
        async with self._database.read() as connection:
            due: datetime | None = (await connection.execute(query)).scalar()
            return due

    # ------------------------------------------------------------------ moving

    async def note(self, incident_id: str, kind: str, data: object, at: datetime) -> None:
        """Adds a step to the incident's record."""
        async with self._database.write() as tx:
            await write_step(tx, incident_id, kind, data, at)

    async def move(
        self, incident: Incident, move: Move, at: datetime, outcome: OutcomeKind | None = None
    ) -> None:
        """Moves an incident to a state, with a step that says why."""
        values: Row = {"state": move.state, "reason": move.reason, "due_at": move.due_at}
        if move.state is IncidentState.CLOSED:
            values |= {"closed_at": at, "due_at": None}
        if outcome is not None:
            values["outcome"] = outcome
        async with self._database.write() as tx:
            if move.state is not IncidentState.CLOSED and not await count_firing(tx, incident.id):
                values["due_at"] = at  # its last alert resolved while it was worked on: see to it at once
            await tx.execute(sa.update(incidents).where(incidents.c.id == incident.id).values(**values))
            said = {
                "state": move.state,
                "reason": move.reason,
                "detail": move.detail,
                "due_at": values["due_at"],
            }
            await write_step(tx, incident.id, "moved", said, at)

    # ------------------------------------------------------------------ reading

    async def get(self, incident_id: str) -> Incident | None:
        async with self._database.read() as connection:
            query = sa.select(incidents).where(incidents.c.id == incident_id)
            row = (await connection.execute(query)).mappings().first()
            return await self._load(connection, row) if row else None

    async def firing(self, incident_id: str) -> int:
        """How many of the incident's alerts fire."""
        async with self._database.read() as connection:
            return await count_firing(connection, incident_id)

    async def counts(self) -> Mapping[str, int]:
        """Incidents that are not closed, by state."""
        query = (
            sa.select(incidents.c.state, sa.func.count())
            .where(incidents.c.state != IncidentState.CLOSED)
            .group_by(incidents.c.state)
        )
        async with self._database.read() as connection:
            return {str(state): int(count) for state, count in await connection.execute(query)}

    async def listing(self, limit: int) -> list[Row]:
        """The newest incidents, a row each."""
        query = sa.select(incidents).order_by(incidents.c.opened_at.desc()).limit(limit)
        async with self._database.read() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    async def record(self, incident_id: str) -> tuple[Row, list[Row], list[Row]] | None:
        """The incident, its episodes and its steps, in the order of time."""
        async with self._database.read() as connection:
            query = sa.select(incidents).where(incidents.c.id == incident_id)
            row = (await connection.execute(query)).mappings().first()
            if row is None:
                return None
            its = (
                sa.select(episodes)
                .where(episodes.c.incident_id == incident_id)
                .order_by(episodes.c.first_seen_at)
            )
            taken = sa.select(steps).where(steps.c.incident_id == incident_id).order_by(steps.c.id)
            return (
                dict(row),
                [dict(r) for r in (await connection.execute(its)).mappings()],
                [dict(r) for r in (await connection.execute(taken)).mappings()],
            )

    async def unrouted(self, limit: int) -> list[Row]:
        """The newest alerts that belong to no incident, with the reason."""
        query = (
            sa.select(episodes)
            .where(episodes.c.unrouted.is_not(None))
            .order_by(episodes.c.last_seen_at.desc())
            .limit(limit)
        )
        async with self._database.read() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    async def _load(self, connection: AsyncConnection, row: Mapping[Any, Any]) -> Incident:
        query = (
            sa.select(episodes).where(episodes.c.incident_id == row["id"]).order_by(episodes.c.first_seen_at)
        )
        alerts = tuple(alert_of(dict(r)) for r in (await connection.execute(query)).mappings())
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


async def count_firing(connection: AsyncConnection, incident_id: str) -> int:
    query = sa.select(sa.func.count()).where(
        episodes.c.incident_id == incident_id, episodes.c.status == AlertStatus.FIRING
    )
    return int((await connection.execute(query)).scalar_one())


async def write_step(tx: AsyncConnection, incident_id: str, kind: str, data: object, at: datetime) -> None:
    """Adds a step within a transaction that is under way."""
    await tx.execute(sa.insert(steps).values(incident_id=incident_id, at=at, kind=kind, data=plain(data)))
