"""Fixtures of the tests of the whole path: each that asks for a store runs on
SQLite and on PostgreSQL.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from service.kit.clock import VirtualClock
from tests.path.world import World, world
from tests.servers.postgresql import PostgreSQL, postgresql_server
from tests.stores import copied

STORES = ("sqlite", "postgresql")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Both stores, unless the test or its module is marked `only_on(store)`."""
    if "store_url" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("only_on")
        stores = mark.args if mark else STORES
        metafunc.parametrize("store_url", stores, ids=stores, indirect=True)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One server for all tests of the session."""
    with postgresql_server() as server:
        yield server


@pytest.fixture
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A store of its own for one test, on the database that the test's id names."""
    if request.param == "sqlite":
        empty: Path = request.getfixturevalue("empty_store")
        yield copied(empty, tmp_path / "store" / "paramedic.db")
        return
    server: PostgreSQL = request.getfixturevalue("postgresql")
    url = server.create()
    yield url
    server.drop(url)


@pytest.fixture
async def lively(store_url: str, clock: VirtualClock) -> AsyncIterator[World]:
    """A world in auto mode, one alert in it."""
    async with world(store_url, clock) as made:
        await made.fires()
        yield made
