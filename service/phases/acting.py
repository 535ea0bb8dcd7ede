"""Acting: one attempt at the intended action, and what it came to."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias, assert_never

from service.act.executor import Attempt, NotYet, Unsure
from service.act.kind import Deed
from service.guard.breaker import tripped
from service.guard.switch import paused
from service.guard.window import closed
from service.incident.lifecycle import Event, EventKind, outcome_of
from service.kit.deadline import Deadline
from service.model.action import ActionResult, Applied, Intent, Mode
from service.model.change import ActionChange
from service.model.control import Control
from service.model.errors import Refused
from service.model.incident import Held, Incident, Outcome, OutcomeKind, Progress, UnderWay
from service.model.reasons import Reason
from service.model.step import Acted, Tried, Verified
from service.phases.moving import conclude, labels_of, move
from service.phases.proving import plan_of, remedy
from service.phases.rooms import Rooms
from service.phases.touched import touched
from service.verify.judge import begin

BELOW_AUTO = {
    Mode.OBSERVE: Reason.MODE_OBSERVE,
    Mode.DRY_RUN: Reason.MODE_DRY_RUN,
    Mode.APPROVE: Reason.APPROVAL_REQUIRED,
    Mode.VETO: Reason.VETO_PENDING,
}


# Why an action that was not done yet may not be done now; and what follows when it has ended.
Lapse: TypeAlias = Callable[[Incident, Intent[Any], Rooms, datetime], Reason | None]
Then: TypeAlias = Callable[[Held, UnderWay, ActionResult, float, Rooms], Awaitable[None]]


async def act(
    held: Held,
    under_way: UnderWay,
    rooms: Rooms,
    *,
    look_first: bool,
    lapse: Lapse | None = None,
    then: Then | None = None,
) -> None:
    """One attempt, and what it came to: done, failed, going on, or to be tried or read back again.

    A step of a course brings a `lapse` and a `then` of its own.
    """
    incident, intent = held.incident, under_way.intent
    began, started_at = rooms.clock.monotonic(), rooms.clock.now()

    async def confirm() -> None:
        """Right before a write: is the incident still ours, and has nobody forbidden it
        meanwhile?
        """
        await rooms.incidents.confirm(held.claim)
        if under_way.progress.started:
            return  # what has begun is brought to its end
        control = await rooms.incidents.control(rooms.clock.now())
        reason = forbidden(incident, intent, rooms, control)
        # A return is no remedy, and a course asks at each of its steps.
        if reason is None and intent.returns is None and then is None:
            limits, now = rooms.policy().breaker, rooms.clock.now()
            objection = tripped(limits, await rooms.ledger.new_incidents(limits, now), now)
            reason = objection.reason if objection is not None else None
        if reason is not None:
            raise Refused(reason, "forbidden right before it was sent", 403)

    attempt = await rooms.executor.attempt(
        intent,
        look_first=look_first,
        lapsed=(lapse or lapsed)(incident, intent, rooms, started_at),
        confirm=confirm,
        deadline=Deadline.after(rooms.attempts.one_s),
    )
    now, took_s = rooms.clock.now(), rooms.clock.monotonic() - began
    progress = replace(under_way.progress, attempts=under_way.progress.attempts + 1)
    going_on = isinstance(attempt, Deed) and attempt.applied is Applied.STARTED
    if going_on:
        progress = replace(progress, started=True, unsure_since=None)
    elif isinstance(attempt, Unsure) or progress.started:
        progress = replace(progress, unsure_since=progress.unsure_since or now)
    ended = _ended(attempt, intent, progress, rooms, now)
    if isinstance(ended, ActionResult):
        return await (then or _acted)(held, under_way, ended, took_s, rooms)
    again_at, reason, detail = now + timedelta(seconds=ended), _reason(attempt), attempt.detail
    tried = Tried(now, intent.action_id, str(intent.request), reason, detail, again_at)
    event = Event(EventKind.WAITING, reason, detail, again_at)
    action = ActionChange(intent.action_id, progress=progress)
    return await move(held, event, (tried,), rooms, action=action)


def _ended(
    attempt: Attempt, intent: Intent[Any], progress: Progress, rooms: Rooms, now: datetime
) -> ActionResult | float:
    """The action's end, or the seconds until it is asked again."""
    match attempt:
        case Deed(applied=Applied.STARTED):
            return max(attempt.again_in_s, 0.2)
        case Deed():
            return ActionResult(attempt.applied, attempt.reason, attempt.detail, now)
        case NotYet() if not progress.started:
            pause_s = max(attempt.retry_after_s, _backoff_s(progress.attempts))
            # What is wanted is what was there before: that may be late,
            # where a remedy would be stale.
            tries = rooms.attempts
            all_s = tries.unsure_s if intent.returns is not None else tries.all_s
            if 0 <= (now - intent.intended_at).total_seconds() <= all_s - pause_s:
                return pause_s
            detail = f"{attempt.reason}: {attempt.detail}"
            return ActionResult(Applied.FAILED, Reason.NEVER_SENT, detail, now)
        case NotYet() | Unsure():  # it was sent, or has started: somebody has to find out
            pause_s = max(1.0, _backoff_s(progress.attempts))
            since = progress.unsure_since or now
            if 0 <= (now - since).total_seconds() <= rooms.attempts.unsure_s - pause_s:
                return pause_s
            return ActionResult(Applied.FAILED, Reason.INDETERMINATE, attempt.detail, now)
        case _ as never:
            assert_never(never)


