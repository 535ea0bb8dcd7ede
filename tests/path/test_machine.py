"""Whatever happens in whatever order: alerts, time, crashes, outages, other hands,
people. The promises hold.

A few hundred sequences run with the other tests; `make simulate` runs thousands
(PARAMEDIC_SEQUENCES says how many).
A red sequence is printed as the calls that lead to it. The rules and the promises stand
in `tests/path/machine`.
"""

import logging
import os
import sys
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings

from tests.path.machine.life import Life

SEQUENCES = int(os.environ.get("PARAMEDIC_SEQUENCES", "100"))
# Shrinking a red sequence takes minutes: PARAMEDIC_SHRINK=0 shows it as it was found.
PHASES = (
    (Phase.generate, Phase.shrink)
    if os.environ.get("PARAMEDIC_SHRINK") != "0"
    else (Phase.generate,)
)


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """Thousands of incidents log nothing."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


Life.TestCase.settings = settings(
    max_examples=SEQUENCES,
    stateful_step_count=25,
    derandomize="PARAMEDIC_SEQUENCES" not in os.environ,
    suppress_health_check=list(HealthCheck),
    deadline=None,
    database=None,
    phases=PHASES,
)
TestLife = Life.TestCase


if "PARAMEDIC_SEQUENCES" in os.environ:
    _done = 0
    _teardown = Life.teardown

    def _counting(self: Life) -> None:
        global _done
        _teardown(self)
        _done += 1
        if _done % 100 == 0:
            print(f"{_done} of {SEQUENCES} sequences", file=sys.__stderr__, flush=True)

    Life.teardown = _counting  # type: ignore[method-assign]
