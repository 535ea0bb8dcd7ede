"""What every test may ask for, and the last lines of a run:
which servers were missing, and how to get them.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from service.kit.clock import VirtualClock
from service.record import log
from service.store.database import Database
from tests.servers import absent
from tests.stores import copied, template

pytest_plugins = ["tests.leaks"]

# The same examples at every run: a red test has to be red for the next person too.
settings.register_profile(
    "steady",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
# For `make mutants`, which runs the same tests a thousand times.
settings.register_profile("few", settings.get_profile("steady"), max_examples=10)
settings.load_profile("steady")
log.configure("json", "debug")

# A traceback with the values of all locals, which is structlog's default on a
# terminal, takes seconds.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Names each missing server once, below all else, where nobody can miss it."""
    yield
    if absent:
        terminalreporter.section("missing servers: their tests were skipped (STRICT=1 fails them)")
        for name, hint in sorted(absent.items()):
            terminalreporter.line(f"{name}: {hint}")


@pytest.fixture
def clock() -> VirtualClock:
    """A clock that moves when somebody waits on it."""
    return VirtualClock()


@pytest.fixture(scope="session")
def empty_store() -> Iterator[Path]:
    """The file of a SQLite store that was migrated once."""
    with template() as made:
        yield made


@pytest.fixture
def store_url(empty_store: Path, tmp_path: Path) -> str:
    """A store of its own for one test."""
    return copied(empty_store, tmp_path / "store" / "paramedic.db")


@pytest.fixture
async def database(store_url: str) -> AsyncIterator[Database]:
    """An open store."""
    opened = await Database.open(store_url)
    yield opened
    await opened.close()
