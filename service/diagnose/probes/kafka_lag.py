"""How far a consumer group is behind, and whether that grows: offsets read twice, `sample_s` apart.

Never here: what lag is too much.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from service.clients.kafka import KafkaClient, PartitionOffsets
from service.kit.clock import Clock
from service.kit.deadline import Deadline
from service.model.errors import Unavailable
from service.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class KafkaLag:
    """A consumer group as the brokers see it, sampled twice. Messages, and messages a second."""

    group: str
    state: str  # Stable, Empty, Dead, PreparingRebalance, CompletingRebalance
    members: int
    partitions: int  # of the topics that the group has committed on, or that were named
    lag_total: int
    lag_max: int  # of the partition that is furthest behind
    lag_growing: bool  # the second sample's total is above the first's
    produced_per_s: float
    consumed_per_s: float
    uncommitted_partitions: int  # no committed offset: their lag is not in lag_total
    lag_by_partition: Mapping[str, int]  # "topic/partition" -> lag


Offsets: TypeAlias = Mapping[tuple[str, int], PartitionOffsets]


async def kafka_lag(
    kafka: KafkaClient,
    group: str,
    topics: Sequence[str],
    sample_s: float,
    *,
    deadline: Deadline,
    clock: Clock,
) -> KafkaLag:
    """The group's lag now. Without topics those that it has committed on; none of these: no_data."""
    named = list(topics) or None
    async with asyncio.TaskGroup() as tasks:
        state = tasks.create_task(kafka.group(group, deadline=deadline))
        first_read = tasks.create_task(kafka.offsets(group, named, deadline=deadline))
    first = first_read.result()
    if not any(offsets.committed is not None for offsets in first.values()):
        raise Unavailable(Reason.NO_DATA, f"group {group} has committed no offset")
    started = clock.monotonic()
    # A short deadline gets a short sample rather than no answer.
    await clock.sleep(min(sample_s, deadline.remaining_s() / 2))
    second = await kafka.offsets(group, named, deadline=deadline)
    elapsed_s = max(clock.monotonic() - started, 1e-3)

    lag = lags(second)
    moved = first.keys() & second.keys()
    produced = sum(second[key].end - first[key].end for key in moved)
    consumed = sum(_advance(first[key], second[key]) for key in moved)
    return KafkaLag(
        group=group,
        state=state.result().state,
        members=len(state.result().members),
        partitions=len(second),
        lag_total=sum(lag.values()),
        lag_max=max(lag.values(), default=0),
        lag_growing=sum(lag.values()) > sum(lags(first).values()),
        produced_per_s=max(0, produced) / elapsed_s,
        consumed_per_s=max(0, consumed) / elapsed_s,
        uncommitted_partitions=len(second) - len(lag),
        lag_by_partition={f"{topic}/{partition}": n for (topic, partition), n in lag.items()},
    )


def lags(offsets: Offsets) -> dict[tuple[str, int], int]:
    """Messages behind, of each partition with a commit; never below 0 (a recreated topic ends below it)."""
    return {
        key: max(0, o.end - o.committed) for key, o in offsets.items() if o.committed is not None
    }


def _advance(first: PartitionOffsets, second: PartitionOffsets) -> int:
    if first.committed is None or second.committed is None:
        return 0
    return second.committed - first.committed