def _reason(attempt: Attempt) -> Reason:
    return Reason.INDETERMINATE if isinstance(attempt, Unsure) else attempt.reason


def _backoff_s(attempts: int) -> float:
    """0.2, 0.4, 0.8 ... seconds, at most 30."""
    return float(min(30.0, 0.1 * 2 ** min(attempts, 10)))


def lapsed(incident: Incident, intent: Intent[Any], rooms: Rooms, now: datetime) -> Reason | None:
    """Why an action that was not done yet may not be done now:
    the world or the operator has moved on.

    A return asks for no alert and no fresh evidence: it finds what the action
    wrote, or it does nothing.
    """
    policy = rooms.policy()
    playbook = rooms.playbooks.get(incident.playbook)
    rung = remedy(playbook, intent.rung)
    age_s = (now - intent.intended_at).total_seconds()
    returning = intent.returns is not None
    if not incident.firing and not returning:
        return Reason.ALERT_RESOLVED
    if incident.target.namespace not in policy.namespaces:
        return Reason.NAMESPACE_NOT_ALLOWED
    if rung is None:
        return Reason.NO_PLAYBOOK
    if not returning and not 0 <= age_s <= policy.evidence_max_age_s:
        return Reason.EVIDENCE_STALE
    return forbidden(incident, intent, rooms, policy.control)


def forbidden(
    incident: Incident, intent: Intent[Any], rooms: Rooms, control: Control
) -> Reason | None:
    """Why people do not want it any more: a lower ceiling, the kill switch, a maintenance
    window.
    """
    now = rooms.clock.now()
    rung = remedy(rooms.playbooks.get(incident.playbook), intent.rung)
    if rung is not None:
        course = incident.course
        approved = course is not None and course.approved_by and not course.state.ended
        mode = Mode.AUTO if approved else rung.mode
        if intent.returns is not None:
            # What was allowed before, by the rung or by a person, may be taken back:
            # only the ceiling counts.
            mode = intent.mode
        mode = mode.capped(rooms.policy().under(control).ceiling)
        # Two people's yes to a course is what the ceiling `approve` asks for.
        least = Mode.APPROVE if approved else intent.mode
        if mode.height < min(least.height, intent.mode.height):
            return BELOW_AUTO.get(mode)
    held = paused(control, now) or closed(control, labels_of(incident), now)
    return held.reason if held is not None else None


async def _acted(
    held: Held, under_way: UnderWay, result: ActionResult, took_s: float, rooms: Rooms
) -> None:
    """The action has ended: it is verified, or there is nothing to verify."""
    incident, intent, now = held.incident, under_way.intent, result.at
    action = str(intent.request)
    about = touched(intent, rooms.kinds)
    acted = Acted(
        now, intent.action_id, intent.rung, intent.kind, action, result, took_s, intent.mode, about,
        intent.returns,
    )  # fmt: skip
    outcome = outcome_of(result)
    if result.reason is Reason.NEVER_SENT and intent.returns is None:
        failed = Outcome(OutcomeKind.FAILED, Reason.NEVER_SENT, result.detail, now)
        change = ActionChange(intent.action_id, result=result, outcome=failed)
        event = Event(EventKind.NEVER_SENT, result.reason, result.detail)
        verified = Verified(now, intent.action_id, intent.rung, failed, intent.mode, about)
        return await move(held, event, (acted, verified), rooms, action=change)
    if outcome is not None:
        return await conclude(held, under_way, outcome, (acted,), rooms, result=result)
    again = begin(plan_of(incident, intent, rooms), under_way.progress, now)
    change = ActionChange(intent.action_id, result=result, progress=again.progress)
    event = Event(EventKind.DONE, result.reason, "done; to be verified", again.due_at)
    return await move(held, event, (acted,), rooms, action=change)
