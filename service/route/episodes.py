"""What one delivery of an alert means for what is already known of it. Alertmanager delivers at least once."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from service.model.alert import Alert, AlertStatus

# Within one flush Alertmanager re-sends a frozen body, so "firing" can arrive after "resolved". An alert that
# is said to fire again this long after it resolved does so (Prometheus was away and has come back).
REFIRE_AFTER = timedelta(minutes=10)


class Change(StrEnum):
    """What a delivery changed."""

    NEW = "new"  # a first sight of this episode, firing
    REPEAT = "repeat"  # nothing but the counter
    RESOLVED = "resolved"  # it fired and has ended
    OVER = "over"  # a first sight of an episode that has already ended
    LATE = "late"  # "firing" that was sent before the "resolved" we have
    REFIRED = "refired"  # it had ended and fires again under the same start


@dataclass(frozen=True, slots=True)
class Episode:
    """What is known of one firing of one alert."""

    alert: Alert
    deliveries: int
    first_seen_at: datetime
    last_seen_at: datetime
    resolved_seen_at: datetime | None
    incident_id: str | None = None
    unrouted: str | None = None


def advance(known: Episode | None, alert: Alert, now: datetime) -> tuple[Episode, Change]:
    """The episode after a delivery, and what the delivery changed."""
    resolved = alert.status is AlertStatus.RESOLVED
    if known is None:
        episode = Episode(alert, 1, now, now, now if resolved else None)
        return episode, Change.OVER if resolved else Change.NEW
    seen = replace(known, deliveries=known.deliveries + 1, last_seen_at=now)
    if known.alert.status is AlertStatus.FIRING:
        if not resolved:
            return seen, Change.REPEAT
        return replace(seen, alert=alert, resolved_seen_at=now), Change.RESOLVED
    if resolved:
        return seen, Change.REPEAT
    if known.resolved_seen_at is not None and now - known.resolved_seen_at < REFIRE_AFTER:
        return seen, Change.LATE
    return replace(seen, alert=alert, resolved_seen_at=None, incident_id=None), Change.REFIRED
