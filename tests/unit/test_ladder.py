"""The ladder of chapter 3.1: for each cause the rung that is taken,
and for every other rung the word why not.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.act.kill_query import KillQuery
from service.act.rollout_restart import RolloutRestart
from service.act.scale import Scale
from service.decide.ladder import propose
from service.decide.plan import plan
from service.diagnose.chapters.high_latency import HighLatencyEvidence
from service.model.action import Mode, NotPossible, Request
from service.model.evidence import Unknown, facts
from service.model.reasons import Reason
from service.model.ruling import Considered, Proposal
from tests.unit.made import (
    GOOD,
    KILL,
    T0,
    TARGET,
    after,
    evidence,
    healthy,
    playbooks_in,
    runaway,
    shipped,
    without,
)

KILL_RUNG, SCALE_RUNG = "kill-runaway-query", "scale-out"
# The two rungs of the shipped ladder that act; those for people are in test_high_latency.py.
PLAYBOOK = replace(
    shipped(), remedies=tuple(r for r in shipped().remedies if r.name in (KILL_RUNG, SCALE_RUNG))
)


@pytest.mark.parametrize(
    ("seen", "tried", "action", "why", "reasons"),
    [
        pytest.param(runaway(), {}, KILL, None, [None, Reason.NOT_REACHED], id="a runaway query is ended first"),
        pytest.param(
            runaway(), {KILL_RUNG: 1}, Scale(TARGET, 2, 3), None, [Reason.ALREADY_TRIED, None],
            id="ended once, and still behind: one consumer more",
        ),
        pytest.param(
            evidence(), {}, Scale(TARGET, 2, 3), None, [Reason.DOES_NOT_HOLD, None], id="lag grows: one consumer more"
        ),
        pytest.param(
            evidence(), {SCALE_RUNG: 1}, Scale(TARGET, 2, 3), None, [Reason.DOES_NOT_HOLD, None],
            id="the rung may be taken twice",
        ),
        pytest.param(
            evidence(), {SCALE_RUNG: 2}, None, Reason.NO_RUNG_HOLDS, [Reason.DOES_NOT_HOLD, Reason.ALREADY_TRIED],
            id="but not three times",
        ),
        pytest.param(
            runaway(), {KILL_RUNG: 1, SCALE_RUNG: 2}, None, Reason.LADDER_EXHAUSTED,
            [Reason.ALREADY_TRIED, Reason.ALREADY_TRIED], id="every rung was tried",
        ),
        pytest.param(
            evidence(pods={"autoscaled": True}), {}, None, Reason.NO_RUNG_HOLDS,
            [Reason.DOES_NOT_HOLD, Reason.DOES_NOT_HOLD], id="an autoscaler owns the count",
        ),
        pytest.param(
            evidence(pods={"desired": 5, "ready": 5}, kafka={"members": 5}), {}, None, Reason.NO_RUNG_HOLDS,
            [Reason.DOES_NOT_HOLD, Reason.AT_CEILING], id="at the written ceiling",
        ),
        pytest.param(
            replace(runaway(), pods=evidence(pods={"desired": 5, "ready": 5}).pods),
            {KILL_RUNG: 1}, None, Reason.LADDER_EXHAUSTED, [Reason.ALREADY_TRIED, Reason.AT_CEILING],
            id="tried, and at the ceiling",
        ),
        pytest.param(
            evidence(kafka={"members": 6}), {}, None, Reason.NO_RUNG_HOLDS,
            [Reason.DOES_NOT_HOLD, Reason.DOES_NOT_HOLD], id="a member for every partition",
        ),
        pytest.param(
            evidence(pods={"ready": 1}), {}, None, Reason.NO_RUNG_HOLDS,
            [Reason.DOES_NOT_HOLD, Reason.DOES_NOT_HOLD], id="a pod is not ready",
        ),
        pytest.param(
            evidence(kafka={"consumed_per_s": 0.0}), {}, None, Reason.NO_RUNG_HOLDS,
            [Reason.DOES_NOT_HOLD, Reason.DOES_NOT_HOLD], id="nobody consumes",
        ),
        pytest.param(
            evidence(unknown=["clickhouse", "series"]), {}, Scale(TARGET, 2, 3), None,
            [Reason.EVIDENCE_UNKNOWN, None], id="the database is unknown: its rung is passed over",
        ),
        pytest.param(
            evidence(unknown=["kafka", "series"]), {}, None, Reason.EVIDENCE_UNKNOWN,
            [Reason.EVIDENCE_UNKNOWN] * 2, id="whether it is ill is unknown: nothing is done",
        ),
        pytest.param(
            without(evidence(), HighLatencyEvidence.groups()), {}, None, Reason.EVIDENCE_UNKNOWN,
            [Reason.EVIDENCE_UNKNOWN, Reason.EVIDENCE_UNKNOWN], id="nothing is known: nothing is done",
        ),
        pytest.param(
            healthy(), {}, None, Reason.ALREADY_HEALTHY, [Reason.ALREADY_HEALTHY] * 2, id="already healthy"
        ),
    ],
)  # fmt: skip
def test_the_ladder_takes_the_first_rung_that_the_evidence_supports(
    seen: HighLatencyEvidence, tried: Mapping[str, int], action: Request | None, why: Reason | None,
    reasons: list[Reason | None],
) -> None:  # fmt: skip
    proposal = propose(PLAYBOOK, TARGET, seen, tried, T0)
    assert proposal.request == action
    assert proposal.reason is why
    assert [c.reason for c in proposal.considered] == reasons
    chosen = [c.rung for c in proposal.considered if c.reason is None]
    assert chosen == ([proposal.rung] if action else [])


def test_the_ladder_without_rungs_holds_nothing(tmp_path: Path) -> None:
    text = GOOD[: GOOD.index("remedies:")] + GOOD[GOOD.index("healed:") :]
    (playbook,) = playbooks_in(tmp_path, text)
    assert propose(playbook, TARGET, evidence(), {}, T0).reason is Reason.NO_RUNG_HOLDS


def test_a_proposal_is_as_old_as_its_oldest_reading() -> None:
    assert propose(PLAYBOOK, TARGET, evidence(T0), {}, after(90)).evidence_at == T0
    young = evidence(after(60))
    old = replace(young, usage=replace(evidence(after(20)).usage))
    assert propose(PLAYBOOK, TARGET, old, {}, after(90)).evidence_at == after(20)
    assert propose(PLAYBOOK, TARGET, young, {}, after(90)).evidence_at == after(60)
    nothing = without(young, HighLatencyEvidence.groups())
    assert propose(PLAYBOOK, TARGET, nothing, {}, after(90)).evidence_at == after(90)


def test_of_a_target_that_does_not_exist_nothing_is_proposed_whatever_the_rest_says() -> None:
    gone = replace(evidence(), target=Unknown(Reason.NOT_FOUND, "kubernetes", T0, 0.1))
    proposal = propose(PLAYBOOK, TARGET, gone, {}, T0)
    assert (proposal.request, proposal.reason) == (None, Reason.TARGET_MISSING)
    assert {c.reason for c in proposal.considered} == {Reason.TARGET_MISSING}


@given(
    st.lists(st.sampled_from(HighLatencyEvidence.groups()), unique=True),
    st.sampled_from([evidence(), runaway(), healthy()]),
    st.dictionaries(st.sampled_from([KILL_RUNG, SCALE_RUNG]), st.integers(0, 3)),
)
def test_what_is_unknown_never_argues_for_an_action(
    lost: list[str], seen: HighLatencyEvidence, tried: dict[str, int]
) -> None:
    full = propose(PLAYBOOK, TARGET, seen, tried, T0)
    less = propose(PLAYBOOK, TARGET, without(seen, lost), tried, T0)
    assert len(less.considered) == len(PLAYBOOK.remedies)
    reached = {c.rung: c.reason for c in full.considered}
    if less.request is not None and less.rung is not None:
        # It may come down to a rung below an unknown one,
        # never to a rung whose own condition fails.
        assert reached[less.rung] in (None, Reason.NOT_REACHED, Reason.ALREADY_HEALTHY)
        assert PLAYBOOK.remedies[[r.name for r in PLAYBOOK.remedies].index(less.rung)].when.judge(
            {"evidence": facts(seen)}
        ) == "holds"  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "seen", "expected"),
    [
        pytest.param("by: 1, max: 5", evidence(), Scale(TARGET, 2, 3), id="one more"),
        pytest.param("by: 9, max: 5", evidence(), Scale(TARGET, 2, 5), id="up to the ceiling"),
        pytest.param("by: 1, max: 2", evidence(), Reason.AT_CEILING, id="at the ceiling"),
        pytest.param("by: 1, max: 1", evidence(), Reason.AT_CEILING, id="above it, it is not scaled down"),
        pytest.param(
            "by: 1, max: 5", evidence(unknown=["pods"]), Reason.EVIDENCE_UNKNOWN, id="replicas unknown"
        ),
        pytest.param(
            "by: 1, max: 5", evidence(pods={"desired": -1}), Reason.ARGUMENT_OUT_OF_BOUNDS,
            id="the evidence is out of the argument's bounds",
        ),
    ],
)  # fmt: skip
def test_a_scaling_is_absolute_and_bounded(
    arguments: str, seen: HighLatencyEvidence, expected: Scale | Reason, tmp_path: Path
) -> None:
    (playbook,) = playbooks_in(tmp_path, GOOD.replace("by: 1, max: 5", arguments))
    planned = plan(playbook.remedies[0].do, TARGET, {"evidence": facts(seen)})
    assert (planned.reason if isinstance(planned, NotPossible) else planned) == expected


def test_a_restart_is_of_the_incidents_own_target(tmp_path: Path) -> None:
    scale = GOOD[GOOD.index("{scale:") : GOOD.index("    mode")]
    (playbook,) = playbooks_in(tmp_path, GOOD.replace(scale, "{rollout_restart: {}}\n"))
    planned = plan(playbook.remedies[0].do, TARGET, {"evidence": facts(evidence())})
    assert planned == RolloutRestart(TARGET)


def test_a_query_is_named_by_id_user_and_age() -> None:
    kill = PLAYBOOK.remedies[0].do
    assert plan(kill, TARGET, {"evidence": facts(runaway())}) == KILL
    idle = plan(kill, TARGET, {"evidence": facts(evidence())})
    unknown = plan(kill, TARGET, {"evidence": facts(evidence(unknown=["clickhouse"]))})
    assert isinstance(idle, NotPossible)
    assert isinstance(unknown, NotPossible)
    assert (idle.reason, unknown.reason) == (Reason.NO_DATA, Reason.EVIDENCE_UNKNOWN)


def test_a_query_of_the_anonymous_user_is_of_that_user() -> None:
    seen = evidence(
        clickhouse={"longest_query_s": 600.0, "longest_query_id": "q", "longest_query_user": ""}
    )
    assert propose(PLAYBOOK, TARGET, seen, {}, T0).request == KillQuery(TARGET, "q", "", 300.0)


RUNAWAY, GROWS = (r.when.text for r in PLAYBOOK.remedies)


def told(seen: HighLatencyEvidence, tried: Mapping[str, int] | None = None) -> Proposal:
    return propose(PLAYBOOK, TARGET, seen, tried or {}, after(5))


def words(*rungs: tuple[Reason | None, str]) -> tuple[Considered, ...]:
    """What the record says of each rung."""
    return tuple(
        Considered(name, when, reason, detail)
        for (name, when), (reason, detail) in zip(
            ((KILL_RUNG, RUNAWAY), (SCALE_RUNG, GROWS)), rungs, strict=True
        )
    )


def test_a_proposal_tells_of_each_rung_its_condition_and_why_it_was_taken_or_not() -> None:
    assert told(runaway()) == Proposal(
        words((None, str(KILL)), (Reason.NOT_REACHED, "")),
        None, KILL_RUNG, "kill_query", KILL, PLAYBOOK.remedies[0].mode, T0,
    )  # fmt: skip
    scale = Scale(TARGET, 2, 3)
    assert told(runaway(), {KILL_RUNG: 1}) == Proposal(
        words((Reason.ALREADY_TRIED, "1 time(s)"), (None, str(scale))),
        None, SCALE_RUNG, "scale", scale, PLAYBOOK.remedies[1].mode, T0,
    )  # fmt: skip
    unknown = evidence(unknown=["clickhouse", "series"])
    assert told(unknown).considered == words((Reason.EVIDENCE_UNKNOWN, ""), (None, str(scale)))


def test_the_mode_of_a_proposal_is_its_rungs(tmp_path: Path) -> None:
    (playbook,) = playbooks_in(tmp_path, GOOD)
    assert propose(playbook, TARGET, evidence(), {}, T0).mode is Mode.AUTO


def test_what_proposes_nothing_tells_of_each_rung_too_and_how_old_its_evidence_is() -> None:
    full = evidence(pods={"desired": 5, "ready": 5}, kafka={"members": 5})
    nothing = told(full)
    assert [c.rung for c in nothing.considered] == [KILL_RUNG, SCALE_RUNG]
    assert [c.when for c in nothing.considered] == [RUNAWAY, GROWS]
    assert nothing.considered[0].reason is Reason.DOES_NOT_HOLD
    ceiling = nothing.considered[1]
    assert (ceiling.reason, ceiling.detail) == (
        Reason.AT_CEILING,
        "5 replicas, and the ceiling is 5",
    )
    assert nothing.evidence_at == T0
    well = told(healthy())
    assert well == Proposal(
        words(*[(Reason.ALREADY_HEALTHY, "")] * 2), Reason.ALREADY_HEALTHY, evidence_at=T0
    )
    gone = replace(evidence(), target=Unknown(Reason.NOT_FOUND, "kubernetes", T0, 0.1))
    assert told(gone) == Proposal(
        words(*[(Reason.TARGET_MISSING, "")] * 2), Reason.TARGET_MISSING, evidence_at=T0
    )


def test_a_condition_may_compare_with_before_and_with_now(tmp_path: Path) -> None:
    text = GOOD.replace(
        "healed: evidence.kafka.lag_total < 5000",
        "healed: evidence.kafka.lag_total < before.kafka.lag_total",
    ).replace(
        "when: evidence.kafka.lag_growing",
        "when: evidence.kafka.lag_growing && now > timestamp('2025-12-31T00:00:00Z')",
    )
    (playbook,) = playbooks_in(tmp_path, text)
    proposal = propose(playbook, TARGET, evidence(), {}, T0)
    assert proposal.request == Scale(TARGET, 2, 3)


def test_a_template_may_name_the_target_and_what_is_missing_is_told(tmp_path: Path) -> None:
    scale = GOOD[GOOD.index("{scale:") : GOOD.index("    mode")]
    why = '{human: {say: "look at {{ target.name }}"}}\n'
    (asks,) = playbooks_in(tmp_path / "a", GOOD.replace(scale, why))
    request = plan(asks.remedies[0].do, TARGET, {"evidence": facts(evidence())})
    assert TARGET.name in str(request)
    (scales,) = playbooks_in(tmp_path / "b", GOOD)
    blind = {"evidence": facts(evidence(unknown=["pods"]))}
    assert plan(scales.remedies[0].do, TARGET, blind) == NotPossible(
        Reason.EVIDENCE_UNKNOWN, "{{ evidence.pods.desired }} is not known"
    )


def test_what_is_out_of_bounds_is_told_and_cut() -> None:
    def refuse(arguments: Mapping[str, Any]) -> None:
        raise ValueError("x" * 600)

    do = replace(PLAYBOOK.remedies[1].do, check=refuse)
    assert plan(do, TARGET, {"evidence": facts(evidence())}) == NotPossible(
        Reason.ARGUMENT_OUT_OF_BOUNDS, "x" * 500
    )
