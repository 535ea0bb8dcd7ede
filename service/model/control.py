"""What people have said about all actions at once: the ceiling, the pause, the maintenance windows.

Never here: whether one of them holds an action back just now (guard).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.model.action import Mode
from service.model.matcher import LabelMatcher


@dataclass(frozen=True, slots=True)
class Spoken:
    """Who said it, why, and when."""

    by: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The mode that was set while the service ran. It holds while the setting is what it was
    then.
    """

    mode: Mode
    setting: Mode
    said: Spoken


@dataclass(frozen=True, slots=True)
class Pause:
    """No action at all, until somebody resumes or `until`."""

    said: Spoken
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Once:
    """A window from one instant to another."""

    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Recurring:
    """A window that opens again and again: at the times of `cron` in `zone`,
    for so many elapsed seconds.

    None opens at or after `until`.
    """

    cron: str
    zone: str  # IANA: Europe/Berlin
    lasts_s: float
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which what matches is not acted on. Without matchers everything matches."""

    id: str
    when: Once | Recurring
    matchers: tuple[LabelMatcher, ...]
    texts: tuple[str, ...]  # the matchers as they were written
    said: Spoken

    def matches(self, alerts: Sequence[Mapping[str, str]]) -> bool:
        """Whether one of the alerts, by its labels, is meant."""
        if not self.matchers:
            return True
        return any(all(m.matches(labels) for m in self.matchers) for labels in alerts)


@dataclass(frozen=True, slots=True)
class Control:
    """All of it. `version` grows with each change."""

    version: int = 0
    ceiling: Ceiling | None = None
    pause: Pause | None = None
    windows: tuple[Window, ...] = ()

    def mode(self, setting: Mode) -> Mode:
        """The ceiling in force, where the settings say `setting`."""
        said = self.ceiling
        return said.mode if said is not None and said.setting is setting else setting


NOTHING_SAID = Control()
