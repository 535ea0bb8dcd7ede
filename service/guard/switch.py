"""No action while a person has paused all of them."""

from datetime import datetime, timedelta

from service.guard.question import Objection, Question
from service.model.control import Control
from service.model.reasons import Reason

_ASKED_AGAIN = timedelta(hours=1)  # at the latest; who resumes wakes what waits


def switch(question: Question) -> Objection | None:
    """The kill switch: it holds actions, not diagnoses, and not calls for help."""
    return paused(question.policy.control, question.now)


def paused(control: Control, now: datetime) -> Objection | None:
    """The objection of the pause in force, where there is one."""
    pause = control.pause
    if pause is None or (pause.until is not None and now >= pause.until):
        return None
    said = pause.said
    end = f" until {pause.until:%Y-%m-%d %H:%M:%S} UTC" if pause.until else ""
    detail = f"paused by {said.by}{end}: {said.why}"
    return Objection(Reason.SWITCHED_OFF, detail, pause.until or now + _ASKED_AGAIN)
