"""The guard: one table a guard, and what holds whatever the ledger says."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.guard.chain import (
    CHAIN,
    Guard,
    Objection,
    Question,
    budgets,
    busy,
    cooldown,
    firing,
    freshness,
    namespace,
    rule,
    switch,
)
from service.model.action import Mode
from service.model.playbook import Budget, Limits
from service.model.reasons import Reason
from service.model.ruling import History, PastAction, Proposal, Verdict
from tests.unit.made import NAMESPACE, SCALE, T0, TARGET, after

LIMITS = Limits(Budget(2, 3600.0), Budget(4, 3600.0), 300.0)
NOW = after(10_000)


def past(seconds_ago: float, *, settled: bool = True, target: str = TARGET.key) -> PastAction:
    at = NOW - timedelta(seconds=seconds_ago)
    return PastAction("act-1", "inc-0", "high-latency", target, "scale-out", "scale", at, settled)


def asked(
    *,
    mode: Mode = Mode.AUTO,
    ceiling: Mode = Mode.AUTO,
    seen_at: datetime | None = NOW,
    limits: Limits = LIMITS,
    history: History | None = None,
    now: datetime = NOW,
    overall: Budget = Budget(20, 3600.0),  # noqa: B008 - frozen
) -> Question:
    proposal = Proposal((), None, "scale-out", SCALE, mode, seen_at)
    return Question(
        proposal, TARGET, limits, overall, ceiling, (NAMESPACE,), 60.0, history or History(1), now
    )


def told(objection: Objection | None) -> tuple[Reason, float | None] | None:
    """The reason, and in how many seconds to ask again."""
    if objection is None:
        return None
    again = objection.retry_at
    return objection.reason, None if again is None else (again - NOW).total_seconds()


def on_target(*actions: PastAction) -> History:
    return History(1, actions, actions, actions)


@pytest.mark.parametrize(
    ("guard", "question", "expected"),
    [
        pytest.param(firing, asked(), None, id="an alert fires"),
        pytest.param(firing, asked(history=History(0)), (Reason.ALERT_RESOLVED, 0), id="none fires"),
        pytest.param(namespace, asked(), None, id="an allowed namespace"),
        pytest.param(
            namespace, replace(asked(), namespaces=("other",)), (Reason.NAMESPACE_NOT_ALLOWED, None), id="another"
        ),
        pytest.param(
            namespace, replace(asked(), namespaces=()), (Reason.NAMESPACE_NOT_ALLOWED, None), id="none allowed"
        ),
        pytest.param(freshness, asked(), None, id="seen now"),
        pytest.param(freshness, asked(seen_at=NOW - timedelta(seconds=60)), None, id="just fresh enough"),
        pytest.param(
            freshness, asked(seen_at=NOW - timedelta(seconds=60.1)), (Reason.EVIDENCE_STALE, 0), id="too old"
        ),
        pytest.param(freshness, asked(seen_at=None), (Reason.EVIDENCE_STALE, 0), id="of no time at all"),
        pytest.param(switch, asked(), None, id="auto under auto"),
        pytest.param(switch, asked(ceiling=Mode.OBSERVE), (Reason.MODE_OBSERVE, None), id="auto under observe"),
        pytest.param(switch, asked(mode=Mode.OBSERVE), (Reason.MODE_OBSERVE, None), id="observe under auto"),
        pytest.param(switch, asked(mode=Mode.APPROVE), (Reason.APPROVAL_REQUIRED, None), id="approve"),
        pytest.param(switch, asked(ceiling=Mode.DRY_RUN), None, id="a dry run goes on to the server"),
        pytest.param(busy, asked(), None, id="nothing done before"),
        pytest.param(busy, asked(history=on_target(past(1))), None, id="the last one is settled"),
        pytest.param(
            busy, asked(history=on_target(past(9_000, settled=False), past(1))), (Reason.TARGET_BUSY, 10),
            id="one is not settled, however old",
        ),
        pytest.param(
            busy, asked(history=History(1, (), (past(1, settled=False),), (past(1, settled=False),))), None,
            id="one on another target is not settled",
        ),
        pytest.param(cooldown, asked(history=on_target(past(300))), None, id="cooled down"),
        pytest.param(cooldown, asked(history=on_target(past(299))), (Reason.COOLING_DOWN, 1), id="cooling"),
        pytest.param(
            cooldown, asked(history=on_target(past(10), past(900))), (Reason.COOLING_DOWN, 290), id="after the last"
        ),
        pytest.param(
            cooldown, asked(history=on_target(past(-60))), (Reason.COOLING_DOWN, 360), id="the clock was set back"
        ),
        pytest.param(budgets, asked(history=on_target(past(10))), None, id="one of two spent"),
        pytest.param(
            budgets, asked(history=on_target(past(600), past(1_200))), (Reason.BUDGET_TARGET, 2_400),
            id="the target's is spent until the older one ages out",
        ),
        pytest.param(
            budgets, asked(history=on_target(past(600), past(3_600))), None, id="it has aged out to the second"
        ),
        pytest.param(
            budgets, asked(history=on_target(past(100), past(200), past(300))), (Reason.BUDGET_TARGET, 3_400),
            id="overspent by an older limit: free when enough have aged out",
        ),
        pytest.param(
            budgets, asked(history=History(1, (), [past(n) for n in (1, 2, 3, 4)], ())),
            (Reason.BUDGET_PLAYBOOK, 3_596), id="the playbook's is spent",
        ),
        pytest.param(
            budgets, asked(overall=Budget(1, 60.0), history=History(1, (), (), (past(20),))),
            (Reason.BUDGET_OVERALL, 40), id="that of all together is spent",
        ),
    ],
)  # fmt: skip
def test_a_guard_objects_with_its_reason_and_says_when_to_ask_again(
    guard: Guard, question: Question, expected: tuple[Reason, float | None] | None
) -> None:
    assert told(guard(question)) == expected


def test_what_no_guard_objects_to_is_allowed() -> None:
    ruling = rule(asked())
    assert (ruling.verdict, ruling.reason, ruling.mode) == (
        Verdict.ALLOW,
        Reason.WITHIN_LIMITS,
        Mode.AUTO,
    )


def test_every_guard_is_in_the_chain() -> None:
    assert set(CHAIN.values()) == {firing, namespace, freshness, switch, busy, cooldown, budgets}


def test_the_first_objection_is_the_ruling() -> None:
    ruling = rule(replace(asked(ceiling=Mode.OBSERVE, history=History(0)), namespaces=()))
    assert (ruling.guard, ruling.reason) == ("firing", Reason.ALERT_RESOLVED)


@pytest.mark.parametrize("place", range(len(CHAIN)))
def test_a_guard_that_raises_denies(place: int) -> None:
    def broken(question: Question) -> Objection | None:
        raise ZeroDivisionError("a bug")

    chain = dict(CHAIN)
    chain[list(chain)[place]] = broken
    ruling = rule(asked(), chain)
    assert (ruling.verdict, ruling.reason, ruling.retry_at) == (
        Verdict.DENY,
        Reason.GUARD_FAILED,
        None,
    )
    assert "ZeroDivisionError" in ruling.detail


MODES = st.sampled_from(list(Mode))
PASTS = st.lists(st.builds(past, st.floats(-100, 8_000), settled=st.booleans()), max_size=8)
HISTORIES = st.builds(History, st.integers(0, 2), PASTS, PASTS, PASTS)


@given(MODES, MODES, HISTORIES)
def test_the_ceiling_only_lowers_and_observing_never_allows(
    mode: Mode, ceiling: Mode, history: History
) -> None:
    ruling = rule(asked(mode=mode, ceiling=ceiling, history=history))
    assert ruling.mode.height == min(mode.height, ceiling.height)
    if ruling.allowed:
        assert ruling.mode in (Mode.DRY_RUN, Mode.AUTO)


@given(HISTORIES, MODES)
def test_what_is_denied_is_denied_under_a_lower_ceiling_too(history: History, lower: Mode) -> None:
    if not rule(asked(history=history)).allowed:
        assert not rule(asked(history=history, ceiling=lower)).allowed


@given(
    st.lists(st.floats(0, 4_000), min_size=1, max_size=60),
    st.builds(Budget, st.integers(1, 4), st.floats(1, 7_200)),
    st.builds(Budget, st.integers(1, 6), st.floats(1, 7_200)),
    st.sampled_from([0.0, 120.0]),
)
def test_no_window_ever_holds_more_actions_than_its_budget(
    pauses: Sequence[float], per_target: Budget, overall: Budget, cooldown_s: float
) -> None:
    limits = Limits(per_target, Budget(1_000, 60.0), cooldown_s)
    now, done = T0, list[PastAction]()
    for pause in pauses:
        now += timedelta(seconds=pause)
        history = on_target(*done)
        ruling = rule(asked(limits=limits, overall=overall, history=history, now=now, seen_at=now))
        if ruling.allowed:
            done.append(replace(past(0), intended_at=now))
        else:
            assert ruling.retry_at is not None
            assert ruling.retry_at > now
    for budget in (per_target, overall):
        for last in done:
            opens = last.intended_at - timedelta(seconds=budget.window_s)
            assert sum(opens < a.intended_at <= last.intended_at for a in done) <= budget.count
    gaps = [b.intended_at - a.intended_at for a, b in pairwise(done)]
    assert all(gap >= timedelta(seconds=cooldown_s) for gap in gaps)


@given(PASTS, st.builds(Budget, st.integers(1, 4), st.floats(1, 7_200)))
def test_at_the_time_that_a_budget_names_it_is_free(
    actions: list[PastAction], budget: Budget
) -> None:
    question = asked(limits=Limits(budget, Budget(1_000, 1.0), 0.0), history=History(1, actions))
    objection = budgets(question)
    if objection:
        assert objection.retry_at is not None
        assert budgets(replace(question, now=objection.retry_at)) is None
