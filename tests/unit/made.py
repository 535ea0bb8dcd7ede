"""Made-up values for tests: alerts, evidence, incidents, playbooks. Called by tests only."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from service.act import KINDS
from service.act.kill_query import KillQuery
from service.act.rollout_restart import RolloutRestart
from service.act.scale import Scale
from service.diagnose import CHAPTERS
from service.diagnose.chapters.high_latency import HighLatencyEvidence
from service.diagnose.probes.clickhouse_load import ClickHouseLoad
from service.diagnose.probes.kafka_lag import KafkaLag, PartitionLag
from service.diagnose.probes.usage import Usage
from service.diagnose.probes.workload import Pods
from service.model.alert import Alert, AlertStatus
from service.model.evidence import Evidence, Known, Unknown
from service.model.incident import Incident, IncidentState, OutcomeKind
from service.model.objects import Seen
from service.model.playbook import Playbook
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.playbooks.load import load

ROOT = Path(__file__).resolve().parents[2]
BODIES = ROOT / "tests" / "data" / "alertmanager"
PLAYBOOKS = ROOT / "rules" / "playbooks"

T0 = datetime(2026, 1, 1, tzinfo=UTC)
NAMESPACE = "carbon-ingestion"
TARGET = Target(TargetKind.DEPLOYMENT, NAMESPACE, "normalization-service")
LABELS = {
    "alertname": "ConsumerLagHigh",
    "namespace": NAMESPACE,
    "workload_kind": "Deployment",
    "workload": "normalization-service",
    "remediate": "true",
}


def after(seconds: float) -> datetime:
    """T0 and some seconds."""
    return T0 + timedelta(seconds=seconds)


def alert(
    *,
    fingerprint: str = "f1",
    starts_at: datetime = T0,
    ends_at: datetime | None = None,
    labels: Mapping[str, str] = LABELS,
    annotations: Mapping[str, str] | None = None,
) -> Alert:
    """An alert, resolved when it has an end."""
    status = AlertStatus.RESOLVED if ends_at else AlertStatus.FIRING
    return Alert(fingerprint, starts_at, ends_at, status, labels, annotations or {})


def body(alerts: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """A webhook as Alertmanager posts it."""
    return {
        "version": "4", "receiver": "paramedic", "status": "firing", "groupKey": "{}:{}", "groupLabels": {},
        "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am", "truncatedAlerts": 0,
        "alerts": list(alerts), **more,
    }  # fmt: skip


def item(
    fingerprint: str = "f1",
    *,
    status: str = "firing",
    starts_at: str = "2026-01-01T00:00:00Z",
    ends_at: str = "0001-01-01T00:00:00Z",
    labels: Mapping[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """One alert of a webhook."""
    return {
        "status": status, "labels": dict(LABELS) if labels is None else dict(labels),
        "annotations": {"summary": "behind"}, "startsAt": starts_at, "endsAt": ends_at,
        "generatorURL": "http://prometheus/graph", "fingerprint": fingerprint, **more,
    }  # fmt: skip


KAFKA = KafkaLag(
    group="normalization-consumer",
    state="Stable",
    members=2,
    rebalancing=False,
    rebalancing_throughout=False,
    partition_count=6,
    partitions=tuple(
        PartitionLag("t", n, lag, 100_000, 100_000 - lag, 150.0, 50.0)
        for n, lag in enumerate([10_000, 8_000, 8_000, 8_000, 8_000, 8_000])
    ),
    lag_total=50_000,
    lag_known=50_000,
    lag_max=10_000,
    lag_growing=True,
    grows_evenly=True,
    hot_partition="",
    hot_share=0.2,
    stuck_partitions=(),
    uncommitted_partitions=0,
    unknown_partitions=(),
    produced_per_s=900.0,
    consumed_per_s=300.0,
)
CLICKHOUSE = ClickHouseLoad(1, 0, 0.0, "", "", "", 0.5, "default", 10, 0)
PODS = Pods(2, 2, 2, 2, 0, (), True, False, False)
USAGE = Usage(0.5, 2**30, None, None, 0.5, 0.5)
SEEN = Seen(uid="uid-1", generation=1)
VALUES = {"target": SEEN, "kafka": KAFKA, "clickhouse": CLICKHOUSE, "pods": PODS, "usage": USAGE}


def evidence(
    at: datetime = T0,
    *,
    unknown: Sequence[str] = ("series",),
    series: Mapping[str, float] | None = None,
    **changes: Mapping[str, Any],
) -> HighLatencyEvidence:
    """What a diagnosis saw: lag that grows, all pods ready, an idle database;
    `kafka={"lag_total": 0}` changes it.
    """
    readings: dict[str, Any] = {}
    for name, value in VALUES.items():
        changed = replace(value, **changes.get(name, {}))  # type: ignore[type-var]
        readings[name] = Known(changed, name, at, 0.01)
    readings["series"] = Known(series or {}, "prometheus", at, 0.01)
    missing = [n for n in unknown if n != "series" or series is None]
    readings |= {name: Unknown(Reason.LATE, name, at, 1.0, "no answer in time") for name in missing}
    return HighLatencyEvidence(**readings)


def healthy(at: datetime = T0) -> HighLatencyEvidence:
    """No lag any more."""
    return evidence(at, kafka={"lag_total": 10, "lag_growing": False})


def runaway(at: datetime = T0) -> HighLatencyEvidence:
    """One query that has run for ten minutes, and lag."""
    return evidence(
        at,
        clickhouse={
            "longest_query_s": 600.0,
            "longest_query_id": "q1",
            "longest_query_user": "analyst",
        },
    )


def without(seen: Evidence, names: Sequence[str]) -> Evidence:
    """The same evidence, some readings Unknown."""
    readings = {f.name: getattr(seen, f.name) for f in fields(seen)}
    readings |= {name: Unknown(Reason.LATE, name, T0, 1.0) for name in names}
    return type(seen)(**readings)


def incident(
    state: IncidentState = IncidentState.OPEN,
    *,
    alerts: Sequence[Alert] = (),
    outcome: OutcomeKind | None = None,
    opened_at: datetime = T0,
) -> Incident:
    """An incident of the shipped playbook."""
    return Incident(
        "inc-1",
        "high-latency",
        TARGET,
        state,
        None,
        opened_at,
        opened_at,
        None,
        outcome,
        tuple(alerts) or (alert(),),
    )


SCALE = Scale(TARGET, 2, 3)
RESTART = RolloutRestart(TARGET)
KILL = KillQuery(TARGET, "q1", "analyst", 300.0)

GOOD = """\
playbook: lag
match: ['alertname="ConsumerLagHigh"']
target: {kind: Deployment, namespace: "{{ labels.namespace }}", name: "{{ labels.workload }}"}
diagnose: high_latency
with: {consumer_group: g}
remedies:
  - name: scale-out
    when: evidence.kafka.lag_growing
    do: {scale: {from: "{{ evidence.pods.desired }}", by: 1, max: 5}}
    mode: auto
healed: evidence.kafka.lag_total < 5000
"""


def playbooks_in(folder: Path, *texts: str) -> tuple[Playbook, ...]:
    """Writes and loads playbooks."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, text in enumerate(texts):
        (folder / f"{n}.yaml").write_text(text)
    return load(folder, CHAPTERS, KINDS)


@cache
def shipped_playbooks() -> Mapping[str, Playbook]:
    """The shipped playbooks by name, loaded once: proving every name and type in
    them takes most of a second.
    """
    return MappingProxyType({p.name: p for p in load(PLAYBOOKS, CHAPTERS, KINDS)})


def shipped(name: str = "high-latency") -> Playbook:
    """One of the shipped playbooks; without a name that of chapter 3.1."""
    return shipped_playbooks()[name]
