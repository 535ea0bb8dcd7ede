"""The errors that ClickHouse counted within the last hour, by name.

Never here: what an error calls for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.clients.clickhouse import ClickHouseClient
from service.diagnose.probes.plain_text import safe
from service.diagnose.probes.system_tables import instant
from service.kit.deadline import Deadline

MOST = 20
WITHIN_S = 3_600
# The server's own clock on both sides: ours may differ.
_ERRORS = """
SELECT name, code, sum(value) AS times, toUnixTimestamp(max(last_error_time)) AS at,
       argMax(last_error_message, last_error_time) AS message
FROM system.errors WHERE last_error_time > now() - %(within)s
GROUP BY name, code ORDER BY at DESC LIMIT %(most)s
"""


@dataclass(frozen=True, slots=True)
class CountedError:
    """One kind of error."""

    name: str  # MEMORY_LIMIT_EXCEEDED, TOO_MANY_PARTS, NOT_ENOUGH_SPACE ...
    code: int
    times: int  # since the server started
    last_at: datetime | None
    message: str  # of the last one; bounded, redacted


@dataclass(frozen=True, slots=True)
class ClickHouseErrors:
    """Those seen within WITHIN_S seconds."""

    count: int  # kinds
    names: tuple[str, ...]  # the newest first, at most MOST
    newest: str  # name and message of the newest; "" for none
    errors: tuple[CountedError, ...]  # the newest first, at most MOST


async def clickhouse_errors(
    clickhouse: ClickHouseClient, *, deadline: Deadline
) -> ClickHouseErrors:
    """The errors now. Refused(not_found) from a server without system.errors (before 20.11)."""
    args = {"within": WITHIN_S, "most": MOST}
    return summary(await clickhouse.query(_ERRORS, args, deadline=deadline))


def summary(rows: Sequence[Mapping[str, Any]]) -> ClickHouseErrors:  # Any: columns of several types
    """The same from the rows, newest first. Pure."""
    found = tuple(
        CountedError(
            str(row["name"]),
            int(row["code"]),
            int(row["times"]),
            instant(row["at"]),
            safe(str(row["message"] or "")),
        )
        for row in rows
    )
    newest = f"{found[0].name}: {found[0].message}" if found else ""
    return ClickHouseErrors(len(found), tuple(e.name for e in found), newest, found)
