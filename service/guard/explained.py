"""No action on an effect while its cause is open."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from service.guard.question import Objection, Question
from service.model.reasons import Reason
from service.model.ruling import OpenCause

AGAIN_S = 30.0


def explained(question: Question) -> Objection | None:
    """While Kafka is down, more consumers cure nothing: the effect waits for its cause,
    and is asked again soon.
    """
    return because(question.history.causes_open, question.now)


def because(causes: Sequence[OpenCause], now: datetime) -> Objection | None:
    """Why an effect waits, with the incident that it waits for; None where no cause is open."""
    if not causes:
        return None
    first = causes[0]
    more = f", and {len(causes) - 1} more" if len(causes) > 1 else ""
    detail = f"{first.playbook} explains it, and has the open incident {first.incident_id}{more}"
    return Objection(Reason.EXPLAINED_BY, detail, now + timedelta(seconds=AGAIN_S))
