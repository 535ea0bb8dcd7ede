"""How much a ClickHouse database holds: its tables and their rows,
as one reading that two looks can be held against.

Never here: how much it ought to hold.
"""

from dataclasses import dataclass

from service.clients.clickhouse import ClickHouseClient
from service.kit.deadline import Deadline

# Views keep no rows, and say so with NULL.
_ROWS = """
SELECT count() AS tables, sum(ifNull(total_rows, 0)) AS rows
FROM system.tables WHERE database = %(database)s AND NOT is_temporary
"""


@dataclass(frozen=True, slots=True)
class DatabaseRows:
    """One database. A database that does not exist has no tables and no rows."""

    database: str
    tables: int
    rows: int  # of all its tables together


async def database_rows(
    clickhouse: ClickHouseClient, database: str, *, deadline: Deadline
) -> DatabaseRows:
    """The database now. Raises what the client raises."""
    rows = await clickhouse.query(_ROWS, {"database": database}, deadline=deadline)
    row = rows[0] if rows else {"tables": 0, "rows": 0}
    return DatabaseRows(database, int(str(row["tables"])), int(str(row["rows"] or 0)))
