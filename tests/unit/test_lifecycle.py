"""The life of an incident: every edge of the table, every pair that is not
in it, and what feeds it.
"""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.incident.lifecycle import (
    HOLDS,
    TABLE,
    TIMED,
    Event,
    EventKind,
    Patience,
    advance,
    from_denial,
    from_outcome,
    from_proposal,
    from_return,
    outcome_of,
    resolved,
)
from service.model.action import ActionResult, Applied
from service.model.incident import IncidentState, Outcome, OutcomeKind
from service.model.reasons import Reason
from service.model.ruling import Considered, Proposal, Ruling, Verdict
from tests.unit.made import after, incident

OPEN, ACTING, WAITING, VERIFYING, HEALED, ESCALATED, CLOSED = IncidentState
E = EventKind
PATIENCE = Patience(recheck_s=60.0, escalate_after_s=900.0, seldom_s=900.0)
NOW = 100  # seconds after the incident was opened
SAID = 130  # when the event itself says to look again

LOOKED_AT: dict[EventKind, tuple[IncidentState, int | None]] = {
    E.NO_RUNG: (OPEN, NOW + 60),
    E.EXHAUSTED: (ESCALATED, None),
    E.MISSING: (ESCALATED, None),
    E.PEOPLE: (ESCALATED, None),
    E.HELD: (OPEN, SAID),
    E.DENIED: (ESCALATED, None),
    E.PROPOSED: (WAITING, SAID),
    E.ADMITTED: (ACTING, NOW),
    E.RESOLVED: (CLOSED, None),
    E.BROKEN: (ESCALATED, None),
}
CONCLUDED: dict[EventKind, tuple[IncidentState, int | None]] = {
    E.HEALED: (HEALED, NOW + 60),
    E.NOT_HEALED: (OPEN, NOW),
    E.OVER: (ESCALATED, None),
    E.BROKEN: (ESCALATED, None),
    E.STEPPED: (OPEN, NOW),
}
EXPECTED: dict[IncidentState, dict[EventKind, tuple[IncidentState, int | None]]] = {
    OPEN: {
        **LOOKED_AT,
        E.RETARGETED: (OPEN, NOW),
        E.JOINED: (CLOSED, None),
        E.COURSE_WAITS: (OPEN, SAID),
        E.HEALTHY: (OPEN, NOW + 60),
        E.UNKNOWN: (OPEN, NOW + 60),
    },
    WAITING: {
        E.ASKED: (WAITING, SAID),
        E.HELD: (WAITING, SAID),
        E.ADMITTED: (ACTING, NOW),
        E.WITHDRAWN: (OPEN, NOW),
        E.REJECTED: (ESCALATED, None),
        E.EXPIRED: (ESCALATED, None),
        E.DENIED: (ESCALATED, None),
        E.RESOLVED: (CLOSED, None),
        E.BROKEN: (ESCALATED, None),
    },
    ACTING: {
        **CONCLUDED,
        E.WAITING: (ACTING, SAID),
        E.NEVER_SENT: (OPEN, NOW + 60),
        E.DONE: (VERIFYING, SAID),
    },
    VERIFYING: {
        **CONCLUDED,
        E.READ: (VERIFYING, SAID),
        E.HELD: (VERIFYING, SAID),
        E.ADMITTED: (ACTING, NOW),
    },
    HEALED: {**LOOKED_AT, E.HEALTHY: (HEALED, NOW + 60), E.UNKNOWN: (HEALED, NOW + 60)},
    ESCALATED: {
        E.HELD: (ESCALATED, SAID),
        E.RELEASED: (OPEN, NOW),
        E.DENIED: (ESCALATED, None),
        E.RESOLVED: (CLOSED, None),
        E.BROKEN: (ESCALATED, None),
    },
    CLOSED: {},
}


