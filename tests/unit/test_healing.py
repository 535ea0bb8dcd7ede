"""Proof: good readings in a row, until the time is over; Unknown heals nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from service.verify.healing import HealthReading, prove

from service.diagnose.chapters.high_latency import HighLatencyEvidence
from service.kit.clock import VirtualClock
from service.model.evidence import Evidence, facts
from service.model.incident import Outcome, OutcomeKind
from service.model.playbook import VerifyPlan
from service.model.reasons import Reason
from tests.unit.made import T0, after, evidence, healthy, shipped

PLAN = VerifyPlan(settle_s=30.0, within_s=120.0, readings=3, every_s=15.0)
GOOD, BAD = healthy(), evidence()
UNKNOWN = evidence(unknown=["kafka", "series"])
WORSE = evidence(pods={"ready": 1})


@dataclass
class Patient:
    """Answers probes from a script, the last line for ever; remembers when it was asked and what was reported."""

    clock: VirtualClock
    script: Sequence[HighLatencyEvidence]
    probe_s: float = 0.0
    asked_at: list[float] = field(default_factory=list)
    reported: list[HealthReading] = field(default_factory=list)

    async def probe(self) -> Evidence:
        self.asked_at.append((self.clock.now() - T0).total_seconds())
        self.clock.advance(self.probe_s)
        return self.script[min(len(self.asked_at), len(self.script)) - 1]

    async def report(self, reading: HealthReading) -> None:
        self.reported.append(reading)

    async def proved(self, plan: VerifyPlan = PLAN, acted_at: datetime = T0) -> Outcome:
        return await prove(
            shipped(), plan, acted_at=acted_at, before=facts(BAD), probe=self.probe, report=self.report,
            clock=self.clock,
        )  # fmt: skip


@pytest.fixture
def patient(clock: VirtualClock) -> Callable[..., Patient]:
    return lambda *script, probe_s=0.0: Patient(clock, script, probe_s)


@pytest.mark.parametrize(
    ("script", "kind", "reason", "at"),
    [
        pytest.param([GOOD], OutcomeKind.HEALED, Reason.READINGS_GOOD, [30, 45, 60], id="three good ones in a row"),
        pytest.param(
            [BAD, GOOD], OutcomeKind.HEALED, Reason.READINGS_GOOD, [30, 45, 60, 75], id="a bad one first"
        ),
        pytest.param(
            [GOOD, GOOD, BAD, GOOD], OutcomeKind.HEALED, Reason.READINGS_GOOD, [30, 45, 60, 75, 90, 105],
            id="a bad one breaks the row",
        ),
        pytest.param(
            [GOOD, GOOD, UNKNOWN, GOOD], OutcomeKind.HEALED, Reason.READINGS_GOOD, [30, 45, 60, 75, 90, 105],
            id="an unknown one breaks the row",
        ),
        pytest.param(
            [BAD], OutcomeKind.NOT_HEALED, Reason.READINGS_BAD, [30, 45, 60, 75, 90, 105, 120], id="never good"
        ),
        pytest.param(
            [GOOD, GOOD, BAD, GOOD, GOOD, BAD, GOOD], OutcomeKind.NOT_HEALED, Reason.READINGS_BAD,
            [30, 45, 60, 75, 90, 105, 120], id="never three in a row",
        ),
        pytest.param(
            [UNKNOWN], OutcomeKind.INCONCLUSIVE, Reason.READINGS_UNKNOWN, [30, 45, 60, 75, 90, 105, 120],
            id="nobody knows",
        ),
        pytest.param(
            [BAD, BAD, UNKNOWN], OutcomeKind.INCONCLUSIVE, Reason.READINGS_UNKNOWN,
            [30, 45, 60, 75, 90, 105, 120], id="nobody knows any more",
        ),
        pytest.param([WORSE], OutcomeKind.WORSE, Reason.READINGS_WORSE, [30], id="worse ends it at once"),
        pytest.param([BAD, WORSE], OutcomeKind.WORSE, Reason.READINGS_WORSE, [30, 45], id="worse later on"),
    ],
)  # fmt: skip
async def test_an_action_is_proved_by_readings(
    patient: Callable[..., Patient], script: list[HighLatencyEvidence], kind: OutcomeKind, reason: Reason,
    at: list[float],
) -> None:  # fmt: skip
    his = patient(*script)
    outcome = await his.proved()
    assert (outcome.kind, outcome.reason) == (kind, reason)
    assert his.asked_at == at
    assert outcome.at == after(at[-1])
    assert len(his.reported) == len(at)


async def test_what_is_unknown_makes_nothing_worse(patient: Callable[..., Patient]) -> None:
    outcome = await patient(evidence(unknown=["pods", "series"])).proved()
    assert outcome.kind is OutcomeKind.NOT_HEALED


async def test_after_a_crash_it_goes_on_to_the_same_end(
    patient: Callable[..., Patient], clock: VirtualClock
) -> None:
    clock.advance(80.0)
    his = patient(BAD)
    outcome = await his.proved(acted_at=T0)
    assert his.asked_at == [80, 95, 110]
    assert outcome.kind is OutcomeKind.NOT_HEALED


async def test_after_a_long_outage_it_is_read_once(
    patient: Callable[..., Patient], clock: VirtualClock
) -> None:
    clock.advance(5_000.0)
    his = patient(GOOD)
    outcome = await his.proved(VerifyPlan(30.0, 120.0, 1, 15.0), acted_at=T0)
    assert (his.asked_at, outcome.kind) == ([5_000], OutcomeKind.HEALED)


async def test_slow_probes_do_not_carry_it_far_over_its_time(
    patient: Callable[..., Patient],
) -> None:
    his = patient(BAD, probe_s=40.0)
    await his.proved()
    assert his.asked_at == [30, 85]


async def test_each_reading_reports_its_place_in_the_row(patient: Callable[..., Patient]) -> None:
    his = patient(GOOD, BAD, GOOD)
    await his.proved()
    assert [r.in_a_row for r in his.reported] == [1, 0, 1, 2, 3]
