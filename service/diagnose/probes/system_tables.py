"""Rows of ClickHouse's system tables, of which each version has others:
a table or column that is not there is None.

Never here: which table answers what.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from service.clients.clickhouse import ClickHouseClient
from service.kit.deadline import Deadline
from service.model.errors import Refused
from service.model.reasons import Reason

_NO_SUCH_COLUMN = 47


async def rows_of(
    clickhouse: ClickHouseClient,
    sql: str,
    args: Mapping[str, object] | None = None,
    *,
    deadline: Deadline,
) -> list[dict[str, Any]] | None:  # Any: columns of several types
    """The rows, or None where this server has no such table or column.
    Raises what the client raises.
    """
    try:
        return await clickhouse.query(sql, args, deadline=deadline)
    except Refused as error:
        if error.reason is Reason.NOT_FOUND or error.status == _NO_SUCH_COLUMN:
            return None
        raise


def instant(seconds: object) -> datetime | None:
    """The instant of a column of toUnixTimestamp(), whose 0 stands for none."""
    number = int(str(seconds or 0))
    return datetime.fromtimestamp(number, UTC) if number > 0 else None
