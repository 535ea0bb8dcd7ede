"""Incidents: claiming them, and writing what one step of one has changed.

A claim is a few seconds long and numbered; a write names its claim and is refused when another
process has the incident by then. No decision lives here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from service.model.action import Kinds
from service.model.alert import Alert, AlertStatus
from service.model.change import Change
from service.model.control import Control
from service.model.incident import Claim, Held, Incident, IncidentState, OutcomeKind
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.store.changes import (
    Written,
    confirm_held,
    held,
    lost,
    unreadable,
    write_change,
)
from service.store.controls import standing
from service.store.course_rows import course_of, courses_of
from service.store.database import Database
from service.store.episodes import alert_of, open_incidents
from service.store.inbox import only_sorter
from service.store.ledger import under_way as under_way_of
from service.store.ledger import under_way_rows
from service.store.proposals import approval_of, waiting_rows
from service.store.schema import Instant, Row, audit, episodes, incidents, steps

log = structlog.get_logger()


class Incidents:
    """Incidents in the store."""

    def __init__(self, database: Database, kinds: Kinds) -> None:
        self._database = database
        self._kinds = kinds

    # ------------------------------------------------------------------ claims

    async def claim(
        self, owner: str, now: datetime, lease: timedelta, limit: int = 1, busy: Sequence[str] = ()
    ) -> list[Held]:
        """Up to `limit` due incidents that nobody works on,
        claimed for `owner` until `now + lease`.

        `busy` are those this process works on itself, whatever became of their claims.
        A row that cannot be read is escalated with its reason, and stops no other.
        Alerts are read behind the claim, beside the one writer: an incident can have thousands,
        and webhooks wait for that writer.
        """
        due = {"now": now, "beyond": now + 2 * lease, "busy": list(busy), "most": limit}

        def take(tx: sa.Connection) -> list[Held]:
            rows = tx.execute(_DUE, due).mappings().all()
            if not rows:
                return []
            ids = [row["id"] for row in rows]
            tx.execute(_CLAIM, {"ids": ids, "by": owner, "until": now + lease})
            under_way = under_way_rows(tx, ids)
            proposed = waiting_rows(tx, rows)
            courses = courses_of(tx, rows)
            held: list[Held] = []
            for row in rows:
                claim = Claim(row["id"], owner, row["claim"] + 1)
                try:
                    incident = self._incident(
                        row,
                        under_way.get(row["id"]),
                        proposed.get(row["id"]),
                        courses.get(row["id"]),
                    )
                except (ValueError, LookupError, TypeError) as error:
                    unreadable(tx, row["id"], now, error)
                else:
                    held.append(Held(incident, claim))
            return held

        # Most of the time nothing is due: that is found out without taking the writer.
        first = {**due, "most": 1}
        if await self._database.read(lambda c: c.execute(_ANY_DUE, first).scalar()) is None:
            return []
        taken = await self._database.write(take)
        if not taken:
            return []
        ids = [one.incident.id for one in taken]
        alerts = await self._database.read(lambda c: _alerts(c, ids))
        return [
            replace(one, incident=replace(one.incident, alerts=tuple(alerts[one.incident.id])))
            for one in taken
        ]

    async def renew(self, claims: Sequence[Claim], until: datetime) -> None:
        """Extends claims that are still held."""
        if not claims:
            return

        def extend(tx: sa.Connection) -> None:
            for claim in claims:
                tx.execute(sa.update(incidents).where(held(claim)).values(claimed_until=until))

        await self._database.write(extend)

    async def confirm(self, claim: Claim) -> None:
        """Raises Refused(claim_lost) when somebody else has the incident by now."""
        query = sa.select(incidents.c.id).where(held(claim))
        if await self._database.read(lambda c: c.execute(query).scalar()) is None:
            raise lost(claim)

    async def control(self, now: datetime) -> Control:
        """What people have said about all actions."""
        return await self._database.read(lambda c: standing(c, now))

    async def release(self, claim: Claim) -> None:
        """Gives a claim back with nothing changed: the incident is due again."""
        free = sa.update(incidents).where(held(claim)).values(owner=None, claimed_until=None)
        await self._database.write(lambda tx: tx.execute(free).rowcount)

    async def release_all(self) -> None:
        """Drops every claim: right at the start of the one process that owns a
        SQLite file, and only then.
        """
        held = sa.update(incidents).where(incidents.c.owner.is_not(None))
        free = held.values(owner=None, claimed_until=None)
        await self._database.write(lambda tx: tx.execute(free).rowcount)

    async def next_due(
        self, now: datetime, lease: timedelta, busy: Sequence[str] = ()
    ) -> datetime | None:
        """When the next incident can be claimed: it is due, and another one's claim is over."""
        until = incidents.c.claimed_until
        waits = (
            sa.select(incidents.c.due_at)
            .where(incidents.c.due_at.is_not(None), until.is_(None))
            .order_by(incidents.c.due_at)
            .limit(1)
        )
        held = (
            sa.select(until, incidents.c.due_at)
            .where(until.is_not(None), incidents.c.due_at.is_not(None))
            .where(incidents.c.id.not_in(busy))
            .order_by(until)
            .limit(1)
        )

        def query(connection: sa.Connection) -> datetime | None:
            times = [row[0] for row in connection.execute(waits)]
            for until_at, due_at in connection.execute(held):
                over = until_at > now + 2 * lease  # made before the clock was set back
                times.append(due_at if over else max(until_at, due_at))
            return min(times, default=None)

        return await self._database.read(query)

    async def wake_all(self, now: datetime) -> None:
        """Makes everything due that waits: after a step of the clock no
        `due_at` means what it meant.
        """
        waiting = sa.update(incidents).where(incidents.c.due_at > now)
        await self._database.write(lambda tx: tx.execute(waiting.values(due_at=now)).rowcount)

    # ------------------------------------------------------------------ writing

    async def write(self, claim: Claim, change: Change, now: datetime) -> Written:
        """Commits a step and gives the claim back. Raises Refused(claim_lost);
        then nothing was written.
        """

        def commit(tx: sa.Connection) -> Written:
            return write_change(tx, claim, change, now)

        return await self._database.write(commit)

    async def retarget(
        self,
        claim: Claim,
        playbook: str,
        target: Target,
        tell: Callable[[str | None], Change],
        now: datetime,
    ) -> Change:
        """Aims an incident at another target; where the playbook has an open one there,
        that one gets its alerts.

        `tell` is given the id of that one, or None, and says what to write, in the same
        transaction. Raises Refused(claim_lost); then nothing was written.
        """

        def commit(tx: sa.Connection) -> Change:
            only_sorter(
                tx
            )  # sorting opens incidents, and writes episodes whole: never at the same time
            confirm_held(tx, claim)
            found = open_incidents(tx, [target.key])
            other_id = found.get((playbook, target.key))
            change = tell(other_id)
            mine = sa.update(incidents).where(held(claim))
            theirs = sa.update(episodes).where(episodes.c.incident_id == claim.incident_id)
            if other_id is None:
                tx.execute(mine.values(_columns(target)))
            else:
                tx.execute(theirs.values(incident_id=other_id))
            write_change(tx, claim, change, now)
            return change

        return await self._database.write(commit)

    async def prune(self, cutoff: datetime, *, with_steps: bool = True) -> None:
        """Deletes steps of incidents closed before `cutoff`,
        and alerts that ended and were last heard of before.

        Incidents, the ledger and the audit chain stay: they are the audit, and small. A
        step that is chained stays too: only who has the key can prune it (store/audit.py),
        for the chain has to tell of it.
        """
        closed = sa.select(incidents.c.id).where(incidents.c.closed_at < cutoff)
        chained = sa.exists().where(audit.c.step_id == steps.c.id)

        def commit(tx: sa.Connection) -> None:
            if with_steps:
                tx.execute(sa.delete(steps).where(steps.c.incident_id.in_(closed), ~chained))
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
            if row is None:
                return None
            under_way = under_way_rows(connection, [incident_id]).get(incident_id)
            alerts = _alerts(connection, [incident_id])[incident_id]
            proposed = waiting_rows(connection, [row]).get(incident_id)
            course = courses_of(connection, [row]).get(incident_id)
            return self._incident(row, under_way, proposed, course, alerts)

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
        newest = sa.select(incidents).order_by(incidents.c.opened_at.desc()).limit(limit)
        return await self._rows(newest)

    async def record(
        self, incident_id: str, after: int = 0, limit: int = 1_000
    ) -> tuple[Row, list[Row], list[Row]] | None:
        """The incident, its alerts (at most 1,000), and its steps after the step
        `after`, at most `limit`.
        """
        found = await self._rows(sa.select(incidents).where(incidents.c.id == incident_id))
        if not found:
            return None
        its = sa.select(episodes).where(episodes.c.incident_id == incident_id)
        taken = sa.select(steps).where(steps.c.incident_id == incident_id, steps.c.id > after)
        return (
            found[0],
            await self._rows(its.order_by(episodes.c.first_seen_at).limit(1_000)),
            await self._rows(taken.order_by(steps.c.id).limit(limit)),
        )

    async def _rows(self, query: sa.Select[Any]) -> list[Row]:
        return await self._database.read(
            lambda c: [dict(row) for row in c.execute(query).mappings()]
        )

    def _incident(
        self,
        row: Mapping[Any, Any],
        under_way: Row | None,
        proposed: Row | None,
        course: Row | None,
        alerts: Sequence[Alert] = (),
    ) -> Incident:
        target = Target(TargetKind(row["target_kind"]), row["target_namespace"], row["target_name"])
        return Incident(
            id=row["id"],
            playbook=row["playbook"],
            target=target,
            state=IncidentState(row["state"]),
            reason=Reason(row["reason"]) if row["reason"] else None,
            opened_at=row["opened_at"],
            due_at=row["due_at"] or row["opened_at"],
            closed_at=row["closed_at"],
            alerts=tuple(alerts),
            outcome=OutcomeKind(row["outcome"]) if row["outcome"] else None,
            under_way=under_way_of(self._kinds, under_way) if under_way else None,
            approval=approval_of(self._kinds, proposed) if proposed else None,
            quiet=row["quiet"],
            course=course_of(course) if course else None,
        )


