"""Some things are nobody's target, whatever a playbook, a label or an allowed namespace says."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from service.guard.question import Objection, Question
from service.model.reasons import Reason


def protected(question: Question) -> Objection | None:
    """The target, and each object that the action writes to,
    against what is written as `NAMESPACE[/NAME]`.
    """
    for namespace, name in _touched(question):
        for pattern in question.policy.protected:
            within, _, named = pattern.partition("/")
            if fnmatchcase(namespace, within) and fnmatchcase(name, named or "*"):
                shown = f"{namespace}/{name}".strip("/")
                return Objection(Reason.PROTECTED, f"{shown} is protected by {pattern}")
    return None


def _touched(question: Question) -> Iterator[tuple[str, str]]:
    yield question.target.namespace, question.target.name
    for survey in question.known_surveys:
        yield survey.ref.namespace, survey.ref.name
