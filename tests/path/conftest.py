"""Fixtures of the tests of the whole path."""

from collections.abc import AsyncIterator

import pytest

from service.kit.clock import VirtualClock
from tests.path.world import World, world


@pytest.fixture
async def lively(store_url: str, clock: VirtualClock) -> AsyncIterator[World]:
    """A world in auto mode, one alert in it."""
    async with world(store_url, clock) as made:
        await made.fires()
        yield made
