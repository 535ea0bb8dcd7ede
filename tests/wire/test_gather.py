"""gather: all probes at once, one deadline, every probe a reading, none left behind."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
import structlog

from service.diagnose.gather import Probe, gather
from service.kit.clock import VirtualClock
from service.kit.deadline import Deadline
from service.model.errors import ParamedicError, Refused, Unavailable
from service.model.evidence import Known, Reading, Unknown
from service.model.reasons import Reason

CLOCK = VirtualClock()


def probe(ask: Callable[[], Awaitable[object]]) -> Probe:
    return Probe("somewhere", ask)


async def value(seconds: float = 0.0, result: object = 1) -> object:
    await asyncio.sleep(seconds)
    return result


async def ask(
    **probes: Callable[[], Awaitable[object]],
) -> tuple[Mapping[str, Reading[Any]], Mapping[str, str]]:
    observed: dict[str, str] = {}
    readings = await gather(
        {name: probe(p) for name, p in probes.items()},
        deadline=Deadline.after(0.3),
        clock=CLOCK,
        observe=lambda name, result, took_s: observed.__setitem__(name, result),
    )
    return readings, observed


def unknown(reading: Reading[Any]) -> Unknown:
    assert isinstance(reading, Unknown), reading
    return reading


async def test_an_answer_is_known_with_its_source_instant_and_duration() -> None:
    readings, observed = await ask(a=lambda: value(0.05, "seen"))
    reading = readings["a"]
    assert isinstance(reading, Known)
    assert (reading.value, reading.source, reading.at) == ("seen", "somewhere", CLOCK.now())
    assert 0.04 < reading.took_s < 0.2
    assert observed == {"a": "known"}


async def test_a_probe_that_does_not_answer_is_late_and_the_others_are_known() -> None:
    readings, observed = await ask(slow=lambda: value(30.0), quick=lambda: value())
    slow = unknown(readings["slow"])
    assert slow.reason is Reason.LATE
    assert 0.25 < slow.took_s < 0.6
    assert isinstance(readings["quick"], Known)
    assert observed == {"slow": "late", "quick": "known"}


@pytest.mark.parametrize(
    "error",
    [
        Unavailable(Reason.THROTTLED, "later"),
        Refused(Reason.FORBIDDEN, "no", 403),
    ],
)
async def test_our_own_errors_give_their_reason(error: ParamedicError) -> None:
    async def fails() -> object:
        raise error

    readings, _ = await ask(a=fails)
    failed = unknown(readings["a"])
    assert (failed.reason, failed.detail) == (error.reason, error.detail)


async def test_an_error_inside_a_task_group_gives_its_reason_too() -> None:
    async def refuse() -> None:
        raise Refused(Reason.NOT_FOUND, "gone", 404)

    async def fails() -> None:
        async with asyncio.TaskGroup() as outer:
            async with asyncio.TaskGroup() as inner:
                inner.create_task(refuse())
            outer.create_task(asyncio.sleep(30))

    readings, _ = await ask(a=fails)
    assert unknown(readings["a"]).reason is Reason.NOT_FOUND


async def test_a_bug_in_a_probe_is_probe_failed_and_logged_and_costs_no_other_reading() -> None:
    async def fails() -> object:
        raise ZeroDivisionError("division by zero")

    def fails_at_once() -> Awaitable[object]:
        raise KeyError("x")

    with structlog.testing.capture_logs() as logs:
        readings, _ = await ask(a=fails, b=fails_at_once, c=lambda: value())
    failed = unknown(readings["a"]), unknown(readings["b"])
    assert [reading.reason for reading in failed] == [Reason.PROBE_FAILED] * 2
    assert failed[0].detail == "ZeroDivisionError: division by zero"
    assert isinstance(readings["c"], Known)
    assert {entry["probe"] for entry in logs} == {"a", "b"}
    assert all(entry["log_level"] == "error" for entry in logs)


async def test_no_probe_outlives_the_call() -> None:
    ended = asyncio.Event()

    async def lingers() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    before = asyncio.all_tasks()
    await ask(a=lingers)
    assert ended.is_set()
    assert asyncio.all_tasks() == before


async def test_cancelling_the_call_cancels_the_probes_and_passes_through() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def lingers() -> None:
        began.set()
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    call = asyncio.create_task(ask(a=lingers))
    await began.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ended.is_set()


async def test_a_deadline_that_is_over_makes_every_probe_late() -> None:
    readings = await gather(
        {"a": probe(lambda: value(1.0))},
        deadline=Deadline.after(0),
        clock=CLOCK,
        observe=lambda *_: None,
    )
    assert unknown(readings["a"]).reason is Reason.LATE


async def test_no_probes_give_no_readings() -> None:
    assert await ask() == ({}, {})


async def test_a_diagnosis_takes_as_long_as_its_slowest_probe() -> None:
    started = time.monotonic()
    readings, _ = await ask(**{f"p{n}": lambda n=n: value(0.02 * n) for n in range(11)})
    took_s = time.monotonic() - started
    slowest_s = max(reading.took_s for reading in readings.values())
    assert not any(isinstance(reading, Unknown) for reading in readings.values())
    assert took_s / slowest_s < 1.15
