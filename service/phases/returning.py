"""Returning: an action did not help, and what it changed goes back, as an action of its own.

The intent of the return is written in the transaction that settles the action,
so there is one return of an action or none, whatever dies in between. While a
guard holds it back the action waits with its verdict.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from service.decide.by_hand import commands
from service.decide.returning import Stays, inverse_of, replaced, stays
from service.guard.chain import rule
from service.guard.question import Question
from service.incident.lifecycle import Event, EventKind, advance, from_outcome
from service.model.action import AnyKind, Intent
from service.model.change import ActionChange, Change
from service.model.evidence import Known, Reading
from service.model.incident import Held, Incident, Outcome, UnderWay
from service.model.objects import Survey
from service.model.playbook import Remedy
from service.model.reasons import Reason
from service.model.ruling import History, Proposal, Ruling
from service.model.step import Kept, Returning, Step, Touched, Verified
from service.phases.moving import conclude, frees, labels_of, moved
from service.phases.rooms import Rooms
from service.phases.ruling import ruled, scopes_of, uids_of
from service.phases.touched import touched
from service.store.names import new_id
from service.verify.lasting import reverted


async def end(
    held: Held,
    under_way: UnderWay,
    outcome: Outcome,
    remedy: Remedy | None,
    steps: Sequence[Step],
    rooms: Rooms,
) -> None:
    """The action has its verdict: it goes back, waits to go back, or is concluded as it is."""
    incident, intent = held.incident, under_way.intent
    kind = rooms.kinds.get(intent.kind)
    inverse = inverse_of(kind, intent, outcome)
    course = incident.course
    if course is not None and not course.state.ended:
        # A saga's steps belong together; what to take back of them is a person's to say.
        inverse = None
    if kind is None or inverse is None:
        return await conclude(held, under_way, outcome, steps, rooms)
    why = stays(remedy, under_way.result, outcome, firing=bool(incident.firing))
    why = why or await _not_ours(kind, intent, rooms)
    action_id = new_id("act", rooms.clock.now())
    writes = kind.writes(inverse, action_id)
    about = touched(intent, rooms.kinds)
    said = _Said(under_way, outcome, about, str(inverse), commands(writes), tuple(steps))
    if why is not None:
        kept = (said.kept(why, rooms.clock.now()),)
        return await conclude(held, under_way, outcome, steps, rooms, after=kept)
    surveys = await rooms.survey(writes)
    mode, now = intent.mode.capped(rooms.policy().ceiling), rooms.clock.now()
    back = Intent(
        action_id,
        incident.id,
        intent.rung,
        intent.kind,
        inverse,
        mode,
        now,
        uids_of(surveys),
        intent.action_id,
    )
    return await _admit(held, back, said, surveys, rooms)


async def _admit(
    held: Held,
    back: Intent[Any],
    said: "_Said",
    surveys: Reading[tuple[Survey, ...]],
    rooms: Rooms,
) -> None:
    """The guards are asked inside the transaction that settles the action and
    writes the return's intent.
    """
    incident, before = held.incident, said.under_way.before
    judge = _judge(incident, back, said, surveys, rooms)
    policy, limits = rooms.policy(), rooms.playbooks[incident.playbook].limits
    scopes = scopes_of(limits, policy, back.rung)
    ruling, change = await rooms.ledger.admit(
        incident, held.claim, back, judge, scopes=scopes, before=before, now=back.intended_at
    )
    rooms.journal.tell(incident, change.steps)
    if ruling.allowed:
        # The next step does it, as it would after a crash:
        # there is one way from an intent to its action.
        await rooms.incidents.release(held.claim)


async def _not_ours(kind: AnyKind, intent: Intent[Any], rooms: Rooms) -> Stays | None:
    """Why what is there now is another hand's. Where that cannot be told, the guards hold it
    back.
    """
    writes = kind.writes(intent.request, intent.action_id)
    surveys = await rooms.survey(writes)
    if not isinstance(surveys, Known):
        return None
    if other := replaced(intent.uids, surveys.value):
        return Stays(Reason.TARGET_REPLACED, other)
    changed = reverted(writes, surveys.value)
    return Stays(Reason.TARGET_CHANGED, changed) if changed else None


@dataclass(frozen=True, slots=True)
class _Said:
    """What is told of a return, whatever becomes of it."""

    under_way: UnderWay
    outcome: Outcome
    about: tuple[Touched, ...]
    action: str  # the sentence of the inverse
    commands: Sequence[str]
    steps: tuple[Step, ...]

    def first(self, now: datetime) -> tuple[Step, ...]:
        """The verdict and what is to follow from it, told once however often the guards are
        asked.
        """
        if self.under_way.progress.verdict is not None:
            return self.steps
        intent = self.under_way.intent
        verified = Verified(
            self.outcome.at, intent.action_id, intent.rung, self.outcome, intent.mode, self.about
        )
        return (*self.steps, verified, Returning(now, intent.action_id, intent.rung, self.action))

    def kept(self, why: Stays, now: datetime) -> Kept:
        intent = self.under_way.intent
        return Kept(
            now,
            intent.action_id,
            intent.rung,
            why.reason,
            why.detail,
            self.action,
            self.commands,
        )


def _judge(
    incident: Incident,
    back: Intent[Any],
    said: _Said,
    surveys: Reading[tuple[Survey, ...]],
    rooms: Rooms,
) -> Callable[[History], tuple[Ruling, Change]]:
    """Asks the guards, and says what is to be written for their answer."""
    original, outcome, now = said.under_way.intent, said.outcome, back.intended_at
    ref = incident.target.ref
    seen_uid = original.uids.get(ref.path) if ref is not None else None
    proposal = Proposal((), None, back.rung, back.kind, back.request, original.mode, now)
    limits, policy = rooms.playbooks[incident.playbook].limits, rooms.policy()

    def judge(history: History) -> tuple[Ruling, Change]:
        # The action that goes back has no outcome in the ledger before its return is intended.
        others = [a for a in history.on_target if a.action_id != original.action_id]
        question = Question(
            proposal, incident.target, limits, policy.under(history.control),
            replace(history, on_target=others), seen_uid, surveys, now, returning=True, playbook=incident.playbook,
            # Whoever allowed the change has allowed its return.
            labels=labels_of(incident), consent=original.mode,
        )  # fmt: skip
        ruling = rule(question, rooms.chain)
        because = ruled(
            ruling, back, now, action=str(back.request), why=f"takes {back.returns} back"
        )
        told = (*said.first(now), because)
        settle = ActionChange(original.action_id, outcome=outcome)
        if ruling.allowed:
            event = Event(EventKind.ADMITTED, outcome.reason, said.action)
            to = advance(incident, event, rooms.patience, now)
            return ruling, Change(to, told, settle, outcome.kind)
        if _waits(ruling, outcome, rooms, now):
            event = Event(EventKind.HELD, ruling.reason, ruling.detail, ruling.retry_at)
            to = advance(incident, event, rooms.patience, now)
            progress = replace(said.under_way.progress, verdict=outcome)
            return ruling, Change(to, told, ActionChange(original.action_id, progress=progress))
        to = advance(incident, from_outcome(outcome), rooms.patience, now)
        kept = said.kept(Stays(ruling.reason, ruling.detail), now)
        told = (*told, kept, moved(incident, to, now, outcome.kind))
        return ruling, Change(to, told, settle, outcome.kind, frees=frees(incident, to, rooms))

    return judge


def _waits(ruling: Ruling, outcome: Outcome, rooms: Rooms, now: datetime) -> bool:
    """Asking again makes sense, and the change has not stood for too long by then."""
    ends_at = outcome.at + timedelta(seconds=rooms.attempts.unsure_s)
    return ruling.retry_at is not None and max(now, ruling.retry_at) <= ends_at
