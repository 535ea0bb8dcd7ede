"""Nulls and duplicates among the newest rows of one ClickHouse table, from a bounded sample.

The names of the database, the table and the columns come from a playbook:
they are looked up in system.columns, and only what the server itself has
under exactly that name goes into a statement, quoted.
Never here: the rows themselves. Counts leave the server, values do not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.clients.clickhouse import ClickHouseClient
from service.kit.deadline import Deadline
from service.model.errors import Refused, Unavailable
from service.model.reasons import Reason

MOST_ROWS = 100_000
MOST_COLUMNS = 50
_COLUMNS = """
SELECT name, type FROM system.columns WHERE database = %(database)s AND table = %(table)s
"""
_NEWEST_PARTS = """
SELECT name, rows FROM system.parts WHERE active AND database = %(database)s AND table = %(table)s
ORDER BY modification_time DESC, max_block_number DESC LIMIT 50
"""
_SAMPLE = """
SELECT count() AS total, {distinct} AS distinct_keys{nulls} FROM
(SELECT {wanted} FROM {of} WHERE _part IN %(parts)s LIMIT %(most)s)
"""


@dataclass(frozen=True, slots=True)
class ColumnNulls:
    """One column in the sample."""

    column: str
    null_share: float  # 0.0 to 1.0: NULL, NaN, or an empty text


@dataclass(frozen=True, slots=True)
class TableQuality:
    """The newest rows of one table, those of the parts that were written last."""

    table: str  # database.table
    rows: int  # in the sample
    null_share_max: float | None  # of the worst column; None when no column was asked for
    null_column: str  # that column; "" as above
    duplicate_share: (
        float | None
    )  # rows whose key another row of the sample has; None without a key
    columns: tuple[ColumnNulls, ...]  # the worst first
    unknown_columns: tuple[str, ...]  # asked for, and not in the table


async def table_quality(
    clickhouse: ClickHouseClient,
    table: str,
    columns: Sequence[str],
    key: Sequence[str],
    sample_rows: int = 10_000,
    *,
    deadline: Deadline,
) -> TableQuality:
    """A sample now. `table` is database.table; without `columns` all of it are counted.

    Raises Refused(not_found) for a table that is not there, Unavailable(no_data) for an empty one.
    """
    database, _, name = table.partition(".")
    names = {"database": database, "table": name}
    has = {
        str(row["name"]): str(row["type"])
        for row in await clickhouse.query(_COLUMNS, names, deadline=deadline)
    }
    if not has:
        raise Refused(Reason.NOT_FOUND, f"there is no table {table[:200]}", 60)
    parts = await _newest(clickhouse, names, min(sample_rows, MOST_ROWS), deadline)
    counted = [c for c in (columns or sorted(has)) if c in has][:MOST_COLUMNS]
    keyed = [c for c in key if c in has]
    whole_key = keyed if len(keyed) == len(key) else []
    sql = _statement(database, name, counted, whole_key, has)
    args: dict[str, object] = {"parts": tuple(parts), "most": min(sample_rows, MOST_ROWS)}
    (row,) = await clickhouse.query(sql, args, deadline=deadline)
    return _judged(table, row, counted, whole_key, [c for c in [*columns, *key] if c not in has])


async def _newest(
    clickhouse: ClickHouseClient, names: dict[str, str], wanted: int, deadline: Deadline
) -> list[str]:
    found: list[str] = []
    rows = 0
    for row in await clickhouse.query(_NEWEST_PARTS, names, deadline=deadline):
        found.append(str(row["name"]))
        rows += int(str(row["rows"]))
        if rows >= wanted:
            break
    if not rows:
        raise Unavailable(Reason.NO_DATA, f"{names['database']}.{names['table']} has no rows")
    return found


def _statement(
    database: str, table: str, columns: Sequence[str], key: Sequence[str], has: dict[str, str]
) -> str:
    nulls = "".join(
        f", countIf({_missing(_quoted(c), has[c])}) AS n{n}" for n, c in enumerate(columns)
    )
    distinct = f"uniqExact(tuple({', '.join(map(_quoted, key))}))" if key else "0"
    wanted = ", ".join(_quoted(c) for c in dict.fromkeys([*columns, *key])) or "1"
    # Each name is one that the server itself has, and quoted; values are bound.
    of = f"{_quoted(database)}.{_quoted(table)}"
    return _SAMPLE.format(distinct=distinct, nulls=nulls, wanted=wanted, of=of)


def _missing(quoted: str, kind: str) -> str:
    if "Float" in kind and "Array" not in kind:
        return f"isNull({quoted}) OR isNaN(assumeNotNull({quoted}))"
    if kind in ("String", "Nullable(String)", "LowCardinality(String)"):
        return f"isNull({quoted}) OR assumeNotNull({quoted}) = ''"
    return f"isNull({quoted})"


def _quoted(name: str) -> str:
    # The client fills arguments with %: a percent sign in a name is doubled.
    escaped = name.replace("\\", "\\\\").replace("`", "\\`").replace("%", "%%")
    return f"`{escaped}`"


def _judged(
    table: str,
    row: dict[str, Any],
    columns: Sequence[str],
    key: Sequence[str],
    unknown: Sequence[str],
) -> TableQuality:
    total = int(row["total"])
    if not total:
        raise Unavailable(Reason.NO_DATA, f"the newest parts of {table} were merged meanwhile")
    shares = sorted(
        (ColumnNulls(c, int(row[f"n{n}"]) / total) for n, c in enumerate(columns)),
        key=lambda c: (-c.null_share, c.column),
    )
    return TableQuality(
        table=table,
        rows=total,
        null_share_max=shares[0].null_share if shares else None,
        null_column=shares[0].column if shares else "",
        duplicate_share=(total - int(row["distinct_keys"])) / total if key else None,
        columns=tuple(shares),
        unknown_columns=tuple(dict.fromkeys(unknown)),
    )
