"""The replicated tables of this server: which refuse inserts,
and what is wrong between them and ZooKeeper.

Never here: restoring one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.clients.clickhouse import ClickHouseClient
from service.diagnose.probes.plain_text import safe
from service.diagnose.probes.system_tables import rows_of
from service.kit.deadline import Deadline

MOST_SHOWN = 20
_REPLICAS = """
SELECT database, table, is_readonly, is_session_expired, absolute_delay, queue_size, total_replicas,
       active_replicas, {exception} AS exception
FROM system.replicas ORDER BY is_readonly DESC, absolute_delay DESC LIMIT 1000
"""


@dataclass(frozen=True, slots=True)
class Replica:
    """One replicated table on this server."""

    table: str  # database.table
    readonly: bool  # it refuses inserts
    session_expired: bool  # its ZooKeeper session
    delay_s: int  # behind the others
    queue: int  # entries that it has still to do
    replicas: int  # of the table
    active_replicas: int  # of these, those that have a session


@dataclass(frozen=True, slots=True)
class Replicas:
    """All replicated tables of this server; none is an answer too."""

    count: int
    readonly: int
    readonly_tables: tuple[str, ...]  # database.table, at most MOST_SHOWN
    session_expired: bool  # of at least one
    zookeeper_problem: str  # of one that has one; "" for none, or where the server does not say
    max_delay_s: int
    replicas: tuple[Replica, ...]  # read-only ones first, at most MOST_SHOWN


async def clickhouse_replicas(clickhouse: ClickHouseClient, *, deadline: Deadline) -> Replicas:
    """The replicas now. Raises what the client raises."""
    newer = _REPLICAS.format(exception="zookeeper_exception")
    found = await rows_of(clickhouse, newer, deadline=deadline)
    if found is None:  # no such column before 20.x
        found = await clickhouse.query(_REPLICAS.format(exception="''"), deadline=deadline)
    return summary(found)


def summary(rows: Sequence[Mapping[str, Any]]) -> Replicas:  # Any: columns of several types
    """The same from the rows. Pure."""
    found = [
        Replica(
            f"{row['database']}.{row['table']}",
            bool(row["is_readonly"]),
            bool(row["is_session_expired"]),
            int(row["absolute_delay"]),
            int(row["queue_size"]),
            int(row["total_replicas"]),
            int(row["active_replicas"]),
        )
        for row in rows
    ]
    problem = next((str(row["exception"]) for row in rows if row["exception"]), "")
    return Replicas(
        count=len(found),
        readonly=sum(r.readonly for r in found),
        readonly_tables=tuple(r.table for r in found if r.readonly)[:MOST_SHOWN],
        session_expired=any(r.session_expired for r in found),
        zookeeper_problem=safe(problem),
        max_delay_s=max((r.delay_s for r in found), default=0),
        replicas=tuple(found[:MOST_SHOWN]),
    )
