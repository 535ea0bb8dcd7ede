"""Only so much is under treatment at once: of a namespace, and in all."""

from datetime import timedelta

from service.guard.question import Objection, Question
from service.model.evidence import Known
from service.model.reasons import Reason

AGAIN_S = 30.0


def blast_radius(question: Question) -> Objection | None:
    """Targets whose action has no outcome yet, this one among them, against a number and a
    share.
    """
    limits, target = question.policy.blast, question.target
    treated = {a.target_key: a.namespace for a in question.history.under_treatment}
    treated[target.key] = target.namespace
    again = question.now + timedelta(seconds=AGAIN_S)
    if len(treated) > limits.targets:
        detail = f"{len(treated) - 1} targets are under treatment, at most {limits.targets}"
        return Objection(Reason.BLAST_RADIUS, detail, again)
    # Nothing of Kubernetes is touched, or it is not known:
    # the guard of what has to be known says so.
    if not isinstance(question.around, Known):
        return None
    workloads = question.around.value.workloads
    most = max(1, int(workloads * limits.share_percent / 100))
    here = sum(namespace == target.namespace for namespace in treated.values())
    if here > most:
        detail = (
            f"{here - 1} of {workloads} workloads of {target.namespace} are under treatment,"
            f" at most {limits.share_percent:g} %"
        )
        return Objection(Reason.BLAST_RADIUS, detail, again)
    return None
