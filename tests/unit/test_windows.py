"""When a maintenance window is open: its edges, both nights on which the clocks
change, and what is refused.
"""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.guard.recurrence import LONGEST_S, check, closes, opens
from service.model.control import Once, Recurring

BERLIN = "Europe/Berlin"
EARLIEST, LATEST = datetime.fromisoformat("2025-01-01"), datetime.fromisoformat("2027-12-31")
NIGHTLY = Recurring("30 2 * * *", BERLIN, 3600.0)
HOURLY = Recurring("0 * * * *", BERLIN, 600.0)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


ONCE = Once(utc("2026-11-24T20:00:00"), utc("2026-11-24T22:00:00"))


@pytest.mark.parametrize(
    ("when", "now", "until"),
    [
        pytest.param(ONCE, "2026-11-24T19:59:59.999999", None, id="once: right before"),
        pytest.param(ONCE, "2026-11-24T20:00:00", "2026-11-24T22:00:00", id="once: its begin"),
        pytest.param(
            ONCE, "2026-11-24T21:59:59.999999", "2026-11-24T22:00:00", id="once: right before its end"
        ),
        pytest.param(ONCE, "2026-11-24T22:00:00", None, id="once: its end is not in it"),
        pytest.param(NIGHTLY, "2026-11-24T01:29:59.999999", None, id="winter: right before"),
        pytest.param(NIGHTLY, "2026-11-24T01:30:00", "2026-11-24T02:30:00", id="winter: its begin"),
        pytest.param(NIGHTLY, "2026-11-24T02:29:59", "2026-11-24T02:30:00", id="winter: its last second"),
        pytest.param(NIGHTLY, "2026-11-24T02:30:00", None, id="winter: its end"),
        pytest.param(NIGHTLY, "2026-07-01T00:30:00", "2026-07-01T01:30:00", id="summer"),
        # 2026-03-29: 02:00 becomes 03:00, so there is no 02:30.
        # It opens when the clocks have jumped: 01:00 UTC.
        pytest.param(NIGHTLY, "2026-03-29T00:59:59", None, id="spring: before the jump"),
        pytest.param(NIGHTLY, "2026-03-29T01:00:00", "2026-03-29T02:00:00", id="spring: at the jump"),
        pytest.param(NIGHTLY, "2026-03-29T02:00:00", None, id="spring: over"),
        # 2026-10-25: 03:00 becomes 02:00, so 02:30 is there twice: 00:30 and 01:30 UTC.
        # It opens the first time only.
        pytest.param(NIGHTLY, "2026-10-25T00:29:59", None, id="autumn: before"),
        pytest.param(NIGHTLY, "2026-10-25T00:30:00", "2026-10-25T01:30:00", id="autumn: the first 02:30"),
        pytest.param(NIGHTLY, "2026-10-25T01:29:59", "2026-10-25T01:30:00", id="autumn: an elapsed hour"),
        pytest.param(NIGHTLY, "2026-10-25T01:30:00", None, id="autumn: the second 02:30 opens nothing"),
        pytest.param(HOURLY, "2026-10-25T00:05:00", "2026-10-25T00:10:00", id="autumn: hourly, first 2"),
        pytest.param(HOURLY, "2026-10-25T01:05:00", "2026-10-25T01:10:00", id="autumn: hourly, second 2"),
        pytest.param(
            Recurring("0 0 * * 6", "UTC", 3600.0, utc("2026-11-21T00:00:00")),
            "2026-11-21T00:30:00", None, id="none opens at its last instant",
        ),
        pytest.param(
            Recurring("0 0 * * 6", "UTC", 3600.0, utc("2026-11-21T00:00:01")),
            "2026-11-21T00:30:00", "2026-11-21T01:00:00", id="one that opened before it stays open",
        ),
        pytest.param(
            Recurring("0 * * * *", "UTC", 7200.0), "2026-11-24T20:30:00", "2026-11-24T22:00:00",
            id="overlapping: until the last one closes",
        ),
        pytest.param(Recurring("0 0 29 2 *", "UTC", 60.0), "2027-03-01T00:00:00", None, id="a leap day"),
    ],
)  # fmt: skip
def test_a_window_is_open_from_its_begin_to_right_before_its_end(
    when: Once | Recurring, now: str, until: str | None
) -> None:
    found = closes(when, utc(now))
    assert found == (utc(until) if until else None)
    assert found is None or found.tzinfo is UTC


