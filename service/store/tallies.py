"""Totals over the whole journal, kept when its old steps are pruned:
what the metrics of the audit start from.

Adding and remembering how far it was added are one transaction,
so that a step is counted once whatever dies.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa

from service.store.database import Database
from service.store.schema import tallies

_CURSOR = "last step"
Labels: TypeAlias = Mapping[str, str]


class Count(NamedTuple):
    """One more of something, at a step."""

    step_id: int
    name: str
    labels: Labels


class Total(NamedTuple):
    """How often something was counted, ever."""

    name: str
    labels: Labels
    value: int


class Tallies:
    """Totals in the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, counts: Iterable[Count], up_to: int) -> None:
        """Counts what happened in steps that were not counted yet; all up to `up_to` are then."""

        def commit(tx: sa.Connection) -> None:
            known = _value(tx, _CURSOR, "")
            sums: dict[tuple[str, str], int] = {}
            for count in counts:
                if count.step_id > known:
                    key = count.name, json.dumps(count.labels, sort_keys=True)
                    sums[key] = sums.get(key, 0) + 1
            for (name, labels), more in sums.items():
                _set(tx, name, labels, _value(tx, name, labels) + more)
            _set(tx, _CURSOR, "", max(known, up_to))

        await self._database.write(commit)

    async def totals(self) -> Sequence[Total]:
        """All of them."""
        query = sa.select(tallies.c.name, tallies.c.labels, tallies.c.value).where(
            tallies.c.name != _CURSOR
        )
        rows: Sequence[Any] = await self._database.read(lambda c: c.execute(query).all())
        return [Total(name, json.loads(labels), int(value)) for name, labels, value in rows]


def _value(tx: sa.Connection, name: str, labels: str) -> int:
    # One follower at a time adds, by its lease; were there two,
    # the lock of this row has one wait for the other.
    query = (
        sa.select(tallies.c.value)
        .where(tallies.c.name == name, tallies.c.labels == labels)
        .with_for_update()
    )
    return int(tx.execute(query).scalar() or 0)


def _set(tx: sa.Connection, name: str, labels: str, value: int) -> None:
    here = sa.and_(tallies.c.name == name, tallies.c.labels == labels)
    if not tx.execute(sa.update(tallies).where(here).values(value=value)).rowcount:
        tx.execute(sa.insert(tallies).values(name=name, labels=labels, value=value))