def _columns(target: Target) -> Row:
    return {
        "target_kind": target.kind.value,
        "target_namespace": target.namespace,
        "target_name": target.name,
        "target_key": target.key,
    }


# Statements are built once: building one costs more than running it.
_NOW = sa.bindparam("now", type_=Instant())
_ANY_DUE = (
    sa.select(incidents.c.id)
    .where(incidents.c.due_at <= _NOW)
    # A claim that would last longer than a claim can was made before the clock was set
    # back: it counts as over.
    .where(
        sa.or_(
            incidents.c.claimed_until.is_(None),
            incidents.c.claimed_until <= _NOW,
            incidents.c.claimed_until > sa.bindparam("beyond", type_=Instant()),
        )
    )
    .where(incidents.c.id.not_in(sa.bindparam("busy", expanding=True)))
    .limit(sa.bindparam("most", type_=sa.Integer))
)
_DUE = (
    _ANY_DUE.with_only_columns(incidents)
    .order_by(incidents.c.rank, incidents.c.due_at)
    .with_for_update(skip_locked=True)  # on PostgreSQL; SQLite has one writer
)
_CLAIM = (
    sa.update(incidents)
    .where(incidents.c.id.in_(sa.bindparam("ids", expanding=True)))
    .values(
        owner=sa.bindparam("by"), claimed_until=sa.bindparam("until"), claim=incidents.c.claim + 1
    )
)
_ALERTS = (
    sa.select(episodes)
    .where(episodes.c.incident_id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(episodes.c.first_seen_at)
)


def _alerts(connection: sa.Connection, ids: Sequence[str]) -> dict[str, list[Alert]]:
    found: dict[str, list[Alert]] = {each: [] for each in ids}
    for row in connection.execute(_ALERTS, {"ids": list(ids)}).mappings():
        found[row["incident_id"]].append(alert_of(dict(row)))
    return found
