"""What the guards may know of the past, read within the transaction that writes an
intent: one indexed query each.

Never here: a rule (guard), or a write.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from service.model.action import Mode
from service.model.alert import AlertStatus
from service.model.incident import Incident
from service.model.limits import AttemptLimits, BreakerLimits
from service.model.playbook import Budget, Limits
from service.model.reasons import Reason
from service.model.ruling import History, OpenCause, PastAction
from service.store import breaker
from service.store.controls import standing
from service.store.course_rows import stop_wanted
from service.store.proposals import newest_state
from service.store.schema import Instant, episodes, incidents, ledger

LOOKBACK = timedelta(days=7)  # no budget has a longer window: see playbooks/format.py

# What was let be, or never left this process, was not tried, and spends no budget.
NOT_TRIED = (
    Reason.EVIDENCE_STALE,
    Reason.ALERT_RESOLVED,
    Reason.NEVER_SENT,
    Reason.CLAIM_LOST,
    Reason.MODE_OBSERVE,
    Reason.APPROVAL_REQUIRED,
    Reason.VETO_PENDING,
    Reason.SWITCHED_OFF,
    Reason.MAINTENANCE,
    Reason.BREAKER_OPEN,
)
_PER_RETURN = 3  # lines of a target, other playbooks' among them, to tell how often it came back
_MOST_OPEN = 1_000


@dataclass(frozen=True, slots=True)
class Scopes:
    """What the guards count, and with it how many of the newest lines of each scope they need.

    `causes` are the playbooks that explain the incident's own.
    A step of a course is asked for on its own target.
    """

    limits: Limits
    in_namespace: Budget
    overall: Budget
    breaker: BreakerLimits
    attempts: AttemptLimits
    rung: str
    causes: Sequence[str] = ()
    course: str = ""  # the id of the course whose step it is


# Statements are built once: building one costs more than running it.
_COLUMNS = (
    ledger.c.action_id,
    ledger.c.incident_id,
    ledger.c.playbook,
    ledger.c.target_key,
    ledger.c.rung,
    ledger.c.kind,
    ledger.c.intended_at,
    ledger.c.settled_at,
    ledger.c.outcome,
    ledger.c.namespace,
)
_REAL = sa.select(*_COLUMNS).where(ledger.c.mode != sa.literal(Mode.DRY_RUN.value))


def _newest(*scope: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return (
        # A return is spent from no budget: there is one at most for each action, and that one was.
        _REAL.where(*scope, ledger.c.returns.is_(None))
        .where(ledger.c.intended_at > sa.bindparam("since", type_=Instant()))
        .where(sa.func.coalesce(ledger.c.applied_reason, "").not_in(NOT_TRIED))
        .order_by(ledger.c.intended_at.desc())
        .limit(sa.bindparam("most", type_=sa.Integer()))
    )


_TARGET = ledger.c.target_key == sa.bindparam("target")
_PLAYBOOK = ledger.c.playbook == sa.bindparam("playbook")
_OF_RUNG = _newest(_TARGET, _PLAYBOOK, ledger.c.rung == sa.bindparam("rung"))
_ON_TARGET = _newest(_TARGET)
_IN_PLAYBOOK = _newest(_PLAYBOOK)
_IN_NAMESPACE = _newest(ledger.c.namespace == sa.bindparam("namespace"))
_OVERALL = _newest()
# However old: a service that was down for a week finds its action where it left it.
_OPEN = (
    _REAL.where(ledger.c.settled_at.is_(None))
    .order_by(_TARGET.desc(), ledger.c.intended_at.desc())
    .limit(_MOST_OPEN)
)
_FIRING = sa.select(sa.func.count(), sa.func.max(episodes.c.last_seen_at)).where(
    episodes.c.incident_id == sa.bindparam("incident"),
    episodes.c.status == sa.literal(AlertStatus.FIRING.value),
)
_CAUSES = (
    sa.select(incidents.c.id, incidents.c.playbook)
    .where(incidents.c.target_namespace == sa.bindparam("namespace"))
    .where(incidents.c.playbook.in_(sa.bindparam("causes", expanding=True)))
    # Written out, not as a parameter: only so the planner knows that the partial index serves.
    .where(incidents.c.state != sa.literal_column("'closed'"))
    .where(incidents.c.id != sa.bindparam("effect"))
    .order_by(incidents.c.id)
    .limit(10)
)


def history(tx: sa.Connection, incident: Incident, scopes: Scopes, now: datetime) -> History:
    """All of it, for one incident and one rung."""
    target, limits, attempts = incident.target, scopes.limits, scopes.attempts
    named = {"target": target.key, "playbook": incident.playbook, "since": now - LOOKBACK}
    firing, heard_at = tx.execute(_FIRING, {"incident": incident.id}).one()
    under_treatment = _past(tx, _OPEN, {"target": target.key})

    def newest(query: sa.Select[Any], most: int, **more: object) -> list[PastAction]:
        return _past(tx, query, {**named, **more, "most": most})

    per_rung = limits.per_rung.count if limits.per_rung else 0
    of_rung = newest(_OF_RUNG, max(per_rung, attempts.rung_failures) + 1, rung=scopes.rung)
    on_target = newest(_ON_TARGET, max(limits.per_target.count, _PER_RETURN * attempts.returns))
    playbooks = max(limits.per_playbook.count, attempts.playbook_failures) + 5
    in_playbook = newest(_IN_PLAYBOOK, playbooks)
    in_namespace = newest(
        _IN_NAMESPACE, scopes.in_namespace.count, namespace=incident.target.namespace
    )
    return History(
        firing_alerts=int(firing),
        heard_at=heard_at,
        on_target=_with(on_target, (a for a in under_treatment if a.target_key == target.key)),
        in_playbook=_with(
            in_playbook, (a for a in under_treatment if a.playbook == incident.playbook)
        ),
        overall=_with(newest(_OVERALL, scopes.overall.count), under_treatment),
        causes_open=causes_open(tx, incident, scopes.causes) if scopes.causes else (),
        of_rung=of_rung,
        in_namespace=in_namespace,
        under_treatment=under_treatment,
        breaker=breaker.state(tx, scopes.breaker, now),
        approval=newest_state(tx, incident.id) if incident.approval is not None else None,
        control=standing(tx, now, locked=True),
        stop_by=stop_wanted(tx, scopes.course) if scopes.course else "",
    )


def _past(tx: sa.Connection, query: sa.Select[Any], asked: dict[str, object]) -> list[PastAction]:
    return [PastAction(*row) for row in tx.execute(query, asked)]


def _with(newest: Sequence[PastAction], unsettled: Iterable[PastAction]) -> list[PastAction]:
    """The newest that count, and all that have no outcome yet."""
    known = {action.action_id for action in newest}
    found = [*newest, *(action for action in unsettled if action.action_id not in known)]
    return sorted(found, key=lambda action: action.intended_at, reverse=True)


def causes_open(
    tx: sa.Connection, incident: Incident, causes: Sequence[str]
) -> tuple[OpenCause, ...]:
    """The open incidents of some playbooks in the incident's namespace,
    oldest first, a few of them.
    """
    asked = {
        "namespace": incident.target.namespace,
        "causes": list(causes),
        "effect": incident.id,
    }
    return tuple(OpenCause(*row) for row in tx.execute(_CAUSES, asked))