@pytest.mark.parametrize("state", list(IncidentState))
@pytest.mark.parametrize("kind", list(EventKind))
def test_every_edge_leads_where_the_table_says_and_every_other_is_refused(
    state: IncidentState, kind: EventKind
) -> None:
    event = Event(kind, Reason.DONE, "why", after(SAID))
    expected = EXPECTED[state].get(kind)
    if expected is None:
        with pytest.raises(KeyError):
            advance(incident(state), event, PATIENCE, after(NOW))
        return
    move = advance(incident(state), event, PATIENCE, after(NOW))
    due_at = None if expected[1] is None else after(expected[1])
    assert (move.state, move.due_at, move.reason) == (expected[0], due_at, Reason.DONE)


def test_what_is_with_a_person_is_taken_back_only_when_its_hold_ends_and_what_is_closed_never() -> (
    None
):
    back = {
        kind for kind, (state, _) in TABLE[ESCALATED].items() if state not in (ESCALATED, CLOSED)
    }
    assert back == {E.RELEASED}
    assert TABLE[CLOSED] == {}


@pytest.mark.parametrize("reason", [Reason.SWITCHED_OFF, Reason.MAINTENANCE, Reason.COOLING_DOWN])
def test_a_hold_that_outlasts_patience_calls_a_person_and_is_looked_at_when_it_ends(
    reason: Reason,
) -> None:
    move = advance(incident(OPEN), Event(E.HELD, reason, "why", after(5_000)), PATIENCE, after(NOW))
    assert move.state is ESCALATED
    assert move.due_at == (after(5_000) if reason in HOLDS else None)


@pytest.mark.parametrize(
    ("kind", "now_s", "said_s", "state"),
    [
        pytest.param(E.NO_RUNG, 839, 0, OPEN, id="no rung holds: until patience ends"),
        pytest.param(E.NO_RUNG, 841, 0, ESCALATED, id="the next look would be too late"),
        pytest.param(E.HEALTHY, 841, 0, ESCALATED, id="healthy, but it fires"),
        pytest.param(E.UNKNOWN, 841, 0, ESCALATED, id="unknown for too long"),
        pytest.param(E.HELD, 0, 900, OPEN, id="held, as late as patience lasts"),
        pytest.param(E.HELD, 0, 901, ESCALATED, id="held for longer than people should wait"),
        pytest.param(E.NOT_HEALED, 5_000, 0, OPEN, id="on to the next rung, however late"),
        pytest.param(E.STEPPED, 5_000, 0, OPEN, id="on to the next step, however late"),
        pytest.param(E.COURSE_WAITS, 5_000, 9_000, OPEN, id="a course waits as it says"),
    ],
)
def test_a_wait_for_a_remedy_ends_with_patience(
    kind: EventKind, now_s: int, said_s: int, state: IncidentState
) -> None:
    event = Event(kind, Reason.COOLING_DOWN, "why", after(said_s))
    was = ACTING if kind in (E.NOT_HEALED, E.STEPPED) else OPEN
    move = advance(incident(was), event, PATIENCE, after(now_s))
    assert (move.state, move.reason) == (state, Reason.COOLING_DOWN)
    assert (move.due_at is None) == (state is ESCALATED)


@pytest.mark.parametrize("reason", [Reason.SILENCED, Reason.INHIBITED, Reason.NOT_FIRING])
def test_what_nobody_wants_to_be_told_of_waits_without_end(reason: Reason) -> None:
    event = Event(E.HELD, reason, "why", after(90_300))
    assert advance(incident(OPEN), event, PATIENCE, after(90_000)).state is OPEN
    away = Event(E.HELD, Reason.FIRING_UNKNOWN, "why", after(90_300))
    assert advance(incident(OPEN), away, PATIENCE, after(90_000)).state is ESCALATED