@pytest.mark.parametrize(
    ("when", "now", "at"),
    [
        (ONCE, "2026-11-24T19:00:00", "2026-11-24T20:00:00"),
        (ONCE, "2026-11-24T20:00:00", None),
        (NIGHTLY, "2026-11-24T01:30:00", "2026-11-25T01:30:00"),
        (Recurring("0 0 * * *", "UTC", 60.0, utc("2026-11-25T00:00:00")), "2026-11-24T12:00:00", None),
    ],
)  # fmt: skip
def test_when_it_opens_next_is_told(when: Once | Recurring, now: str, at: str | None) -> None:
    found = opens(when, utc(now))
    assert found == (utc(at) if at else None)
    assert found is None or found.tzinfo is UTC


@pytest.mark.parametrize(
    ("when", "told"),
    [
        (Once(ONCE.ends_at, ONCE.starts_at), "ends before it begins"),
        (Once(ONCE.starts_at, ONCE.starts_at), "ends before it begins"),
        (Recurring("30 2 * * *", "Europe/Berlim", 60.0), "no time zone"),
        (Recurring("30 2 * * *", "../../etc/passwd", 60.0), "no time zone"),
        (Recurring("30 2 * *", "UTC", 60.0), "MINUTE HOUR DAY MONTH WEEKDAY"),
        (Recurring("0 0 30 2 *", "UTC", 60.0), "no cron expression, or names no day there is"),
        (Recurring("30 2 * * *", "UTC", 0.0), "at most 7d"),
        (Recurring("30 2 * * *", "UTC", float("nan")), "at most 7d"),
        (Recurring("30 2 * * *", "UTC", 8 * 86_400.0), "at most 7d"),
    ],
)
def test_what_is_no_window_is_refused_with_advice(when: Once | Recurring, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check(when)


@pytest.mark.parametrize(
    ("when", "told"),
    [
        (Once(ONCE.ends_at, ONCE.starts_at), "it ends before it begins"),
        (Recurring("0 2 * * *", "UTC", 0.0), "it has to last longer than nothing, and at most 7d"),
        (
            Recurring("0 2 * * *", "x" * 61, 60.0),
            f"'{'x' * 60}' is no time zone; write one as IANA does: Europe/Berlin, UTC",
        ),
        (
            Recurring("9" * 61, "UTC", 60.0),
            f"'{'9' * 60}' is no cron expression, or names no day there is: "
            "write MINUTE HOUR DAY MONTH WEEKDAY, as in '0 2 * * 6'",
        ),
    ],
)
def test_a_refusal_is_one_short_sentence(when: Once | Recurring, told: str) -> None:
    with pytest.raises(ValueError) as refused:
        check(when)
    assert str(refused.value) == told


@pytest.mark.parametrize("lasts_s", [0.5, 1.0, LONGEST_S])
def test_a_window_may_last_from_a_moment_to_a_week(lasts_s: float) -> None:
    check(Recurring("30 2 * * *", BERLIN, lasts_s))


@given(
    start=st.datetimes(EARLIEST, LATEST),
    hour=st.integers(0, 23),
    zone=st.sampled_from(
        ["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]
    ),
    lasts_s=st.integers(60, 86_400),
)
def test_whenever_it_opens_it_is_open_for_as_long_as_it_lasts_and_closed_after(
    start: datetime, hour: int, zone: str, lasts_s: int
) -> None:
    when = Recurring(f"15 {hour} * * 1", zone, float(lasts_s))
    opened_at = opens(when, start.replace(tzinfo=UTC))
    assert opened_at is not None
    end = opened_at + timedelta(seconds=lasts_s)
    assert closes(when, opened_at - timedelta(microseconds=1)) is None
    assert closes(when, opened_at) == end
    assert closes(when, end - timedelta(microseconds=1)) == end
    assert closes(when, end) is None
