"""One bound for the bytes of all webhooks under way."""

import asyncio

import pytest

from service.intake.budget import ByteBudget


def test_receiving_takes_what_is_free_or_nothing() -> None:
    budget = ByteBudget(10)
    assert budget.try_take(6)
    assert not budget.try_take(5)
    assert budget.try_take(4)
    budget.give(6)
    assert budget.used == 4
    assert budget.try_take(6)


async def test_sorting_waits_for_its_turn_and_goes_first() -> None:
    budget = ByteBudget(10)
    assert budget.try_take(8)
    held = asyncio.Event()

    async def sort() -> None:
        async with budget.held(5):
            held.set()

    sorting = asyncio.create_task(sort())
    await asyncio.sleep(0)
    assert not budget.try_take(1), "nobody overtakes the one that waits"
    budget.give(8)
    await asyncio.wait_for(sorting, 1)
    assert held.is_set()
    assert budget.used == 0


async def test_more_than_all_is_all() -> None:
    budget = ByteBudget(10)
    async with budget.held(99):
        assert budget.used == 10
    assert budget.used == 0


@pytest.mark.parametrize("turn_came", [False, True])
async def test_one_that_gives_up_waiting_holds_nothing(turn_came: bool) -> None:
    budget = ByteBudget(10)
    assert budget.try_take(8)

    async def sort() -> None:
        async with budget.held(5):
            await asyncio.sleep(60)

    sorting = asyncio.create_task(sort())
    await asyncio.sleep(0)
    if turn_came:
        budget.give(8)
    sorting.cancel()
    await asyncio.wait([sorting])
    if not turn_came:
        budget.give(8)
    assert budget.used == 0
    assert budget.try_take(10)