@pytest.mark.parametrize("kind", [E.HEALTHY, E.UNKNOWN])
def test_a_healed_incident_stays_so_for_ever_and_is_looked_at_ever_less_often(
    kind: EventKind,
) -> None:
    now = after(90_000)
    pauses = []
    for quiet in range(7):
        held = replace(incident(HEALED), quiet=quiet)
        move = advance(held, Event(kind, Reason.ALREADY_HEALTHY, ""), PATIENCE, now)
        assert move.state is HEALED
        assert move.due_at is not None
        pauses.append((move.due_at - now).total_seconds())
    assert pauses == [60, 120, 240, 480, 900, 900, 900]


@given(
    st.sampled_from([(OPEN, E.HELD), (ACTING, E.WAITING), (ACTING, E.DONE), (VERIFYING, E.READ)]),
    st.floats(-10_000, 800),
)
def test_a_step_that_says_at_once_does_not_run_hot(
    edge: tuple[IncidentState, EventKind], said_s: float
) -> None:
    state, kind = edge
    said_at: datetime = after(said_s)
    move = advance(incident(state), Event(kind, Reason.DONE, "", said_at), PATIENCE, after(0))
    assert move.due_at is not None
    assert move.due_at == max(said_at, after(0) + timedelta(milliseconds=50))


# ---------------------------------------------------------------------- what feeds it


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (Reason.ALREADY_HEALTHY, E.HEALTHY),
        (Reason.EVIDENCE_UNKNOWN, E.UNKNOWN),
        (Reason.LADDER_EXHAUSTED, E.EXHAUSTED),
        (Reason.TARGET_MISSING, E.MISSING),
        (Reason.NO_RUNG_HOLDS, E.NO_RUNG),
    ],
)
def test_a_proposal_of_nothing_is_the_event_of_its_reason(reason: Reason, kind: EventKind) -> None:
    considered = (Considered("scale-out", "x", Reason.DOES_NOT_HOLD),)
    event = from_proposal(Proposal(considered, reason))
    assert (event.kind, event.reason) == (kind, reason)
    assert event.detail == "scale-out: does_not_hold"
    assert from_proposal(Proposal((), reason)).detail == "the playbook has no remedy"


def test_a_no_that_makes_sense_to_ask_again_holds_and_another_denies() -> None:
    ruling = Ruling(Verdict.DENY, "cooldown", Reason.COOLING_DOWN, "for 5 s", retry_at=after(5))
    assert from_denial(ruling) == Event(E.HELD, Reason.COOLING_DOWN, "for 5 s", after(5))
    final = Ruling(Verdict.DENY, "mode", Reason.MODE_OBSERVE, "would")
    assert from_denial(final) == Event(E.DENIED, Reason.MODE_OBSERVE, "would")


@pytest.mark.parametrize(
    ("kind", "reason", "expected"),
    [
        (OutcomeKind.HEALED, Reason.READINGS_GOOD, E.HEALED),
        (OutcomeKind.NOT_HEALED, Reason.READINGS_BAD, E.NOT_HEALED),
        (OutcomeKind.INCONCLUSIVE, Reason.READINGS_UNKNOWN, E.NOT_HEALED),
        (OutcomeKind.FAILED, Reason.ACTION_FAILED, E.NOT_HEALED),
        (OutcomeKind.INCONCLUSIVE, Reason.MODE_DRY_RUN, E.OVER),
        (OutcomeKind.INCONCLUSIVE, Reason.INDETERMINATE, E.OVER),
        (OutcomeKind.WORSE, Reason.READINGS_WORSE, E.OVER),
        (OutcomeKind.REVERTED, Reason.REVERTED, E.OVER),
    ],
)
def test_an_outcome_is_the_event_of_its_kind(
    kind: OutcomeKind, reason: Reason, expected: EventKind
) -> None:
    assert from_outcome(Outcome(kind, reason, "d", after(0))) == Event(expected, reason, "d")


