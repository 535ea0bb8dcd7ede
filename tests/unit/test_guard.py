"""The guard: one table a guard, and what holds whatever the ledger says."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.guard.attempts import attempts
from service.guard.blast_radius import blast_radius
from service.guard.breaker import breaker
from service.guard.budgets import budgets
from service.guard.busy import busy
from service.guard.canary import canary
from service.guard.chain import CHAIN, rule
from service.guard.changed_by_person import changed_by_person
from service.guard.clock import clock
from service.guard.consent import consent
from service.guard.cooldown import cooldown
from service.guard.disruption_budget import disruption_budget
from service.guard.explained import explained
from service.guard.firing import firing
from service.guard.freshness import freshness
from service.guard.heard import heard
from service.guard.min_ready import min_ready
from service.guard.mode import mode as mode_guard
from service.guard.namespace import namespace
from service.guard.owned_elsewhere import owned_elsewhere
from service.guard.protected import protected
from service.guard.question import Guard, Objection, Policy, Question
from service.guard.rollout import rollout
from service.guard.same_object import same_object
from service.guard.still_firing import still_firing
from service.guard.switch import switch
from service.guard.window import window
from service.model.action import Mode
from service.model.alert import Standing
from service.model.evidence import Known, Reading, Unknown
from service.model.objects import Holder, Survey, System
from service.model.playbook import Budget, Limits
from service.model.reasons import Reason
from service.model.ruling import History, PastAction, Proposal, Verdict
from tests.unit.made import NAMESPACE, SCALE, T0, TARGET, after

LIMITS = Limits(Budget(2, 3600.0), Budget(4, 3600.0), 300.0)
NOW = after(10_000)


def past(
    seconds_ago: float, *, settled: bool = True, took_s: float = 0.0, target: str = TARGET.key
) -> PastAction:
    """A line of the ledger; settled as soon as it was intended, unless it took longer."""
    at = NOW - timedelta(seconds=seconds_ago)
    settled_at = at + timedelta(seconds=took_s) if settled else None
    return PastAction(
        "act-1", "inc-0", "high-latency", target, "scale-out", "scale", at, settled_at
    )


assert TARGET.ref is not None
REF = TARGET.ref
SURVEYED: Reading[tuple[Survey, ...]] = Known((Survey(REF, "uid-1"),), "kubernetes", NOW, 0.1)
BLIND: Reading[tuple[Survey, ...]] = Unknown(Reason.FORBIDDEN, "kubernetes", NOW, 0.1, "no list")


def held(holder: Holder) -> Reading[tuple[Survey, ...]]:
    return Known((Survey(REF, "uid-1", holders={"spec.replicas": holder}),), "k", NOW, 0.1)


def asked(
    *,
    mode: Mode = Mode.AUTO,
    ceiling: Mode = Mode.AUTO,
    seen_at: datetime | None = NOW,
    limits: Limits = LIMITS,
    history: History | None = None,
    now: datetime = NOW,
    overall: Budget = Budget(20, 3600.0),  # noqa: B008 - frozen
    namespaces: Sequence[str] = (NAMESPACE,),
    sound_at: datetime | None = None,
    seen_uid: str | None = "uid-1",
    surveys: Reading[tuple[Survey, ...]] = SURVEYED,
    standing: Reading[Standing] | None = None,
) -> Question:
    proposal = Proposal((), None, "scale-out", "scale", SCALE, mode, seen_at)
    policy = Policy(ceiling, namespaces, overall, 60.0, 18_000.0, sound_at)
    return Question(
        proposal, TARGET, limits, policy, history or History(1), seen_uid, surveys, now,
        standing=standing,
    )  # fmt: skip


def stands(active: int = 0, silenced: int = 0, inhibited: int = 0) -> Question:
    """A question about an incident whose alerts stand so in Alertmanager."""
    return asked(standing=Known(Standing(active, silenced, inhibited), "am", NOW, 0.1))


AWAY: Reading[Standing] = Unknown(Reason.UNREACHABLE, "am", NOW, 0.1, "refused")


def told(objection: Objection | None) -> tuple[Reason, float | None] | None:
    """The reason, and in how many seconds to ask again."""
    if objection is None:
        return None
    again = objection.retry_at
    return objection.reason, None if again is None else (again - NOW).total_seconds()


def on_target(*actions: PastAction) -> History:
    return History(1, NOW, actions, actions, actions)


@pytest.mark.parametrize(
    ("guard", "question", "expected"),
    [
        pytest.param(firing, asked(), None, id="an alert fires"),
        pytest.param(firing, asked(history=History(0)), (Reason.ALERT_RESOLVED, 0), id="none fires"),
        pytest.param(still_firing, asked(), None, id="no Alertmanager is configured"),
        pytest.param(still_firing, stands(1), None, id="it still fires"),
        pytest.param(still_firing, stands(1, 5, 5), None, id="one that is nobody's to leave"),
        pytest.param(still_firing, stands(0, 1), (Reason.SILENCED, 300), id="silenced"),
        pytest.param(still_firing, stands(0, 0, 1), (Reason.INHIBITED, 300), id="inhibited"),
        pytest.param(still_firing, stands(0, 1, 1), (Reason.SILENCED, 300), id="some silenced, the rest inhibited"),
        pytest.param(still_firing, stands(), (Reason.NOT_FIRING, 30), id="it is gone"),
        pytest.param(still_firing, asked(standing=AWAY), (Reason.FIRING_UNKNOWN, 30), id="Alertmanager is away"),
        pytest.param(namespace, asked(), None, id="an allowed namespace"),
        pytest.param(
            namespace, asked(namespaces=("other",)), (Reason.NAMESPACE_NOT_ALLOWED, None), id="another"
        ),
        pytest.param(
            namespace, asked(namespaces=()), (Reason.NAMESPACE_NOT_ALLOWED, None), id="none allowed"
        ),
        pytest.param(freshness, asked(), None, id="seen now"),
        pytest.param(freshness, asked(seen_at=NOW - timedelta(seconds=60)), None, id="just fresh enough"),
        pytest.param(
            freshness, asked(seen_at=NOW - timedelta(seconds=60.1)), (Reason.EVIDENCE_STALE, 1), id="too old"
        ),
        pytest.param(
            freshness, asked(seen_at=NOW + timedelta(seconds=1)), (Reason.EVIDENCE_STALE, 1),
            id="seen in the future: the clock was set back",
        ),
        pytest.param(freshness, asked(seen_at=None), (Reason.EVIDENCE_STALE, 1), id="of no time at all"),
        pytest.param(mode_guard, asked(), None, id="auto under auto"),
        pytest.param(mode_guard, asked(ceiling=Mode.OBSERVE), (Reason.MODE_OBSERVE, None), id="auto under observe"),
        pytest.param(mode_guard, asked(mode=Mode.OBSERVE), (Reason.MODE_OBSERVE, None), id="observe under auto"),
        pytest.param(mode_guard, asked(mode=Mode.APPROVE), None, id="approve asks for consent, last of all"),
        pytest.param(mode_guard, asked(ceiling=Mode.DRY_RUN), None, id="a dry run goes on to the server"),
        pytest.param(busy, asked(), None, id="nothing done before"),
        pytest.param(busy, asked(history=on_target(past(1))), None, id="the last one is settled"),
        pytest.param(
            busy, asked(history=on_target(past(9_000, settled=False), past(1))), (Reason.TARGET_BUSY, 10),
            id="one is not settled, however old",
        ),
        pytest.param(
            busy, asked(history=History(1, NOW, (), (past(1, settled=False),), (past(1, settled=False),))), None,
            id="one on another target is not settled",
        ),
        pytest.param(cooldown, asked(history=on_target(past(300))), None, id="cooled down"),
        pytest.param(cooldown, asked(history=on_target(past(299))), (Reason.COOLING_DOWN, 1), id="cooling"),
        pytest.param(
            cooldown, asked(history=on_target(past(10), past(900))), (Reason.COOLING_DOWN, 290), id="after the last"
        ),
        pytest.param(
            cooldown, asked(history=on_target(past(-60))), (Reason.COOLING_DOWN, 300),
            id="the clock was set back: never longer than the rest is",
        ),
        pytest.param(
            cooldown, asked(history=on_target(past(900, took_s=800))), (Reason.COOLING_DOWN, 200),
            id="the rest counts from the outcome",
        ),
        pytest.param(
            cooldown, asked(history=on_target(past(900, took_s=600))), None, id="rested since the outcome"
        ),
        pytest.param(
            cooldown, asked(history=on_target(past(10, settled=False))), (Reason.COOLING_DOWN, 290),
            id="without an outcome from the intent",
        ),
        pytest.param(heard, asked(history=History(1, NOW)), None, id="told of just now"),
        pytest.param(heard, asked(history=History(1, NOW - timedelta(hours=5))), None, id="told of 5 h ago"),
        pytest.param(
            heard, asked(history=History(1, NOW - timedelta(hours=5, seconds=1))), (Reason.UNHEARD, 60),
            id="not told of for longer",
        ),
        pytest.param(heard, asked(history=History(0, None)), None, id="nothing fires: another guard's no"),
        pytest.param(clock, asked(), None, id="the clock never stepped"),
        pytest.param(
            clock, asked(sound_at=NOW + timedelta(seconds=90)), (Reason.CLOCK_STEPPED, 90), id="it stepped just now"
        ),
        pytest.param(clock, asked(sound_at=NOW), None, id="it is trusted again"),
        pytest.param(same_object, asked(), None, id="the one that was seen"),
        pytest.param(same_object, asked(seen_uid="uid-0"), (Reason.TARGET_REPLACED, 0), id="another one"),
        pytest.param(same_object, asked(seen_uid=None), None, id="it was not seen which one"),
        pytest.param(same_object, asked(surveys=BLIND), None, id="it cannot be seen now: another guard's no"),
        pytest.param(owned_elsewhere, asked(), None, id="nobody holds it"),
        pytest.param(owned_elsewhere, asked(surveys=BLIND), (Reason.OWNER_UNKNOWN, 30), id="unknown who holds it"),
        pytest.param(
            owned_elsewhere, asked(surveys=held(Holder(System.FLUX, "Kustomization x"))),
            (Reason.OWNED_ELSEWHERE, None), id="Flux would put it back",
        ),
        pytest.param(
            owned_elsewhere, asked(surveys=held(Holder(System.OTHER, "kubectl", restores=False))), None,
            id="who holds it does not put it back",
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
            budgets, asked(history=History(1, NOW, (), [past(n) for n in (1, 2, 3, 4)], ())),
            (Reason.BUDGET_PLAYBOOK, 3_596), id="the playbook's is spent",
        ),
        pytest.param(
            budgets, asked(overall=Budget(1, 60.0), history=History(1, NOW, (), (), (past(20),))),
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


def test_every_guard_is_in_the_chain_under_the_name_of_its_file() -> None:
    known = (
        firing, heard, namespace, protected, freshness, mode_guard, same_object, owned_elsewhere,
        attempts, clock, breaker, explained, changed_by_person, rollout, min_ready,
        disruption_budget, busy, cooldown, canary, blast_radius, budgets, still_firing,
        switch, window, consent,
    )  # fmt: skip
    assert set(CHAIN.values()) == set(known)
    assert all(guard.__module__ == f"service.guard.{name}" for name, guard in CHAIN.items())


def test_the_first_objection_is_the_ruling_and_every_answer_is_kept() -> None:
    ruling = rule(asked(ceiling=Mode.OBSERVE, history=History(0), namespaces=()))
    assert (ruling.guard, ruling.reason) == ("firing", Reason.ALERT_RESOLVED)
    assert [answer.guard for answer in ruling.answers] == list(CHAIN)
    said = {answer.guard: answer.reason for answer in ruling.answers if answer.reason}
    assert said == {
        "firing": Reason.ALERT_RESOLVED,
        "namespace": Reason.NAMESPACE_NOT_ALLOWED,
        "mode": Reason.MODE_OBSERVE,
    }


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
HISTORIES = st.builds(History, st.integers(0, 2), st.just(NOW), PASTS, PASTS, PASTS)


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


# What never says no for good, whatever the ledger has.
MEASURED = {name: guard for name, guard in CHAIN.items() if name != "attempts"}


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
        question = asked(limits=limits, overall=overall, history=history, now=now, seen_at=now)
        ruling = rule(question, MEASURED)
        if ruling.allowed:
            done.append(replace(past(0), intended_at=now, settled_at=now))
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
    question = asked(
        limits=Limits(budget, Budget(1_000, 1.0), 0.0), history=History(1, NOW, actions)
    )
    objection = budgets(question)
    if objection:
        assert objection.retry_at is not None
        assert budgets(replace(question, now=objection.retry_at)) is None
