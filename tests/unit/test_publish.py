"""What each sink makes of a step. Pure: nothing is sent."""

import json
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st

from service.clients.grafana import MAX_TAGS, Annotation, Posted
from service.clients.kafka_write import KafkaPublisher, Record
from service.clients.kubernetes import Object
from service.clients.kubernetes_events import KubernetesEvents
from service.kit.clock import VirtualClock
from service.kit.deadline import Deadline
from service.model.journal import JournalEntry
from service.publish import SINKS, grafana, kube_events, tally
from service.publish.cloud_events import record_of
from service.publish.grafana import GrafanaSink
from service.publish.kafka import KafkaSink
from service.publish.kube_events import EventSink
from service.publish.sink import STEP_S, Outlets, Sink

AT = datetime(2026, 11, 24, 3, 4, 5, 6, tzinfo=UTC)
TARGET = "Deployment/carbon-ingestion/normalization-service"
ABOUT = {
    "api": "apps/v1", "kind": "Deployment", "namespace": "carbon-ingestion",
    "name": "normalization-service", "uid": "u-1",
}  # fmt: skip
RULED = {
    "rung": "scale-out", "verdict": "allow", "guard": "all", "reason": "within_limits", "mode": "auto",
    "action_id": "act-1", "action": "scale from 2 to 3", "why": "a < b",
}  # fmt: skip
ACTED = {
    "action_id": "act-1", "rung": "scale-out", "action_kind": "rollout_restart", "action": "restart it",
    "result": {"applied": "done", "reason": "done", "detail": "taken"}, "mode": "auto", "touched": [ABOUT],
}  # fmt: skip
VERIFIED = {
    "action_id": "act-1", "rung": "scale-out", "mode": "auto", "touched": [ABOUT],
    "outcome": {"kind": "healed", "reason": "readings_good", "detail": ""},
}  # fmt: skip


def step(kind: str, data: Mapping[str, Any], **more: Any) -> JournalEntry:
    return JournalEntry(7, "inc-1", "high-latency", TARGET, AT, kind, {**data, **more})


def ended(applied: str, reason: str) -> dict[str, Any]:
    return {"result": {"applied": applied, "reason": reason, "detail": "why"}}


def outcome(kind: str) -> dict[str, Any]:
    return {"outcome": {"kind": kind, "reason": "x", "detail": ""}}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        pytest.param(step("acted", ACTED), ("Normal", "RemediationApplied"), id="done"),
        pytest.param(
            step("acted", ACTED, **ended("failed", "forbidden")),
            ("Warning", "RemediationFailed"), id="failed",
        ),
        pytest.param(step("acted", ACTED, **ended("failed", "never_sent")), None, id="never sent"),
        pytest.param(step("acted", ACTED, mode="dry_run"), None, id="only tried out"),
        pytest.param(step("verified", VERIFIED), ("Normal", "RemediationHealed"), id="healed"),
        pytest.param(
            step("verified", VERIFIED, **outcome("worse")), ("Warning", "RemediationWorse"), id="worse"
        ),
        pytest.param(step("verified", VERIFIED, **outcome("failed")), None, id="said already"),
        pytest.param(step("ruled", RULED), None, id="not done yet"),
    ],
)  # fmt: skip
def test_an_event_is_made_of_what_was_tried_and_of_what_came_of_it(
    told: JournalEntry, said: tuple[str, str] | None
) -> None:
    found = kube_events.said_of(told)
    assert (found and (found.type, found.reason)) == said


def test_an_event_names_the_object_the_action_and_the_incident_within_what_the_server_takes() -> (
    None
):
    told = step("acted", ACTED, action="x" * 3000)
    said = kube_events.said_of(told)
    assert said is not None
    event = kube_events.event_of(told, said, ABOUT, 0)
    assert event["metadata"]["name"] == "act-1.acted.0"
    assert event["eventTime"] == "2026-11-24T03:04:05.000006Z"
    assert event["action"] == "RolloutRestart"
    assert event["involvedObject"]["uid"] == "u-1"
    assert len(event["message"]) == 1024
    assert event["message"].endswith("[act-1, high-latency, incident inc-1]")
    unseen = kube_events.event_of(told, said, {**ABOUT, "uid": ""}, 0)
    assert "uid" not in unseen["involvedObject"]


