"""No action in a maintenance window that means the incident's alerts."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from service.guard.question import Objection, Question
from service.guard.recurrence import closes
from service.model.control import Control
from service.model.reasons import Reason


def window(question: Question) -> Objection | None:
    """People work there, or know that it will be ill: diagnoses and calls for help go on."""
    return closed(question.policy.control, question.labels, question.now)


def closed(
    control: Control, alerts: Sequence[Mapping[str, str]], now: datetime
) -> Objection | None:
    """The objection of the windows that are open now: until the last of them closes."""
    held = [
        (end, window)
        for window in control.windows
        if window.matches(alerts) and (end := closes(window.when, now)) is not None
    ]
    if not held:
        return None
    end, last = max(held, key=lambda pair: pair[0])
    detail = f"{last.id} of {last.said.by} until {end:%Y-%m-%d %H:%M:%S} UTC: {last.said.why}"
    return Objection(Reason.MAINTENANCE, detail, end)
