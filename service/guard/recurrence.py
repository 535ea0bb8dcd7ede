"""When a maintenance window is open. Pure: `now` is given, time zones come from the IANA database.

A recurring window opens at the local times that its cron expression names, and lasts an
elapsed time. On the night the clocks go back a time that is there twice opens it once;
on the night they go forward a time that is missing opens it when the clocks have jumped.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from service.model.control import Once, Recurring

_NEAR_S = (7_200.0, 93_600.0)  # where one that opens often is found in few steps
LONGEST_S = 7 * 86_400.0  # of one opening


def closes(when: Once | Recurring, now: datetime) -> datetime | None:
    """When the window that is open now closes, in UTC; None while it is
    closed. Its end is not in it.
    """
    if isinstance(when, Once):
        return when.ends_at if when.starts_at <= now < when.ends_at else None
    opened_at = _last_opening(when, now)
    return opened_at + timedelta(seconds=when.lasts_s) if opened_at is not None else None


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
    except (ValueError, KeyError, OSError):  # also for a name that is no path inside the database
        told = f"{when.zone[:60]!r} is no time zone; write one as IANA does: Europe/Berlin, UTC"
        raise ValueError(told) from None
    try:
        _ = next(CronSim(when.cron, datetime(2026, 1, 1, tzinfo=zone)))
    except (CronSimError, StopIteration) as error:
        told = f"{when.cron[:60]!r} is no cron expression, or names no day there is"
        raise ValueError(
            f"{told}: write MINUTE HOUR DAY MONTH WEEKDAY, as in '0 2 * * 6'"
        ) from error


def _last_opening(when: Recurring, now: datetime) -> datetime | None:
    """The last opening that is not over. Forward, because backward misses one
    on the night of 25 hours.
    """
    for span_s in sorted({min(near_s, when.lasts_s) for near_s in (*_NEAR_S, when.lasts_s)}):
        found = None
        since = now - timedelta(seconds=span_s)
        for at in CronSim(when.cron, since.astimezone(ZoneInfo(when.zone))):
            at_utc = at.astimezone(UTC)
            if at_utc > now or (when.until is not None and at_utc >= when.until):
                break
            if now < at_utc + timedelta(seconds=when.lasts_s):
                found = at_utc
        if found is not None:
            return found
    return None
