"""Where an incident goes: again later, on to the next rung, to a person, or to its close."""

import pytest

from service.decide.course import (
    Patience,
    after_denial,
    after_outcome,
    after_proposal,
    after_resolve,
)
from service.model.incident import IncidentState, Outcome, OutcomeKind
from service.model.reasons import Reason
from service.model.ruling import Considered, Proposal, Ruling, Verdict
from tests.unit.made import after, incident

PATIENCE = Patience(recheck_s=60.0, hand_over_after_s=900.0)
OPEN, HEALED, HANDED_OVER, CLOSED = IncidentState


@pytest.mark.parametrize(
    ("state", "reason", "now_s", "expected", "due_s"),
    [
        pytest.param(OPEN, Reason.NO_RUNG_HOLDS, 0, OPEN, 60, id="no rung holds: look again"),
        pytest.param(OPEN, Reason.NO_RUNG_HOLDS, 899, OPEN, 959, id="until patience ends"),
        pytest.param(OPEN, Reason.NO_RUNG_HOLDS, 900, HANDED_OVER, None, id="then a person"),
        pytest.param(
            OPEN, Reason.LADDER_EXHAUSTED, 0, HANDED_OVER, None, id="all tried: a person at once"
        ),
        pytest.param(
            OPEN, Reason.ALREADY_HEALTHY, 0, OPEN, 60, id="healthy, but not by us: look again"
        ),
        pytest.param(
            HEALED, Reason.ALREADY_HEALTHY, 9_000, HEALED, 9_060, id="healed stays healed for ever"
        ),
        pytest.param(HEALED, Reason.NO_RUNG_HOLDS, 100, OPEN, 160, id="healed no more"),
        pytest.param(
            HEALED,
            Reason.EVIDENCE_UNKNOWN,
            9_000,
            HEALED,
            9_060,
            id="healed, and one look tells nothing",
        ),
        pytest.param(
            OPEN,
            Reason.EVIDENCE_UNKNOWN,
            900,
            HANDED_OVER,
            None,
            id="unknown for too long: a person",
        ),
        pytest.param(
            HEALED,
            Reason.LADDER_EXHAUSTED,
            100,
            HANDED_OVER,
            None,
            id="healed no more, and nothing left",
        ),
    ],
)
def test_after_a_proposal_of_nothing(
    state: IncidentState, reason: Reason, now_s: float, expected: IncidentState, due_s: float | None
) -> None:
    proposal = Proposal((Considered("scale-out", "x", Reason.DOES_NOT_HOLD),), reason)
    move = after_proposal(incident(state), proposal, PATIENCE, after(now_s))
    assert (move.state, move.reason) == (expected, reason)
    assert move.due_at == (None if due_s is None else after(due_s))


@pytest.mark.parametrize(
    ("reason", "retry_s", "now_s", "expected", "due_s"),
    [
        pytest.param(Reason.MODE_OBSERVE, None, 0, HANDED_OVER, None, id="not by itself: a person"),
        pytest.param(Reason.COOLING_DOWN, 120, 0, OPEN, 120, id="at the time that the guard names"),
        pytest.param(Reason.EVIDENCE_STALE, 5, 5, OPEN, 6, id="never within the same second"),
        pytest.param(Reason.BUDGET_TARGET, 900, 0, OPEN, 900, id="as late as patience lasts"),
        pytest.param(
            Reason.BUDGET_TARGET, 901, 0, HANDED_OVER, None, id="later than people should wait"
        ),
        pytest.param(
            Reason.ALERT_RESOLVED,
            5_000,
            5_000,
            OPEN,
            5_000,
            id="resolved: to its close, nobody is called",
        ),
    ],
)
def test_after_a_denial(
    reason: Reason,
    retry_s: float | None,
    now_s: float,
    expected: IncidentState,
    due_s: float | None,
) -> None:
    retry_at = None if retry_s is None else after(retry_s)
    ruling = Ruling(Verdict.DENY, "g", reason, "why", retry_at=retry_at)
    move = after_denial(incident(), ruling, PATIENCE, after(now_s))
    assert (move.state, move.reason) == (expected, reason)
    assert move.due_at == (None if due_s is None else after(due_s))


@pytest.mark.parametrize(
    ("kind", "reason", "expected", "due_s"),
    [
        pytest.param(
            OutcomeKind.HEALED,
            Reason.READINGS_GOOD,
            HEALED,
            70,
            id="healed: read again now and then",
        ),
        pytest.param(
            OutcomeKind.NOT_HEALED,
            Reason.READINGS_BAD,
            OPEN,
            10,
            id="not healed: the next rung at once",
        ),
        pytest.param(
            OutcomeKind.INCONCLUSIVE,
            Reason.READINGS_UNKNOWN,
            OPEN,
            10,
            id="inconclusive: look again",
        ),
        pytest.param(
            OutcomeKind.INCONCLUSIVE,
            Reason.MODE_DRY_RUN,
            HANDED_OVER,
            None,
            id="a dry run ends here",
        ),
        pytest.param(
            OutcomeKind.FAILED, Reason.ACTION_FAILED, OPEN, 10, id="nothing was done: the next rung"
        ),
        pytest.param(
            OutcomeKind.WORSE,
            Reason.READINGS_WORSE,
            HANDED_OVER,
            None,
            id="worse: a person at once",
        ),
    ],
)
def test_after_an_outcome(
    kind: OutcomeKind, reason: Reason, expected: IncidentState, due_s: float | None
) -> None:
    move = after_outcome(incident(), Outcome(kind, reason, "d", after(10)), PATIENCE, after(10))
    assert (move.state, move.reason) == (expected, reason)
    assert move.due_at == (None if due_s is None else after(due_s))


@pytest.mark.parametrize("kind", list(OutcomeKind))
def test_what_was_handed_over_is_not_taken_back_unless_it_healed(kind: OutcomeKind) -> None:
    move = after_outcome(
        incident(HANDED_OVER), Outcome(kind, Reason.DONE, "d", after(10)), PATIENCE, after(10)
    )
    assert move.state is (HEALED if kind is OutcomeKind.HEALED else HANDED_OVER)


@pytest.mark.parametrize("state", [OPEN, HEALED, HANDED_OVER])
def test_an_incident_without_a_firing_alert_closes_and_as_healed_only_where_it_stands_so(
    state: IncidentState,
) -> None:
    move = after_resolve(incident(state, outcome=OutcomeKind.HEALED))
    assert move.state is CLOSED
    assert move.reason is (Reason.READINGS_GOOD if state is HEALED else Reason.ALERT_RESOLVED)
