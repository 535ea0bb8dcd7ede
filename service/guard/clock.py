"""No action while the wall clock cannot be trusted."""

from service.guard.question import Objection, Question
from service.model.reasons import Reason


def clock(question: Question) -> Objection | None:
    """After a step of the clock no window of time is what it seems:
    budgets would be free and rests over at once.
    """
    sound_at = question.policy.clock_sound_at
    if sound_at is None or question.now >= sound_at:
        return None
    return Objection(
        Reason.CLOCK_STEPPED,
        f"the wall clock jumped; trusted again at {sound_at:%H:%M:%S}",
        sound_at,
    )
