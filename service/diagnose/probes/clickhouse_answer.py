"""Whether ClickHouse answers `SELECT 1`, and how fast. Its silence is an answer
here, not the lack of one.

Never here: what it is busy with.
"""

import time
from dataclasses import dataclass

from service.clients.clickhouse import ClickHouseClient
from service.diagnose.probes.plain_text import safe
from service.kit.deadline import Deadline
from service.model.errors import Unavailable
from service.model.reasons import Reason

PATIENCE_S = 5.0
_QUESTION = "SELECT 1 AS one, version() AS version, uptime() AS uptime_s"


@dataclass(frozen=True, slots=True)
class ClickHouseAnswer:
    """The server as seen from here."""

    answers: bool  # a connection is taken and a query answered, within PATIENCE_S
    latency_s: float | None  # of the query, with its connection; None without an answer
    version: str | None  # None without an answer
    uptime_s: int | None  # seconds since the server started; None without an answer
    problem: str  # why it does not answer; "" when it does; bounded, redacted


async def clickhouse_answer(
    clickhouse: ClickHouseClient, *, deadline: Deadline
) -> ClickHouseAnswer:
    """Asked once. Raises Refused: a server that says no is up, and asked wrongly."""
    started = time.monotonic()
    try:
        (row,) = await clickhouse.query(_QUESTION, deadline=deadline.sooner(PATIENCE_S))
    except Unavailable as error:
        if error.reason is Reason.CREDENTIALS_UNREADABLE:  # a file of ours, and no word about it
            raise
        return ClickHouseAnswer(False, None, None, None, safe(str(error)))
    took_s = time.monotonic() - started
    return ClickHouseAnswer(True, took_s, str(row["version"]), int(str(row["uptime_s"])), "")
