"""What one delivery of an alert means for what is already known of it.
Alertmanager delivers at least once.

Time is the time at which a delivery was received, never the time at which it is looked at:
an inbox that was not read for days must not make old words young.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from service.model.alert import Alert, AlertStatus


class Change(StrEnum):
    """What a delivery changed."""

    NEW = "new"  # a first sight of this episode, firing
    REPEAT = "repeat"  # nothing but the counter
    RESOLVED = "resolved"  # it fired and has ended
    OVER = "over"  # a first sight of an episode that has already ended
    LATE = "late"  # "firing" of something that is known to have ended
    REFIRED = "refired"  # it was taken for ended because nobody told of it, and it is told of again


class EndReason(StrEnum):
    """Why an episode has ended, where no "resolved" of its own said so."""

    SUPERSEDED = "superseded"  # the same alert has another start, or ended under another start
    UNHEARD = "unheard"  # nobody told of it for too long


@dataclass(frozen=True, slots=True)
class Episode:
    """What is known of one firing of one alert. The instants are those of receiving."""

    alert: Alert
    deliveries: int
    first_seen_at: datetime
    last_seen_at: datetime
    resolved_seen_at: datetime | None
    incident_id: str | None = None
    unrouted: str | None = None
    end_reason: str | None = None

    @property
    def firing(self) -> bool:
        return self.alert.status is AlertStatus.FIRING


def advance(
    known: Episode | None, alert: Alert, received_at: datetime, ended_at: datetime | None = None
) -> tuple[Episode | None, Change]:
    """The episode after a delivery, and what the delivery changed.

    `ended_at` is the latest end known of any episode of this fingerprint: what says to have
    started before that is late (a frozen body that was retried; the second Prometheus replica,
    whose starts differ). The episode is None for a late delivery of an episode that was never
    seen: there is nothing to keep.
    """
    resolved = alert.status is AlertStatus.RESOLVED
    if resolved:
        alert = replace(alert, ends_at=_end(alert, received_at))
    if known is None:
        if not resolved and ended_at is not None and alert.starts_at <= ended_at:
            return None, Change.LATE
        episode = Episode(alert, 1, received_at, received_at, received_at if resolved else None)
        return episode, Change.OVER if resolved else Change.NEW
    seen = replace(
        known,
        deliveries=known.deliveries + 1,
        first_seen_at=min(known.first_seen_at, received_at),
        last_seen_at=max(known.last_seen_at, received_at),
    )
    if known.firing:
        if not resolved:
            return seen, Change.REPEAT
        return replace(seen, alert=alert, resolved_seen_at=received_at), Change.RESOLVED
    if resolved:
        before = known.alert.ends_at
        if before is None or (alert.ends_at is not None and alert.ends_at > before):
            seen = replace(
                seen, alert=alert, end_reason=None
            )  # the end that was told, not a guessed one
        return seen, Change.REPEAT
    fresh = known.end_reason == EndReason.UNHEARD and received_at > known.last_seen_at
    if not fresh or (ended_at is not None and alert.starts_at <= ended_at):
        return seen, Change.LATE
    again = replace(
        seen, alert=alert, resolved_seen_at=None, incident_id=None, unrouted=None, end_reason=None
    )
    return again, Change.REFIRED


def ended(episode: Episode, at: datetime | None, seen_at: datetime, reason: EndReason) -> Episode:
    """An episode that ends without a "resolved" of its own;
    `at` is None where nobody knows when it did.
    """
    alert = replace(episode.alert, status=AlertStatus.RESOLVED, ends_at=at)
    return replace(episode, alert=alert, resolved_seen_at=seen_at, end_reason=reason.value)


def _end(alert: Alert, received_at: datetime) -> datetime:
    # An end in the future cannot be known, and would make everything that starts before it late.
    return min(alert.ends_at or received_at, received_at)
