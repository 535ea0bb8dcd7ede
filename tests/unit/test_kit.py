"""The kit: deadlines that are handed down, tasks that may not die unnoticed, clocks."""

import asyncio
from datetime import UTC

import pytest

from service.kit.clock import SystemClock, VirtualClock
from service.kit.deadline import Deadline
from service.kit.pace import evenly
from service.kit.tasks import running
from service.model.errors import Unavailable
from service.model.reasons import Reason


class Deaths:
    """Remembers who died of what."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def __call__(self, name: str, error: BaseException | None) -> None:
        self.heard.append((name, repr(error)))


async def forever() -> None:
    await asyncio.Event().wait()


async def test_the_system_clock_tells_aware_utc_and_never_runs_back() -> None:
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()
    await clock.sleep(-5)


async def test_waiting_on_a_virtual_clock_takes_no_time_and_moves_it() -> None:
    clock = VirtualClock()
    began = clock.now()
    await clock.sleep(3600)
    await clock.sleep(-1)
    assert ((clock.now() - began).total_seconds(), clock.monotonic()) == (3600, 3600)


@pytest.mark.parametrize(
    ("takes_s", "begun_s"),
    [
        pytest.param((0, 0, 0, 0), [0, 1, 2, 3], id="at once"),
        pytest.param((0.9, 0.2, 0.9, 0), [0, 1, 2, 3], id="within their shares"),
        pytest.param((0, 5, 0, 0), [0, 1, 6, 7], id="one takes long"),
    ],
)
async def test_things_begin_at_even_distances_and_none_hurries_behind_a_slow_one(
    takes_s: tuple[float, ...], begun_s: list[float]
) -> None:
    clock = VirtualClock()
    found = []
    async for takes in evenly(takes_s, 4.0, clock):
        found.append(clock.monotonic())
        clock.advance(takes)
    assert found == pytest.approx(begun_s)


@pytest.mark.parametrize(
    ("until_s", "begun_s"),
    [
        pytest.param(1.004, [0.009, 1.0045, 2, 3], id="while it is busy"),
        pytest.param(9.0, [0.009, 1.009, 2.009, 3.009], id="but not for ever"),
    ],
)
async def test_nothing_begins_while_the_process_is_busy_with_what_goes_first_but_not_for_ever(
    until_s: float, begun_s: list[float]
) -> None:
    clock = VirtualClock()
    spread = evenly(range(4), 4.0, clock, lambda: clock.monotonic() < until_s)
    assert [clock.monotonic() async for _ in spread] == pytest.approx(begun_s)


async def test_what_takes_longer_than_its_deadline_is_unavailable_because_late() -> None:
    with pytest.raises(Unavailable) as caught:
        async with Deadline.after(0.01).enforced("the broker"):
            await forever()
    assert caught.value.reason is Reason.LATE
    assert "the broker" in caught.value.detail


async def test_a_timeout_of_the_bodys_own_is_not_taken_for_the_deadline() -> None:
    with pytest.raises(TimeoutError, match="its own"):
        async with Deadline.after(60).enforced("x"):
            raise TimeoutError("its own")


async def test_a_cancelled_body_is_cancelled_and_not_late() -> None:
    async def body() -> None:
        async with Deadline.after(60).enforced("x"):
            await forever()

    task = asyncio.create_task(body())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_deadline_that_is_over_lets_nothing_wait() -> None:
    assert Deadline.after(-1).remaining_s() == 0.0
    with pytest.raises(Unavailable):
        async with Deadline.after(-1).enforced("x"):
            await forever()


def test_the_sooner_of_two_deadlines_counts() -> None:
    long = Deadline.after(60)
    assert long.sooner(1).remaining_s() < 2
    assert long.sooner(600).at == long.at


async def test_a_task_runs_as_long_as_its_block() -> None:
    deaths = Deaths()
    async with running("x", forever(), deaths) as task:
        await asyncio.sleep(0)
        assert not task.done()
    assert task.cancelled()
    assert deaths.heard == []


async def test_a_task_that_ends_by_itself_is_heard_of() -> None:
    async def ends() -> None:
        return

    deaths = Deaths()
    async with running("short", ends(), deaths):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert deaths.heard == [("short", "None")]


async def test_a_task_that_raises_is_heard_of_with_its_error() -> None:
    async def raises() -> None:
        raise ValueError("a bug")

    deaths = Deaths()
    async with running("broken", raises(), deaths):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert deaths.heard == [("broken", "ValueError('a bug')")]


async def test_an_error_on_a_tasks_way_out_is_not_lost() -> None:
    async def stubborn() -> None:
        try:
            await forever()
        finally:
            raise ValueError("while ending")

    with pytest.raises(ValueError, match="while ending"):
        async with running("x", stubborn(), Deaths()):
            await asyncio.sleep(0)


async def test_who_is_cancelled_while_a_task_ends_stays_cancelled() -> None:
    ending = asyncio.Event()
    let_go = asyncio.Event()

    async def slow_to_end() -> None:
        try:
            await forever()
        finally:
            ending.set()
            await let_go.wait()

    async def block() -> str:
        async with running("x", slow_to_end(), Deaths()):
            await asyncio.sleep(0)
        return "went on as if nothing had been said"

    task = asyncio.create_task(block())
    await ending.wait()
    task.cancel()
    await asyncio.sleep(0)
    let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
