"""What each guard says, word for word: the record explains a hold by nothing else."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from service.guard.attempts import attempts
from service.guard.blast_radius import blast_radius
from service.guard.breaker import breaker
from service.guard.budgets import budgets
from service.guard.busy import busy
from service.guard.canary import canary
from service.guard.chain import rule
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
from service.guard.mode import mode
from service.guard.namespace import namespace
from service.guard.owned_elsewhere import owned_elsewhere
from service.guard.protected import protected
from service.guard.question import Guard, Objection, Question
from service.guard.rollout import rollout
from service.guard.same_object import same_object
from service.guard.still_firing import still_firing
from service.guard.switch import switch
from service.guard.window import window
from service.model.action import Mode
from service.model.control import Ceiling, Control, Once, Pause, Spoken, Window
from service.model.matcher import LabelMatcher, Operator
from service.model.objects import DisruptionBudget, Holder, ObjectRef, System
from service.model.playbook import Budget, ConsentPlan, Limits
from service.model.reasons import Reason
from service.model.ruling import Answer, BreakerState, History, OpenCause, Ruling, Verdict
from tests.unit import test_guard as small
from tests.unit import test_guards_of_scale as scale
from tests.unit.made import NAMESPACE, SCALE, TARGET

NOW = small.NOW  # 02:46:40
SAID = Spoken("ada", "the rack moves", NOW)
LATER = NOW + timedelta(hours=1)


def at(seconds: float) -> datetime:
    """So many seconds from now."""
    return NOW + timedelta(seconds=seconds)


def under(control: Control) -> Question:
    question = small.asked()
    return replace(question, policy=question.policy.under(control), labels=({"service": "a"},))


def wanting(
    wanted: Mode, *, people: bool = True, plan: ConsentPlan | None = None, given: Mode | None = None
) -> Question:
    question = small.asked(mode=wanted)
    policy = replace(question.policy, people=people, expires_s=1_800.0, veto_s=600.0)
    return replace(question, policy=policy, plan=plan or question.plan, consent=given)


def open_window(name: str, ends_at: datetime) -> Window:
    return Window(name, Once(NOW, ends_at), (), (), SAID)


SERVICE_A, SERVICE_B = (LabelMatcher("service", Operator.EQUAL, name) for name in "ab")
CAUSE = OpenCause("inc-9", "kafka-down")
BUDGET = scale.ROOMY
HERE = TARGET.key
OTHER = f"Deployment/{NAMESPACE}/other"


@pytest.mark.parametrize(
    ("guard", "question", "reason", "detail", "retry_at"),
    [
        pytest.param(
            firing, small.asked(history=History(0)), "alert_resolved",
            "no alert of the incident fires any more", NOW, id="firing",
        ),
        pytest.param(
            heard, small.asked(history=History(1, at(-18_901))), "unheard",
            "last told of 5.3 h ago, at most 5 h", at(60), id="heard",
        ),
        pytest.param(
            still_firing, small.asked(standing=small.AWAY), "firing_unknown", "unreachable: refused", at(30),
            id="still_firing: away",
        ),
        pytest.param(still_firing, small.stands(0, 2), "silenced", "2 of its alerts", at(300), id="silenced"),
        pytest.param(still_firing, small.stands(0, 0, 3), "inhibited", "3 of its alerts", at(300), id="inhibited"),
        pytest.param(
            still_firing, small.stands(), "not_firing", "Alertmanager has none of its alerts any more", at(30),
            id="not firing",
        ),
        pytest.param(
            namespace, small.asked(namespaces=("a", "b")), "namespace_not_allowed",
            f"{NAMESPACE} is not among a, b", None, id="namespace",
        ),
        pytest.param(
            protected, scale.asked(surveys=scale.surveyed(ref=scale.NETWORK_POLICY)), "protected",
            "kube-system/dns is protected by kube-system", None, id="protected",
        ),
        pytest.param(
            protected,
            scale.asked(
                surveys=scale.surveyed(ref=ObjectRef("v1", "namespaces", "Namespace", "", "X1")),
                policy=replace(scale.POLICY, protected=("/X*",)),
            ),
            "protected", "X1 is protected by /X*", None, id="protected: what is in no namespace",
        ),
        pytest.param(
            freshness, small.asked(seen_at=at(-75)), "evidence_stale", "75 s old, at most 60 s", at(1),
            id="freshness",
        ),
        pytest.param(
            freshness, small.asked(seen_at=None), "evidence_stale", "inf s old, at most 60 s", at(1), id="no time"
        ),
        pytest.param(mode, small.asked(mode=Mode.OBSERVE), "mode_observe", f"would {SCALE}", None, id="mode"),
        pytest.param(
            switch, under(Control(pause=Pause(SAID, LATER))), "switched_off",
            "paused by ada until 2026-01-01 03:46:40 UTC: the rack moves", LATER, id="switch",
        ),
        pytest.param(
            switch, under(Control(pause=Pause(SAID))), "switched_off", "paused by ada: the rack moves", at(3600),
            id="switch: without end",
        ),
        pytest.param(
            window, under(Control(windows=(open_window("w2", LATER), open_window("w1", at(60))))), "maintenance",
            "w2 of ada until 2026-01-01 03:46:40 UTC: the rack moves", LATER, id="window: the last to close",
        ),
        pytest.param(
            same_object, small.asked(seen_uid="uid-0"), "target_replaced",
            f"{small.REF} is uid-1 now, and uid-0 was seen", NOW, id="same_object",
        ),
        pytest.param(
            owned_elsewhere, small.asked(surveys=small.BLIND), "owner_unknown", "forbidden: no list", at(30),
            id="owner unknown",
        ),
        pytest.param(
            owned_elsewhere, small.asked(surveys=small.held(Holder(System.FLUX, "Kustomization x"))),
            "owned_elsewhere",
            f"{small.REF}: spec.replicas belongs to Kustomization x, which would put it back; change it there",
            None, id="owned elsewhere",
        ),
        pytest.param(
            attempts,
            scale.asked(history=scale.before(*(scale.past(n, on="here") for n in (60, 90, 120)))),
            "keeps_coming_back",
            f"healed, and ill again: scale-out on {HERE} at 2026-01-01 02:44:40 healed; "
            f"scale-out on {HERE} at 2026-01-01 02:45:10 healed; "
            f"scale-out on {HERE} at 2026-01-01 02:45:40 healed",
            None, id="keeps coming back",
        ),
        pytest.param(
            attempts,
            scale.asked(history=scale.before(*(scale.past(n, "failed") for n in (10, 20, 30, 40)))),
            "playbook_failing",
            f"high-latency heals nothing: scale-out on {OTHER} at 2026-01-01 02:46:00 failed; "
            f"scale-out on {OTHER} at 2026-01-01 02:46:10 failed; "
            f"scale-out on {OTHER} at 2026-01-01 02:46:20 failed; "
            f"scale-out on {OTHER} at 2026-01-01 02:46:30 failed",
            None, id="playbook failing",
        ),
        pytest.param(
            attempts,
            scale.asked(history=scale.before(*(scale.past(n, "worse", on="here") for n in range(10, 80, 10)))),
            "rung_futile",
            "scale-out healed nothing here: 1 more before; "
            + "; ".join(
                f"scale-out on {HERE} at 2026-01-01 02:4{t} worse"
                for t in ("5:40", "5:50", "6:00", "6:10", "6:20", "6:30")
            ),
            None, id="rung futile, after more than are told",
        ),
        pytest.param(
            attempts,
            scale.asked(history=scale.before(*(scale.past(n, "worse", on="here") for n in range(10, 70, 10)))),
            "rung_futile",
            "scale-out healed nothing here: "
            + "; ".join(
                f"scale-out on {HERE} at 2026-01-01 02:4{t} worse"
                for t in ("5:40", "5:50", "6:00", "6:10", "6:20", "6:30")
            ),
            None, id="rung futile, after as many as are told",
        ),
        pytest.param(
            clock, small.asked(sound_at=at(90)), "clock_stepped",
            "the wall clock jumped; trusted again at 02:48:10", at(90), id="clock",
        ),
        pytest.param(
            breaker, scale.asked(history=History(1, NOW, breaker=BreakerState(0, at(100)))), "breaker_open",
            "open until 02:48:20", at(100), id="breaker: open",
        ),
        pytest.param(
            breaker, scale.asked(history=History(1, NOW, breaker=BreakerState(11))), "breaker_open",
            "more than 10 new incidents in 600 s", at(900), id="breaker: opens",
        ),
        pytest.param(
            explained, small.asked(history=History(1, NOW, causes_open=(CAUSE,))), "explained_by",
            "kafka-down explains it, and has the open incident inc-9", at(30), id="explained",
        ),
        pytest.param(
            explained, small.asked(history=History(1, NOW, causes_open=(CAUSE, CAUSE))), "explained_by",
            "kafka-down explains it, and has the open incident inc-9, and 1 more", at(30), id="explained by two",
        ),
        pytest.param(
            explained, small.asked(history=History(1, NOW, causes_open=(CAUSE, CAUSE, CAUSE))), "explained_by",
            "kafka-down explains it, and has the open incident inc-9, and 2 more", at(30), id="explained by several",
        ),
        pytest.param(
            changed_by_person, scale.asked(surveys=scale.surveyed({"kubectl-edit": at(-60)})), "changed_by_person",
            f"{scale.REF} was changed with kubectl-edit 60 s ago", at(240), id="changed by a person",
        ),
        pytest.param(
            changed_by_person, scale.asked(surveys=scale.surveyed({"k9s": at(60)})), "changed_by_person",
            f"{scale.REF} was changed with k9s 0 s ago", at(300), id="changed in the future",
        ),
        pytest.param(
            changed_by_person, scale.asked(surveys=scale.surveyed({"flux": at(-1), "k9s": at(-2)})),
            "changed_by_person", f"{scale.REF} was changed with k9s 2 s ago", at(298), id="after a controller",
        ),
        pytest.param(
            rollout, scale.asked(about=scale.around(rollout="1 of 3")), "rollout_in_progress", "1 of 3", at(15),
            id="rollout",
        ),
        pytest.param(
            min_ready, scale.asked(about=scale.BLIND), "surroundings_unknown", "forbidden: no list", at(30),
            id="min_ready: unknown",
        ),
        pytest.param(
            min_ready, scale.asked(about=scale.around(least=0)), "too_few_ready",
            "0 of 3 ready pods would be left for a while, at least 1", at(30), id="min_ready",
        ),
        pytest.param(
            disruption_budget, scale.asked(about=scale.around(least=1, budgets=(DisruptionBudget("b", 1),))),
            "disruption_budget", "b allows 1 to go, and 2 would", at(30), id="disruption budget",
        ),
        pytest.param(
            disruption_budget,
            scale.asked(about=scale.around(ready=1, least=0, budgets=(DisruptionBudget("b", 0),))),
            "disruption_budget", "b allows 0 to go, and 1 would", at(30), id="disruption budget: the last pod",
        ),
        pytest.param(
            canary, scale.asked(history=scale.before(*(scale.past(100, "worse", on=n) for n in ("other", "third")))),
            "canary", f"scale-out on {OTHER} ended worse", at(3500), id="canary: two at the same instant",
        ),
        pytest.param(
            window, under(Control(windows=(open_window("w1", LATER), open_window("w2", LATER)))), "maintenance",
            "w1 of ada until 2026-01-01 03:46:40 UTC: the rack moves", LATER, id="window: two that close at once",
        ),
        pytest.param(
            window, under(Control(windows=(replace(open_window("w1", LATER), matchers=(SERVICE_A,)),))),
            "maintenance", "w1 of ada until 2026-01-01 03:46:40 UTC: the rack moves", LATER,
            id="window: of what it means",
        ),
        pytest.param(
            busy, small.asked(history=small.on_target(small.past(9, settled=False))), "target_busy",
            "act-1 has no outcome yet", at(10), id="busy",
        ),
        pytest.param(
            cooldown, small.asked(history=small.on_target(small.past(120))), "cooling_down", "for another 180 s",
            at(180), id="cooldown",
        ),
        pytest.param(
            canary, scale.asked(history=scale.before(scale.past(10, None))), "canary",
            f"{OTHER} goes first, and scale-out has no outcome there yet", at(30), id="canary: goes first",
        ),
        pytest.param(
            canary, scale.asked(history=scale.before(scale.past(100, "worse"))), "canary",
            f"scale-out on {OTHER} ended worse", at(3500), id="canary",
        ),
        pytest.param(
            blast_radius,
            scale.asked(history=scale.treated(*(scale.past(1, None, namespace=n) for n in "xyz"))),
            "blast_radius", "3 targets are under treatment, at most 3", at(30), id="blast radius: in all",
        ),
        pytest.param(
            blast_radius,
            scale.asked(history=scale.treated(scale.past(1, None), scale.past(1, None, on="third"))),
            "blast_radius", f"2 of 8 workloads of {NAMESPACE} are under treatment, at most 25 %", at(30),
            id="blast radius: of a namespace",
        ),
        pytest.param(
            budgets,
            scale.asked(
                limits=Limits(BUDGET, BUDGET, 0.0, Budget(1, 60.0)), history=scale.before(scale.past(20, on="here"))
            ),
            "budget_rung", "1 in 60 s is spent", at(40), id="budget",
        ),
        pytest.param(
            consent, wanting(Mode.APPROVE, people=False), "approval_required",
            f"wants to {SCALE}; nobody can answer: no people are configured", None, id="consent: nobody",
        ),
        pytest.param(
            consent, wanting(Mode.VETO), "veto_pending", f"{SCALE} at 02:56:40 UTC", at(600), id="consent: veto"
        ),
        pytest.param(
            consent, wanting(Mode.VETO, plan=ConsentPlan(veto_s=60.0)), "veto_pending", f"{SCALE} at 02:47:40 UTC",
            at(60), id="consent: veto, as the playbook has it",
        ),
        pytest.param(
            consent, wanting(Mode.APPROVE), "approval_required", f"wants to {SCALE}", at(1800), id="consent: approve"
        ),
        pytest.param(
            consent, wanting(Mode.APPROVE, plan=ConsentPlan(expires_s=60.0)), "approval_required",
            f"wants to {SCALE}", at(60), id="consent: approve, as the playbook has it",
        ),
        pytest.param(
            consent, wanting(Mode.APPROVE, given=Mode.VETO), "approval_required", f"wants to {SCALE}", at(1800),
            id="consent: nobody's no is no yes",
        ),
    ],
)  # fmt: skip
def test_a_guard_says_why_not_in_full(
    guard: Guard, question: Question, reason: str, detail: str, retry_at: datetime | None
) -> None:
    assert guard(question) == Objection(Reason(reason), detail, retry_at)


@pytest.mark.parametrize(
    ("guard", "question"),
    [
        (min_ready, scale.asked(about=scale.around(least=None))),
        (min_ready, scale.asked(about=scale.around(ready=None))),
        (
            disruption_budget,
            scale.asked(about=scale.around(ready=None, least=None, budgets=(DisruptionBudget("b", 0),))),
        ),
        (switch, under(Control(pause=Pause(SAID, NOW)))),
        (window, under(Control(windows=(replace(open_window("w", LATER), matchers=(SERVICE_B,)),)))),
    ],
    ids=["least unknown", "ready unknown", "no pods", "a pause at its end", "a window of something else"],
)  # fmt: skip
def test_what_is_not_its_business_passes_a_guard(guard: Guard, question: Question) -> None:
    assert guard(question) is None


@pytest.mark.parametrize(
    "question",
    [
        wanting(Mode.APPROVE, given=Mode.APPROVE),
        wanting(Mode.VETO, given=Mode.VETO),
        wanting(Mode.VETO, given=Mode.APPROVE),
        wanting(Mode.AUTO),
        wanting(Mode.DRY_RUN),
    ],
)
def test_who_has_consented_or_need_not_be_asked_is_not_asked(question: Question) -> None:
    assert consent(question) is None


def test_a_ruling_tells_the_guard_its_word_and_all_answers() -> None:
    def fine(question: Question) -> None:
        return None

    def no(question: Question) -> Objection:
        return Objection(Reason.CANARY, "another first", LATER)

    def broken(question: Question) -> None:
        raise ZeroDivisionError("by zero")

    question = small.asked(mode=Mode.APPROVE)
    answers = (Answer("a", None, ""), Answer("b", Reason.CANARY, "another first"))
    told = "the guard c raised ZeroDivisionError: by zero; that denies"
    assert rule(question, {"a": fine}) == Ruling(
        Verdict.ALLOW, "all", Reason.WITHIN_LIMITS, "every guard let it pass", Mode.APPROVE, None, answers[:1]
    )  # fmt: skip
    assert rule(question, {"a": fine, "b": no}) == Ruling(
        Verdict.DENY, "b", Reason.CANARY, "another first", Mode.APPROVE, LATER, answers
    )
    assert rule(question, {"c": broken}) == Ruling(
        Verdict.DENY, "c", Reason.GUARD_FAILED, told, Mode.APPROVE, None, (Answer("c", Reason.GUARD_FAILED, told),)
    )  # fmt: skip


def test_what_people_set_holds_until_they_say_otherwise_under_the_ceiling_of_the_settings() -> None:
    policy = small.asked(ceiling=Mode.APPROVE).policy
    said = Control(ceiling=Ceiling(Mode.OBSERVE, Mode.APPROVE, SAID))
    lowered = policy.under(said)
    assert (lowered.ceiling, lowered.setting) == (Mode.OBSERVE, Mode.APPROVE)
    assert lowered.control == said
    again = lowered.under(Control())
    assert (again.ceiling, again.setting, again.control) == (Mode.APPROVE, Mode.APPROVE, Control())
    assert again.namespaces == policy.namespaces


def test_a_yes_makes_a_veto_an_approval_and_alerts_that_want_a_look_get_no_more() -> None:
    assert wanting(Mode.VETO, given=Mode.APPROVE).mode is Mode.APPROVE
    assert wanting(Mode.VETO, given=Mode.VETO).mode is Mode.VETO
    assert wanting(Mode.AUTO, given=Mode.APPROVE).mode is Mode.AUTO
    assert replace(small.asked(), diagnose_only=True).mode is Mode.OBSERVE
