"""Incidents: claiming them, moving them, their steps, reading them back."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from service.model.alert import AlertStatus
from service.model.incident import Incident, IncidentState, Move, OutcomeKind
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.store.codec import plain
from service.store.database import Database
from service.store.episodes import alert_of
from service.store.schema import Row, episodes, incidents, locks, steps


class Incidents:
    """Incidents in the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
            .where(
                ~sa.exists().where(locks.c.target_key == incidents.c.target_key, _held(owner, now))
            )
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
            await self._database.read(
                lambda c: c.execute(due.with_only_columns(incidents.c.id)).scalar()
            )
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
        drop = sa.delete(locks).where(
            locks.c.target_key == incident.target.key, locks.c.owner == owner
        )
        await self._database.write(lambda tx: tx.execute(drop).rowcount)

    async def release_all(self) -> None:
        """Drops every claim: right at the start of the one process that owns a SQLite file, and only then."""
        await self._database.write(lambda tx: tx.execute(sa.delete(locks)).rowcount)

    async def next_due(
        self, owner: str, now: datetime, busy: Sequence[str] = ()
    ) -> datetime | None:
        """When the next incident can be claimed: it is due, and another owner's claim on its target is over."""
        held = sa.and_(locks.c.target_key == incidents.c.target_key, _held(owner, now))
        free_at = sa.case(
            (locks.c.until > incidents.c.due_at, locks.c.until), else_=incidents.c.due_at
        )
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
                return (
                    False  # an alert joined while it was worked on; it is still due, and seen again
                )
            if not firing and move.state is not IncidentState.CLOSED:
                values["due_at"] = (
                    at  # its last alert resolved while it was worked on: see to it at once
                )
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

    async def prune(self, cutoff: datetime) -> None:
        """Deletes steps of incidents closed before `cutoff`, and alerts that ended and were last heard of before.

        Incidents and the ledger stay: they are the audit, and small.
        """
        closed = sa.select(incidents.c.id).where(incidents.c.closed_at < cutoff)

        def commit(tx: sa.Connection) -> None:
            tx.execute(sa.delete(steps).where(steps.c.incident_id.in_(closed)))
            tx.execute(
                sa.delete(episodes)
                .where(episodes.c.last_seen_at < cutoff, episodes.c.status == AlertStatus.RESOLVED)
                .where(sa.or_(episodes.c.incident_id.is_(None), episodes.c.incident_id.in_(closed)))
            )

        await self._database.write(commit)

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
        return await self._rows(
            sa.select(incidents).order_by(incidents.c.opened_at.desc()).limit(limit)
        )

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
        return await self._database.read(
            lambda c: [dict(row) for row in c.execute(query).mappings()]
        )


def _held(owner: str, now: datetime) -> sa.ColumnElement[bool]:
    """A lock that keeps `owner` out. Its own does not: what it works on now is in `busy`, the rest broke off."""
    return sa.and_(locks.c.until > now, locks.c.owner != owner)


def _load(connection: sa.Connection, row: Mapping[Any, Any]) -> Incident:
    query = (
        sa.select(episodes)
        .where(episodes.c.incident_id == row["id"])
        .order_by(episodes.c.first_seen_at)
    )
    alerts = tuple(alert_of(dict(r)) for r in connection.execute(query).mappings())
    target = Target(TargetKind(row["target_kind"]), row["target_namespace"], row["target_name"])
    return Incident(
        id=row["id"], playbook=row["playbook"], target=target, state=IncidentState(row["state"]),
        reason=Reason(row["reason"]) if row["reason"] else None, opened_at=row["opened_at"],
        due_at=row["due_at"] or row["opened_at"], closed_at=row["closed_at"],
        outcome=OutcomeKind(row["outcome"]) if row["outcome"] else None, alerts=alerts,
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