RETURNED = Outcome(OutcomeKind.NOT_HEALED, Reason.RETURNED, "d", after(0))
FAILED = Outcome(OutcomeKind.FAILED, Reason.ACTION_FAILED, "d", after(0))
STILL_WORSE = Outcome(OutcomeKind.WORSE, Reason.READINGS_WORSE, "d", after(0))
BLIND = Outcome(OutcomeKind.INCONCLUSIVE, Reason.READINGS_UNKNOWN, "d", after(0))
THEIRS = Outcome(OutcomeKind.REVERTED, Reason.REVERTED, "d", after(0))


@pytest.mark.parametrize(
    ("was", "outcome", "applied", "expected"),
    [
        pytest.param("not_healed", RETURNED, "done", (E.NOT_HEALED, "returned"), id="the next rung may act"),
        pytest.param("worse", RETURNED, "done", (E.OVER, "returned"), id="what was made worse is for people"),
        pytest.param("not_healed", STILL_WORSE, "done", (E.OVER, "readings_worse"), id="worse by the return"),
        pytest.param("not_healed", BLIND, "done", (E.OVER, "readings_unknown"), id="nobody knows"),
        pytest.param("not_healed", THEIRS, "done", (E.NOT_HEALED, "reverted"), id="another hand took it since"),
        pytest.param("worse", THEIRS, "done", (E.OVER, "reverted"), id="another hand, after worse"),
        pytest.param("not_healed", FAILED, "target_changed", (E.NOT_HEALED, "action_failed"), id="theirs by now"),
        pytest.param("worse", FAILED, "target_changed", (E.OVER, "return_failed"), id="theirs, after worse"),
        pytest.param("not_healed", FAILED, "forbidden", (E.OVER, "return_failed"), id="it cannot be taken back"),
        pytest.param("not_healed", FAILED, "never_sent", (E.OVER, "return_failed"), id="nobody was there"),
    ],
)  # fmt: skip
def test_the_end_of_a_return_leads_on_only_where_the_change_is_gone(
    was: str, outcome: Outcome, applied: str, expected: tuple[EventKind, str]
) -> None:
    result = ActionResult(Applied.FAILED, Reason(applied), "d", after(0))
    event = from_return(OutcomeKind(was), outcome, result)
    assert (event.kind, event.reason) == expected


@pytest.mark.parametrize(
    ("applied", "reason", "expected"),
    [
        (Applied.DONE, Reason.DONE, None),
        (Applied.STARTED, Reason.DONE, None),
        (Applied.DRY, Reason.MODE_DRY_RUN, (OutcomeKind.INCONCLUSIVE, Reason.MODE_DRY_RUN)),
        (Applied.FAILED, Reason.FORBIDDEN, (OutcomeKind.FAILED, Reason.ACTION_FAILED)),
        (Applied.FAILED, Reason.INDETERMINATE, (OutcomeKind.INCONCLUSIVE, Reason.INDETERMINATE)),
    ],
)
def test_only_what_was_done_is_left_to_be_verified(
    applied: Applied, reason: Reason, expected: tuple[OutcomeKind, Reason] | None
) -> None:
    outcome = outcome_of(ActionResult(applied, reason, "d", after(7)))
    assert (None if outcome is None else (outcome.kind, outcome.reason)) == expected
    assert outcome is None or outcome.at == after(7)


@pytest.mark.parametrize("state", [OPEN, HEALED, ESCALATED])
def test_an_incident_without_a_firing_alert_closes_and_as_healed_only_where_it_stands_so(
    state: IncidentState,
) -> None:
    event = resolved(incident(state, outcome=OutcomeKind.HEALED))
    assert event.reason is (Reason.READINGS_GOOD if state is HEALED else Reason.ALERT_RESOLVED)
    assert advance(incident(state), event, PATIENCE, after(NOW)).state is CLOSED


@pytest.mark.parametrize("reason", sorted(TIMED))
def test_what_ends_with_time_is_looked_at_again_though_a_person_is_called(reason: Reason) -> None:
    late = after(PATIENCE.escalate_after_s + 1)
    move = advance(incident(OPEN), Event(E.HELD, reason, "why", late), PATIENCE, late)
    assert move.state is ESCALATED
    assert move.due_at == late + timedelta(seconds=PATIENCE.seldom_s)


