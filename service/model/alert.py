"""An alert as Alertmanager tells of it, and the key of one episode of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class AlertStatus(StrEnum):
    """What Alertmanager says of the alert; it decides per alert, not per group."""

    FIRING = "firing"
    RESOLVED = "resolved"


class EpisodeKey(NamedTuple):
    """One firing of one alert. The fingerprint alone names the label set,
    which may fire again later.
    """

    fingerprint: str
    starts_at: datetime


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a webhook. Instants are aware UTC; `ends_at` is None while it fires.

    Labels and annotations are untrusted text: bounded by intake, escaped where they are shown.
    """

    fingerprint: str
    starts_at: datetime
    ends_at: datetime | None
    status: AlertStatus
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    generator_url: str = ""

    @property
    def key(self) -> EpisodeKey:
        """The identity under which re-sends, repeats and HA duplicates are one."""
        return EpisodeKey(self.fingerprint, self.starts_at)

    @property
    def name(self) -> str:
        """The rule's name."""
        return self.labels.get("alertname", "")


@dataclass(frozen=True, slots=True)
class Standing:
    """How many of an incident's alerts Alertmanager holds: active, silenced,
    or inhibited by another alert.
    """

    active: int = 0
    silenced: int = 0
    inhibited: int = 0
