"""Many rows in few statements.

The driver of SQLite gives the interpreter's lock back around every step of a statement,
and beside a busy event loop has to wait for it each time: one statement for 64 rows is 64
times fewer waits than 64 executions.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import sqlalchemy as sa
from pydantic_core import to_json

from service.store.schema import Instant, micros

Values: TypeAlias = Mapping[str, Any]  # Any: what a column takes

_MOST_PARAMETERS = 32_000  # SQLite's own limit is 32,766
_MOST_ROWS = 256


def put(
    tx: sa.Connection, table: sa.Table, rows: Sequence[Values], replace_on: Sequence[str] = ()
) -> None:
    """Inserts rows of the same columns; a row whose `replace_on` is there
    already replaces that one.
    """
    if not rows:
        return
    names = tuple(rows[0])
    if tx.dialect.name != "sqlite":
        tx.execute(_postgresql(table, names, tuple(replace_on)), list(rows))
        return
    raw: Any = tx.connection.dbapi_connection  # Any: the driver's own connection
    encoders = [_encoder(table.c[name].type) for name in names]
    for start, count in _portions(len(rows), len(names)):
        some = rows[start : start + count]
        columns = [
            [row[n] for row in some] if e is None else [e(row[n]) for row in some]
            for n, e in zip(names, encoders, strict=True)
        ]
        flat: list[Any] = [value for row in zip(*columns, strict=True) for value in row]
        raw.execute(_sqlite(table.name, names, count, tuple(replace_on)), flat)


def _portions(rows: int, columns: int) -> list[tuple[int, int]]:
    """(start, how many): in powers of two, so that the driver's cache of statements holds them
    all.
    """
    size = 1 << (min(_MOST_ROWS, _MOST_PARAMETERS // columns).bit_length() - 1)
    portions, start = [], 0
    while start < rows:
        while size > rows - start:
            size >>= 1
        portions.append((start, size))
        start += size
    return portions


@lru_cache(256)
def _sqlite(table: str, names: tuple[str, ...], rows: int, replace_on: tuple[str, ...]) -> str:
    row = f"({', '.join('?' * len(names))})"
    sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES {', '.join([row] * rows)}"  # noqa: S608 - names of the schema
    if replace_on:
        changed = ", ".join(f"{n} = excluded.{n}" for n in names if n not in replace_on)
        sql += f" ON CONFLICT ({', '.join(replace_on)}) DO UPDATE SET {changed}"
    return sql


@lru_cache(64)
def _postgresql(table: sa.Table, names: tuple[str, ...], replace_on: tuple[str, ...]) -> sa.Insert:
    from sqlalchemy.dialects import postgresql  # a tenth of a second that SQLite need not wait for

    insert = postgresql.insert(table).values({n: sa.bindparam(n) for n in names})
    if not replace_on:
        return insert
    changed = {n: insert.excluded[n] for n in names if n not in replace_on}
    return insert.on_conflict_do_update(index_elements=list(replace_on), set_=changed)


def _encoder(kind: sa.types.TypeEngine[Any]) -> Callable[[Any], Any] | None:
    if isinstance(kind, Instant):
        return micros
    return _json if isinstance(kind, sa.JSON) else None


def _json(value: Any) -> str | None:
    return None if value is None else to_json(value).decode()