# ---------------------------------------------------------------------- word for word


def test_a_wait_that_grows_stays_a_number_of_seconds() -> None:
    patient = replace(PATIENCE, seldom_s=1e9)
    pauses = set()
    for quiet in (20, 21, 10_000):
        event = Event(E.HEALTHY, Reason.ALREADY_HEALTHY, "")
        move = advance(replace(incident(HEALED), quiet=quiet), event, patient, after(0))
        assert move.due_at is not None
        pauses.add((move.due_at - after(0)).total_seconds())
    assert pauses == {60 * 2**20}


def test_what_ends_later_than_the_seldom_look_is_looked_at_when_it_ends() -> None:
    event = Event(E.HELD, Reason.BREAKER_OPEN, "open", after(5_000))
    move = advance(incident(OPEN), event, PATIENCE, after(1_000))
    assert (move.state, move.due_at) == (ESCALATED, after(5_000))
    assert move.detail == "open: longer than people should wait"


def test_a_move_says_what_its_event_says() -> None:
    move = advance(
        incident(OPEN), Event(E.NO_RUNG, Reason.NO_RUNG_HOLDS, "why"), PATIENCE, after(0)
    )
    assert move.detail == "why"


def test_a_ladder_that_proposes_nothing_tells_of_each_rung() -> None:
    considered = (
        Considered("kill", "x", Reason.ALREADY_TRIED),
        Considered("scale-out", "x", Reason.DOES_NOT_HOLD),
    )
    event = from_proposal(Proposal(considered, Reason.NO_RUNG_HOLDS))
    assert event.detail == "kill: already_tried; scale-out: does_not_hold"
    assert from_proposal(Proposal(considered, None)).reason is Reason.NO_RUNG_HOLDS


@pytest.mark.parametrize(
    ("was", "outcome", "expected"),
    [
        (OutcomeKind.NOT_HEALED, RETURNED, Event(E.NOT_HEALED, Reason.RETURNED, "d")),
        (OutcomeKind.WORSE, RETURNED, Event(E.OVER, Reason.RETURNED, "d")),
        (OutcomeKind.WORSE, FAILED, Event(E.OVER, Reason.RETURN_FAILED, "d")),
        (None, RETURNED, Event(E.OVER, Reason.RETURNED, "d")),
    ],
)
def test_the_end_of_a_return_says_what_its_outcome_says(
    was: OutcomeKind | None, outcome: Outcome, expected: Event
) -> None:
    assert from_return(was, outcome, None) == expected


@pytest.mark.parametrize(
    ("applied", "reason", "expected"),
    [
        (
            Applied.DRY,
            Reason.MODE_DRY_RUN,
            Outcome(OutcomeKind.INCONCLUSIVE, Reason.MODE_DRY_RUN, "d", after(7)),
        ),
        (
            Applied.FAILED,
            Reason.FORBIDDEN,
            Outcome(OutcomeKind.FAILED, Reason.ACTION_FAILED, "forbidden: d", after(7)),
        ),
        (
            Applied.FAILED,
            Reason.INDETERMINATE,
            Outcome(OutcomeKind.INCONCLUSIVE, Reason.INDETERMINATE, "d", after(7)),
        ),
    ],
)
def test_an_action_without_anything_to_verify_says_why(
    applied: Applied, reason: Reason, expected: Outcome
) -> None:
    assert outcome_of(ActionResult(applied, reason, "d", after(7))) == expected


def test_an_end_says_whether_it_was_healed() -> None:
    healed = "healed, and its alerts have resolved"
    assert resolved(incident(HEALED)) == Event(E.RESOLVED, Reason.READINGS_GOOD, healed)
    gone = Event(E.RESOLVED, Reason.ALERT_RESOLVED, "its alerts have resolved")
    assert resolved(incident(OPEN)) == gone
