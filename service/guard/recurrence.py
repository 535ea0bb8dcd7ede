"""When a maintenance window is open. Pure: `now` is given, time zones come from the IANA database.

A recurring window opens at the local times that its cron expression names, and lasts an elapsed time. On the night
the clocks go back a time that is there twice opens it once; on the night they go forward a time that is missing
opens it when the clocks have jumped.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from service.model.control import Once, Recurring

LONGEST_S = 7 * 86_400.0  # of one opening


def closes(when: Once | Recurring, now: datetime) -> datetime | None:
    """When the window that is open now closes, in UTC; None while it is closed. Its end is not in it."""
    if isinstance(when, Once):
        return when.ends_at if when.starts_at <= now < when.ends_at else None
    opened_at = _before(when, now)
    if opened_at is None:
        return None
    end = opened_at + timedelta(seconds=when.lasts_s)
    return end if now < end else None


def opens(when: Once | Recurring, now: datetime) -> datetime | None:
    """When it opens next, in UTC, or None when it never does again."""
    if isinstance(when, Once):
        return when.starts_at if now < when.starts_at else None
    for at in CronSim(when.cron, now.astimezone(ZoneInfo(when.zone))):
        at_utc = at.astimezone(UTC)
        return at_utc if when.until is None or at_utc < when.until else None
    return None


def check(when: Once | Recurring) -> None:
    """Raises ValueError with what is wrong and what to write."""
    if isinstance(when, Once):
        if when.ends_at <= when.starts_at:
            raise ValueError("it ends before it begins")
        return
    if not 0 < when.lasts_s <= LONGEST_S:
        raise ValueError("it has to last longer than nothing, and at most 7d")
    try:
        zone = ZoneInfo(when.zone)
    except (ValueError, OSError):  # also for a name that is no path inside the database
        told = f"{when.zone[:60]!r} is no time zone; write one as IANA does: Europe/Berlin, UTC"
        raise ValueError(told) from None
    try:
        _ = next(CronSim(when.cron, datetime(2026, 1, 1, tzinfo=zone)))
    except (CronSimError, StopIteration) as error:
        told = f"{when.cron[:60]!r} is no cron expression, or names no day there is"
        raise ValueError(
            f"{told}: write MINUTE HOUR DAY MONTH WEEKDAY, as in '0 2 * * 6'"
        ) from error


def _before(when: Recurring, now: datetime) -> datetime | None:
    """The last opening at or before `now`."""
    last = now + timedelta(microseconds=1)  # the search begins just before
    if when.until is not None:
        last = min(last, when.until)
    for at in CronSim(when.cron, last.astimezone(ZoneInfo(when.zone)), reverse=True):
        return at.astimezone(UTC)
    return None
