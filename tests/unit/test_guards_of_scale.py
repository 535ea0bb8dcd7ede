"""The guards that count what is under treatment, what was tried,
and what stands around: tables and properties.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.guard.attempts import attempts
from service.guard.blast_radius import blast_radius
from service.guard.breaker import breaker
from service.guard.budgets import budgets
from service.guard.canary import canary
from service.guard.chain import rule
from service.guard.changed_by_person import changed_by_person
from service.guard.disruption_budget import disruption_budget
from service.guard.min_ready import min_ready
from service.guard.protected import protected
from service.guard.question import Guard, Policy, Question
from service.guard.rollout import rollout
from service.model.action import Mode
from service.model.evidence import Known, Reading, Unknown
from service.model.limits import (
    AttemptLimits,
    BlastLimits,
    BreakerLimits,
    CanaryLimits,
    PeopleLimits,
)
from service.model.objects import DisruptionBudget, ObjectRef, Surroundings, Survey
from service.model.playbook import Budget, Limits
from service.model.reasons import Reason
from service.model.ruling import BreakerState, History, PastAction, Proposal
from tests.unit.made import NAMESPACE, SCALE, TARGET, after
from tests.unit.test_guard import told

NOW = after(10_000)
PLAYBOOK = "high-latency"
ROOMY = Budget(1_000, 3_600.0)
POLICY = Policy(
    Mode.AUTO, (NAMESPACE,), ROOMY, 60.0, 18_000.0, protected=("kube-system",), in_namespace=ROOMY,
    blast=BlastLimits(25.0, 3, 1), persons=PeopleLimits(300.0, ("kubectl*", "k9s")),
    canary=CanaryLimits(3_600.0), breaker=BreakerLimits(10, 600.0, 900.0),
    attempts=AttemptLimits(2, 3, 4, 7_200.0),
)  # fmt: skip
assert TARGET.ref is not None
REF = TARGET.ref


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def past(
    seconds_ago: float,
    outcome: str | None = "healed",
    *,
    on: str = "other",
    playbook: str = PLAYBOOK,
    rung: str = "scale-out",
    took_s: float = 0.0,
    namespace: str = NAMESPACE,
) -> PastAction:
    """A line of the ledger; without an outcome it is under treatment."""
    key = TARGET.key if on == "here" else f"Deployment/{namespace}/{on}"
    settled_at = ago(seconds_ago - took_s) if outcome else None
    return PastAction(
        f"act-{on}-{seconds_ago:g}", "inc-0", playbook, key, rung, "scale", ago(seconds_ago),
        settled_at, outcome, namespace,
    )  # fmt: skip


def around(**more: Any) -> Reading[Surroundings]:
    found = Surroundings(**{"workloads": 8, "ready": 3, "least": 3, **more})
    return Known(found, "kubernetes", NOW, 0.1)


BLIND: Reading[Surroundings] = Unknown(Reason.FORBIDDEN, "kubernetes", NOW, 0.1, "no list")


def surveyed(changes: Mapping[str, datetime] | None = None, ref: ObjectRef = REF) -> Any:
    return Known((Survey(ref, "uid-1", changes=changes or {}),), "kubernetes", NOW, 0.1)


def asked(
    *,
    history: History | None = None,
    policy: Policy = POLICY,
    limits: Limits = Limits(ROOMY, ROOMY, 0.0),  # noqa: B008 - frozen
    about: Reading[Surroundings] | None = None,
    nothing_of_kubernetes: bool = False,
    surveys: Reading[tuple[Survey, ...]] | None = None,
    now: datetime = NOW,
) -> Question:
    proposal = Proposal((), None, "scale-out", "scale", SCALE, Mode.AUTO, now)
    return Question(
        proposal, TARGET, limits, policy, history or History(1, now), "uid-1", surveys or surveyed(),
        now, around=None if nothing_of_kubernetes else about or around(), playbook=PLAYBOOK,
    )  # fmt: skip


def treated(*actions: PastAction) -> History:
    return History(1, NOW, under_treatment=actions)


def before(*actions: PastAction) -> History:
    """The newest first, as the ledger gives them, each in its scopes."""
    its = sorted(actions, key=lambda a: a.intended_at, reverse=True)
    here = [a for a in its if a.target_key == TARGET.key]
    mine = [a for a in its if a.playbook == PLAYBOOK]
    return History(
        1, NOW, on_target=here, in_playbook=mine, overall=its, in_namespace=its,
        of_rung=[a for a in here if a.rung == "scale-out" and a.playbook == PLAYBOOK],
        under_treatment=[a for a in its if a.settled_at is None],
    )  # fmt: skip


NETWORK_POLICY = ObjectRef(
    "networking.k8s.io/v1", "networkpolicies", "NetworkPolicy", "kube-system", "dns"
)

CASES: Sequence[tuple[str, Guard, Question, tuple[Reason, float | None] | None]] = [
    # protected
    ("a target nobody protects", protected, asked(), None),
    (
        "a protected namespace, though it is allowed",
        protected,
        asked(policy=replace(POLICY, protected=("kube-system", NAMESPACE))),
        (Reason.PROTECTED, None),
    ),
    (
        "a protected name in a namespace that is not",
        protected,
        asked(policy=replace(POLICY, protected=(f"{NAMESPACE}/{TARGET.name}",))),
        (Reason.PROTECTED, None),
    ),
    (
        "names by a wildcard",
        protected,
        asked(policy=replace(POLICY, protected=("carbon-*/normalization-*",))),
        (Reason.PROTECTED, None),
    ),
    (
        "another name",
        protected,
        asked(policy=replace(POLICY, protected=(f"{NAMESPACE}/other",))),
        None,
    ),
    (
        "an object that would be written lies in a protected namespace",
        protected,
        asked(surveys=surveyed(ref=NETWORK_POLICY)),
        (Reason.PROTECTED, None),
    ),
    # blast radius
    ("nothing is under treatment", blast_radius, asked(), None),
    ("one of eight is, and two are a quarter", blast_radius, asked(history=treated(past(1, None))), None),
    (
        "two of eight are",
        blast_radius,
        asked(history=treated(past(1, None), past(1, None, on="third"))),
        (Reason.BLAST_RADIUS, 30),
    ),
    (
        "in another namespace",
        blast_radius,
        asked(history=treated(past(1, None, namespace="x"), past(1, None, namespace="y"))),
        None,
    ),
    (
        "three in all, wherever",
        blast_radius,
        asked(history=treated(*(past(1, None, namespace=n) for n in "xyz"))),
        (Reason.BLAST_RADIUS, 30),
    ),
    (
        "the target itself counts once",
        blast_radius,
        asked(history=treated(past(1, None), past(1, None, on="here"))),
        None,
    ),
    (
        "one may always be treated, however few there are",
        blast_radius,
        asked(about=around(workloads=1)),
        None,
    ),
    (
        "and not two",
        blast_radius,
        asked(about=around(workloads=1), history=treated(past(1, None))),
        (Reason.BLAST_RADIUS, 30),
    ),
    (
        "what touches nothing of Kubernetes has no share, but counts",
        blast_radius,
        asked(nothing_of_kubernetes=True, history=treated(past(1, None), past(1, None, on="third"))),
        None,
    ),
    # ready pods
    ("no ready pod goes", min_ready, asked(), None),
    ("one goes and two stay", min_ready, asked(about=around(least=2)), None),
    ("as many stay as are written", min_ready, asked(about=around(least=1)), None),
    ("none would stay", min_ready, asked(about=around(least=0)), (Reason.TOO_FEW_READY, 30)),
    ("none is ready, so none can be taken away", min_ready, asked(about=around(ready=0, least=0)), None),
    ("the target runs no pods", min_ready, asked(about=around(ready=None, least=None)), None),
    ("it is not known what stands around", min_ready, asked(about=BLIND), (Reason.SURROUNDINGS_UNKNOWN, 30)),
    ("nothing of Kubernetes is touched", min_ready, asked(nothing_of_kubernetes=True), None),
    # rollout
    ("no rollout", rollout, asked(), None),
    ("a rollout goes on", rollout, asked(about=around(rollout="1 of 3")), (Reason.ROLLOUT_IN_PROGRESS, 15)),
    ("unknown: another guard's no", rollout, asked(about=BLIND), None),
    # disruption budgets
    ("no budget", disruption_budget, asked(about=around(least=2)), None),
    (
        "a budget with room",
        disruption_budget,
        asked(about=around(least=2, budgets=(DisruptionBudget("b", 1),))),
        None,
    ),
    (
        "a budget without room",
        disruption_budget,
        asked(about=around(least=2, budgets=(DisruptionBudget("a", 1), DisruptionBudget("b", 0)))),
        (Reason.DISRUPTION_BUDGET, 30),
    ),
    (
        "a budget with room for fewer than would go",
        disruption_budget,
        asked(about=around(least=1, budgets=(DisruptionBudget("b", 1),))),
        (Reason.DISRUPTION_BUDGET, 30),
    ),
    (
        "no room, and nothing goes",
        disruption_budget,
        asked(about=around(budgets=(DisruptionBudget("b", 0),))),
        None,
    ),
    ("unknown: another guard's no", disruption_budget, asked(about=BLIND), None),
    # a person's change
    ("nobody changed it", changed_by_person, asked(), None),
    (
        "a person did, a minute ago",
        changed_by_person,
        asked(surveys=surveyed({"kubectl-edit": ago(60)})),
        (Reason.CHANGED_BY_PERSON, 240),
    ),
    (
        "a person did, just long enough ago",
        changed_by_person,
        asked(surveys=surveyed({"kubectl-edit": ago(300)})),
        None,
    ),
    (
        "a controller did",
        changed_by_person,
        asked(surveys=surveyed({"kube-controller-manager": ago(1), "paramedic": ago(1)})),
        None,
    ),
    (
        "by the server's clock in the future: never longer than the rest is",
        changed_by_person,
        asked(surveys=surveyed({"k9s": ago(-600)})),
        (Reason.CHANGED_BY_PERSON, 300),
    ),
    # canary
    ("the first of its playbook", canary, asked(), None),
    (
        "another goes first, without an outcome yet",
        canary,
        asked(history=before(past(10, None))),
        (Reason.CANARY, 30),
    ),
    ("another was healed", canary, asked(history=before(past(100))), None),
    (
        "another was healed, and a third is under treatment",
        canary,
        asked(history=before(past(100), past(10, None, on="third"))),
        None,
    ),
    (
        "another was not healed, and for so long nobody else tries",
        canary,
        asked(history=before(past(100, "not_healed"))),
        (Reason.CANARY, 3_500),
    ),
    (
        "the newest outcome speaks, not the newest action",
        canary,
        asked(history=before(past(900, "worse", took_s=890), past(100))),
        (Reason.CANARY, 3_590),
    ),
    ("its outcome is too old to speak", canary, asked(history=before(past(3_600, "not_healed"))), None),
    (
        "healed too long ago, and another goes first again",
        canary,
        asked(history=before(past(3_700), past(10, None, on="third"))),
        (Reason.CANARY, 30),
    ),
    (
        "the clock was set back: never longer than the window is",
        canary,
        asked(history=before(past(-600, "not_healed"))),
        (Reason.CANARY, 3_600),
    ),
    ("its own action is no canary", canary, asked(history=before(past(10, None, on="here"))), None),
    ("another playbook's is none", canary, asked(history=before(past(10, None, playbook="x"))), None),
    (
        "no canary is wanted",
        canary,
        asked(history=before(past(10, None)), policy=replace(POLICY, canary=CanaryLimits(0.0))),
        None,
    ),
    # the circuit breaker
    ("as many as are allowed", breaker, asked(history=History(1, NOW, breaker=BreakerState(10))), None),
    (
        "one more",
        breaker,
        asked(history=History(1, NOW, breaker=BreakerState(11))),
        (Reason.BREAKER_OPEN, 900),
    ),
    (
        "open still, though fewer are new",
        breaker,
        asked(history=History(1, NOW, breaker=BreakerState(0, after(10_100)))),
        (Reason.BREAKER_OPEN, 100),
    ),
    ("it has closed", breaker, asked(history=History(1, NOW, breaker=BreakerState(0, NOW))), None),
    (
        "the clock was set back: asked again after the cool-down at the latest",
        breaker,
        asked(history=History(1, NOW, breaker=BreakerState(0, after(99_999)))),
        (Reason.BREAKER_OPEN, 900),
    ),
    # attempts
    ("nothing was tried", attempts, asked(), None),
    ("the rung failed once here", attempts, asked(history=before(past(60, "not_healed", on="here"))), None),
    (
        "the rung failed twice here",
        attempts,
        asked(history=before(past(60, "not_healed", on="here"), past(900, "inconclusive", on="here"))),
        (Reason.RUNG_FUTILE, None),
    ),
    (
        "it healed in between",
        attempts,
        asked(
            history=before(
                past(60, "not_healed", on="here"), past(500, on="here"), past(900, "worse", on="here")
            )
        ),
        None,
    ),
    (
        "twice, once too long ago",
        attempts,
        asked(history=before(past(60, "not_healed", on="here"), past(7_200, "worse", on="here"))),
        None,
    ),
    (
        "another rung failed twice here",
        attempts,
        asked(history=before(*(past(n, "worse", on="here", rung="kill") for n in (60, 90)))),
        None,
    ),
    (
        "healed twice here",
        attempts,
        asked(history=before(*(past(n, on="here") for n in (60, 90)))),
        None,
    ),
    (
        "healed three times here, and ill again",
        attempts,
        asked(history=before(*(past(n, on="here") for n in (60, 90, 120)))),
        (Reason.KEEPS_COMING_BACK, None),
    ),
    (
        "healed three times here, by another playbook",
        attempts,
        asked(history=before(*(past(n, on="here", playbook="x") for n in (60, 90, 120)))),
        None,
    ),
    (
        "the playbook failed three times in a row",
        attempts,
        asked(history=before(*(past(n, "failed", on=f"t{n}") for n in (10, 20, 30)))),
        None,
    ),
    (
        "the playbook failed four times in a row, each in its way",
        attempts,
        asked(
            history=before(
                *(past(n, o, on=f"t{n}") for n, o in enumerate(("not_healed", "inconclusive", "reverted", "worse")))
            )
        ),
        (Reason.PLAYBOOK_FAILING, None),
    ),
    (
        "the playbook failed, and then healed",
        attempts,
        asked(history=before(past(1), *(past(n, "worse", on=f"t{n}") for n in (10, 20, 30, 40)))),
        None,
    ),
    (
        "what has no outcome is no failure",
        attempts,
        asked(history=before(*(past(n, None, on=f"t{n}") for n in (10, 20, 30, 40)))),
        None,
    ),
    # budgets of the rung and of the namespace
    (
        "the rung's budget on its target",
        budgets,
        asked(limits=Limits(ROOMY, ROOMY, 0.0, Budget(1, 60.0)), history=before(past(20, on="here"))),
        (Reason.BUDGET_RUNG, 40),
    ),
    (
        "another rung spends none of it",
        budgets,
        asked(
            limits=Limits(ROOMY, ROOMY, 0.0, Budget(1, 60.0)),
            history=before(past(20, on="here", rung="kill")),
        ),
        None,
    ),
    (
        "the namespace's budget",
        budgets,
        asked(policy=replace(POLICY, in_namespace=Budget(1, 60.0)), history=before(past(15))),
        (Reason.BUDGET_NAMESPACE, 45),
    ),
    (
        "the narrowest scope speaks",
        budgets,
        asked(
            limits=Limits(Budget(1, 60.0), Budget(1, 60.0), 0.0, Budget(1, 60.0)),
            policy=replace(POLICY, in_namespace=Budget(1, 60.0), overall=Budget(1, 60.0)),
            history=before(past(20, on="here")),
        ),
        (Reason.BUDGET_RUNG, 40),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("guard", "question", "expected"), [pytest.param(*c[1:], id=c[0]) for c in CASES]
)
def test_a_guard_objects_with_its_reason_and_says_when_to_ask_again(
    guard: Guard, question: Question, expected: tuple[Reason, float | None] | None
) -> None:
    assert told(guard(question)) == expected


def test_a_ladder_that_stops_tells_what_was_tried_when_and_what_came_of_it() -> None:
    tried = [past(60, "not_healed", on="here"), past(900, "reverted", on="here")]
    objection = attempts(asked(history=before(*tried)))
    assert objection is not None
    first, second = (f"{a.intended_at:%Y-%m-%d %H:%M:%S}" for a in reversed(tried))
    assert objection.detail == (
        f"scale-out healed nothing here: scale-out on {TARGET.key} at {first} reverted; "
        f"scale-out on {TARGET.key} at {second} not_healed"
    )


def test_of_a_long_history_the_newest_is_told_and_the_rest_counted() -> None:
    objection = attempts(asked(history=before(*(past(n, "worse", on="here") for n in range(9)))))
    assert objection is not None
    assert "3 more before; " in objection.detail
    assert objection.detail.count(" worse") == 6


OUTCOMES = st.sampled_from([None, "healed", "not_healed", "worse", "reverted", "inconclusive"])
PASTS = st.lists(
    st.builds(
        past,
        st.floats(-500, 9_000),
        OUTCOMES,
        on=st.sampled_from(["here", "other", "third", "fourth"]),
        took_s=st.floats(0, 100),
    ),
    max_size=12,
)
STATES = st.builds(
    BreakerState, st.integers(0, 20), st.none() | st.floats(-2_000, 2_000).map(lambda s: ago(s))
)
AROUND = st.builds(
    around,
    workloads=st.integers(0, 40),
    ready=st.integers(0, 4),
    least=st.integers(0, 4),
    rollout=st.sampled_from(["", "1 of 2"]),
    budgets=st.lists(st.builds(DisruptionBudget, st.just("b"), st.integers(0, 3)), max_size=2).map(tuple),
)  # fmt: skip


@given(PASTS, STATES, AROUND | st.just(BLIND))
def test_every_guard_answers_whatever_the_history_and_the_surroundings(
    actions: list[PastAction], state: BreakerState, about: Reading[Surroundings]
) -> None:
    ruling = rule(asked(history=replace(before(*actions), breaker=state), about=about))
    assert Reason.GUARD_FAILED not in {answer.reason for answer in ruling.answers}
    if isinstance(about, Unknown):
        assert not ruling.allowed


@given(PASTS, STATES)
def test_a_hold_always_ends_in_the_future_and_within_its_longest_window(
    actions: list[PastAction], state: BreakerState
) -> None:
    question = asked(history=replace(before(*actions), breaker=state))
    for guard, longest_s in ((canary, 3_600.0), (breaker, 900.0), (blast_radius, 30.0)):
        objection = guard(question)
        if objection is not None:
            assert objection.retry_at is not None
            assert NOW < objection.retry_at <= NOW + timedelta(seconds=longest_s)


@given(st.lists(st.sampled_from(["healed", "not_healed"]), max_size=30), st.integers(1, 5))
def test_no_playbook_acts_again_after_so_many_failures_in_a_row(
    outcomes: list[str], most: int
) -> None:
    policy = replace(POLICY, attempts=AttemptLimits(100, 10, most, 99_999.0))
    done: list[PastAction] = []
    for place, outcome in enumerate(outcomes):
        history = before(*done)
        if attempts(asked(history=history, policy=policy)) is not None:
            break
        done.append(past(len(outcomes) - place, outcome, on=f"t{place}"))
    row = 0
    for action in done:
        row = 0 if action.outcome == "healed" else row + 1
        assert row <= most


@given(PASTS)
def test_while_a_canary_has_no_outcome_and_none_has_healed_nobody_else_acts(
    actions: list[PastAction],
) -> None:
    others = [a for a in actions if a.target_key != TARGET.key]
    going = [a for a in others if a.settled_at is None]
    healed = [a for a in others if a.outcome == "healed"]
    if going and not healed:
        assert canary(asked(history=before(*actions))) is not None
