"""A ladder that does not help stops, and a person is called with what was tried.

Each no here is for good: nobody waits for the same action to help the third time.
"""

from collections.abc import Sequence
from datetime import timedelta
from itertools import takewhile

from service.guard.question import Objection, Question
from service.model.incident import OutcomeKind
from service.model.reasons import Reason
from service.model.ruling import PastAction

_TOLD = 6  # actions in the sentence


def attempts(question: Question) -> Objection | None:
    """The rung healed nothing here, the target keeps coming back, or the whole playbook fails."""
    history, limits = question.history, question.policy.attempts
    playbook, rung = question.playbook, question.proposal.rung
    futile = _row_of_failures(_ended(history.of_rung, question))
    if len(futile) >= limits.rung_failures:
        return Objection(Reason.RUNG_FUTILE, f"{rung} healed nothing here: {_told(futile)}")
    here = [a for a in _ended(history.on_target, question) if a.playbook == playbook]
    healed = [a for a in here if a.outcome == OutcomeKind.HEALED]
    if len(healed) >= limits.returns:
        return Objection(Reason.KEEPS_COMING_BACK, f"healed, and ill again: {_told(healed)}")
    failed = _row_of_failures(_ended(history.in_playbook, question))
    if len(failed) >= limits.playbook_failures:
        return Objection(Reason.PLAYBOOK_FAILING, f"{playbook} heals nothing: {_told(failed)}")
    return None


def _ended(actions: Sequence[PastAction], question: Question) -> list[PastAction]:
    """Those with an outcome, within the window, the newest outcome first."""
    since = question.now - timedelta(seconds=question.policy.attempts.window_s)
    ended = [(a.settled_at, a) for a in actions if a.settled_at and a.settled_at > since]
    return [action for _, action in sorted(ended, key=lambda e: e[0], reverse=True)]


def _row_of_failures(ended: Sequence[PastAction]) -> list[PastAction]:
    return list(takewhile(lambda a: a.outcome != OutcomeKind.HEALED, ended))


def _told(actions: Sequence[PastAction]) -> str:
    """Which action, where, when and with which outcome; the oldest first."""
    said = [
        f"{a.rung} on {a.target_key} at {a.intended_at:%Y-%m-%d %H:%M:%S} {a.outcome}"
        for a in reversed(actions[:_TOLD])
    ]
    more = f"{len(actions) - _TOLD} more before; " if len(actions) > _TOLD else ""
    return more + "; ".join(said)