def test_a_region_takes_its_beginning_and_its_end_from_the_same_action() -> None:
    other = step("ruled", RULED, action_id="act-2")
    found = list(grafana.remediations([step("ruled", RULED), other, step("verified", VERIFIED)]))
    assert [(r.action_id, bool(r.began), bool(r.ended)) for r in found] == [
        ("act-1", True, True),
        ("act-2", True, False),
    ]


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(step("ruled", RULED, verdict="deny", action_id=None), id="denied"),
        pytest.param(step("ruled", RULED, mode="dry_run"), id="only tried out"),
        pytest.param(step("acted", ACTED), id="neither a beginning nor an end"),
    ],
)
def test_what_is_no_remediation_has_no_region(told: JournalEntry) -> None:
    assert list(grafana.remediations([told])) == []


@given(st.text(max_size=600), st.text(max_size=600))
def test_tags_fit_whatever_the_names_and_keep_the_one_that_finds_them(
    playbook: str, rung: str
) -> None:
    told = JournalEntry(1, "inc-1", playbook, TARGET, AT, "ruled", {"rung": rung})
    tags = grafana.tags(told, "act-20261124-030405-abcdef", "healed")
    assert len(json.dumps(tags)) <= MAX_TAGS
    found_by = {"rid:act-20261124-030405-abcdef", "incident:inc-1"}
    assert {"remediation", "outcome:healed", *found_by} <= set(tags)


def test_a_record_is_a_cloud_event_that_the_library_reads_back() -> None:
    record = record_of(step("verified", VERIFIED), "/here")
    event = from_binary(KafkaMessage(dict(record.headers), record.key, record.value), JSONFormat())
    assert (event.get_id(), event.get_source()) == ("7", "/here")
    assert event.get_type() == "io.paramedic.step.verified"
    assert (event.get_subject(), record.key) == ("inc-1", b"inc-1")
    assert event.get_time() == AT
    data = event.get_data()
    assert isinstance(data, dict)
    assert (data["incident"], data["outcome"]["kind"]) == ("inc-1", "healed")


class Events(KubernetesEvents):
    """Nothing is sent; `at` is told when something would have been."""

    def __init__(self, at: Callable[[], None]) -> None:
        self.at = at

    async def create(self, namespace: str, event: Object, *, deadline: Deadline) -> None:
        self.at()


class Publisher(KafkaPublisher):
    def __init__(self, at: Callable[[], None]) -> None:
        self.at, self.source = at, "/a"

    async def stream(self, records: AsyncIterable[Record], *, deadline: Deadline) -> None:
        async for _ in records:
            self.at()


@dataclass
class Regions:
    at: Callable[[], None]

    async def find(self, tag: str, *, deadline: Deadline) -> None:
        self.at()

    async def add(self, annotation: Annotation, *, deadline: Deadline) -> None:
        return None

    async def amend(self, posted: Posted, annotation: Annotation, *, deadline: Deadline) -> None:
        return None


@pytest.mark.parametrize(
    ("sink_of", "shares"),
    [
        pytest.param(
            lambda at, clock: KafkaSink(Publisher(at), record_of, Outlets(clock)),
            range(12),
            id="kafka",
        ),
        pytest.param(
            lambda at, clock: EventSink(Events(at), Outlets(clock)), range(8), id="events"
        ),
        # They are told beside each other: a virtual clock has moved on before each of them begins.
        pytest.param(
            lambda at, clock: GrafanaSink(Regions(at), Outlets(clock)), [1, 2, 3, 3], id="grafana"
        ),
    ],
)
async def test_what_a_sink_does_for_a_batch_is_spread_over_the_time_of_its_steps(
    sink_of: Callable[[Callable[[], None], VirtualClock], Sink], shares: Sequence[int]
) -> None:
    kinds = (("ruled", RULED), ("acted", ACTED), ("verified", VERIFIED))
    batch = [step(k, data, action_id=f"act-{n}") for n in range(4) for k, data in kinds]
    clock, found = VirtualClock(), list[float]()
    sink = sink_of(lambda: found.append(clock.monotonic()), clock)
    await sink.deliver(batch, Deadline.after(5))
    assert found == pytest.approx([n * 0.8 * len(batch) * STEP_S / len(shares) for n in shares])


def test_escalations_are_tallied_when_they_begin() -> None:
    moved = {"was": "open", "state": "escalated", "reason": "exhausted"}
    counted = tally.counted(step("moved", moved))
    assert counted is not None
    assert counted.labels["reason"] == "exhausted"
    assert tally.counted(step("moved", moved, was="escalated")) is None
    assert tally.counted(step("moved", moved, state="closed")) is None


def test_each_sink_has_the_name_that_its_cursor_is_kept_by() -> None:
    assert {"tally", "grafana", "kube_events", "kafka"} <= SINKS.keys()
    assert all(kind.name == name for name, kind in SINKS.items())
