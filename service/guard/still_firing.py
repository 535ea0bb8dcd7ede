"""No action for what Alertmanager does not have firing any more, or what people have silenced."""

from datetime import timedelta

from service.guard.question import Objection, Question
from service.model.evidence import Unknown
from service.model.reasons import Reason

AGAIN_S = 30.0
PEACE_S = 300.0  # silences and inhibitions last longer


def still_firing(question: Question) -> Objection | None:
    """A webhook may be the frozen retry of an alert that has resolved since: where
    Alertmanager is configured, it is asked right before acting. Where it is not,
    the webhook is all there is to know.

    An Alertmanager that is away denies for now: whoever configured it wants its word,
    and the way by which a "resolved" would come is the one that is broken.
    """
    reading = question.standing
    if reading is None:
        return None
    if isinstance(reading, Unknown):
        why = f"{reading.reason}: {reading.detail}"
        return Objection(Reason.FIRING_UNKNOWN, why, question.now + timedelta(seconds=AGAIN_S))
    found = reading.value
    if found.active:
        return None
    peace_at = question.now + timedelta(seconds=PEACE_S)
    if found.silenced:
        return Objection(Reason.SILENCED, f"{found.silenced} of its alerts", peace_at)
    if found.inhibited:
        return Objection(Reason.INHIBITED, f"{found.inhibited} of its alerts", peace_at)
    again = question.now + timedelta(seconds=AGAIN_S)
    return Objection(Reason.NOT_FIRING, "Alertmanager has none of its alerts any more", again)
