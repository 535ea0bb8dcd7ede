"""Events about the workload, its ReplicaSets and its pods: newest first, counted by reason.

Kubernetes forgets events after an hour by default, and folds those that repeat:
a count is a lower bound.
Never here: what a reason calls for.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from service.clients.kubernetes import Object
from service.diagnose.probes.plain_text import safe
from service.diagnose.probes.snapshot import Snapshot, instant, metadata

MOST_SHOWN = 20
_READ = 600  # characters of a message that are kept until it is shown
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """One event, as often as it was folded."""

    kind: str  # of the object it is about: Pod, ReplicaSet, Deployment, StatefulSet
    name: str
    type: str  # Normal or Warning
    reason: str
    message: str  # bounded, redacted
    count: int  # how often it was seen, at least 1
    last_at: datetime | None  # None where the event has no time


@dataclass(frozen=True, slots=True)
class Events:
    """The events that are still kept. A text is "" where no such event is kept."""

    newest: tuple[ClusterEvent, ...]  # at most MOST_SHOWN
    warnings: int  # times that Warning events were seen
    by_reason: Mapping[str, int]  # reason -> times, Normal and Warning
    liveness_failures: int  # times that a liveness probe failed
    liveness_kills: int  # times that the kubelet killed a container for that
    readiness_failures: int  # times that a readiness probe failed
    failed_create: str  # why a controller may not make pods (quota, admission); the newest
    failed_scheduling: str  # why no node takes a pod; the newest
    failed_mount: str  # why a volume does not mount; the newest
    failed_pull: str  # why an image cannot be pulled; the newest


async def events(snapshot: Snapshot) -> Events:
    """The events now. Raises what the reader raises."""
    return summary(await snapshot.events())


def summary(found: Sequence[Object]) -> Events:
    """The same from the objects, without waiting."""
    seen = sorted((as_event(e) for e in found), key=lambda e: e.last_at or _LONG_AGO, reverse=True)
    reasons: Counter[str] = Counter()
    for event in seen:
        reasons[event.reason] += event.count
    return Events(
        newest=tuple(shown(e) for e in seen[:MOST_SHOWN]),
        warnings=sum(e.count for e in seen if e.type == "Warning"),
        by_reason=dict(reasons.most_common(30)),
        liveness_failures=_times(seen, "Unhealthy", "Liveness probe"),
        liveness_kills=_times(seen, "Killing", "failed liveness probe"),
        readiness_failures=_times(seen, "Unhealthy", "Readiness probe"),
        failed_create=_newest(seen, "FailedCreate"),
        failed_scheduling=_newest(seen, "FailedScheduling"),
        failed_mount=_newest(seen, "FailedMount"),
        failed_pull=_newest(seen, "Failed", "Failed to pull image"),
    )


def as_event(event: Object) -> ClusterEvent:
    """One event of core/v1, its message as it is: redacting takes a while,
    and few of many events are shown.
    """
    involved, series = event.get("involvedObject") or {}, event.get("series") or {}
    times = (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event.get("firstTimestamp"),
        metadata(event).get("creationTimestamp"),
    )
    return ClusterEvent(
        kind=str(involved.get("kind", "")),
        name=str(involved.get("name", "")),
        type=str(event.get("type") or "Normal"),
        reason=str(event.get("reason") or ""),
        message=str(event.get("message") or "")[:_READ],
        count=max(1, int(series.get("count") or event.get("count") or 1)),
        last_at=next((at for text in times if (at := instant(text))), None),
    )


def shown(event: ClusterEvent) -> ClusterEvent:
    """The same event, its message bounded and redacted."""
    return replace(event, message=safe(event.message))


def _times(seen: Sequence[ClusterEvent], reason: str, text: str) -> int:
    return sum(e.count for e in seen if e.reason == reason and text in e.message)


def _newest(seen: Sequence[ClusterEvent], reason: str, text: str = "") -> str:
    return safe(next((e.message for e in seen if e.reason == reason and text in e.message), ""))
