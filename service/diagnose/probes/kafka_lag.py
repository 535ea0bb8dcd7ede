"""How far a consumer group is behind, where, and whether that grows:
offsets read twice, `sample_s` apart.

What is not known is not counted as nothing: a partition without a commit is behind by an
unknown number of messages, unless it is empty or the playbook says from where the group reads
what it never committed on.
Never here: what lag is too much.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import TypeAlias

from service.clients.kafka import KafkaClient, PartitionOffsets
from service.kit.clock import Clock
from service.kit.deadline import Deadline
from service.model.errors import Unavailable
from service.model.reasons import Reason

# As the classic and the newer group protocol call it. Consumption pauses meanwhile,
# and that proves nothing.
_REBALANCING = frozenset({"PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling"})
STUCK_FACTOR = 2.0  # times the median lag of those that move
FEWEST_FOR_HOT = 3  # partitions: of two, one always holds at least half


class Reset(StrEnum):
    """Where the group begins to read a partition on which it never committed
    (its `auto.offset.reset`).
    """

    EARLIEST = "earliest"
    LATEST = "latest"


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One partition. `lag` is None where it is not known;
    rates are messages a second between the samples.
    """

    topic: str
    partition: int
    lag: int | None
    end: int
    committed: int | None
    produced_per_s: float
    consumed_per_s: float

    @property
    def name(self) -> str:
        """`topic/partition`."""
        return f"{self.topic}/{self.partition}"


@dataclass(frozen=True, slots=True)
class KafkaLag:
    """A consumer group as the brokers see it, sampled twice. Messages, and messages a second.

    Partitions are named `topic/partition`. What is None depends on a lag that is not known.
    """

    group: str
    state: str  # Stable, Empty, Dead, PreparingRebalance ...
    members: int
    rebalancing: bool  # at one of the samples
    rebalancing_throughout: bool  # at both of them
    partition_count: int  # of the topics that the group has committed on, or that were named
    partitions: tuple[PartitionLag, ...]
    lag_total: int | None
    lag_known: int  # of the partitions whose lag is known
    lag_max: int | None  # of the partition that is furthest behind
    lag_growing: bool | None  # the second sample's total is above the first's
    grows_evenly: bool | None  # it grows, and no partition is hot or stuck
    hot_partition: str | None  # holds more than the written share of all lag; "" for none
    hot_share: float | None  # that of the partition furthest behind; 0.0 without lag
    stuck_partitions: tuple[str, ...]  # lag, and nothing consumed, while others were consumed
    uncommitted_partitions: int
    unknown_partitions: tuple[str, ...]  # whose lag is not known
    produced_per_s: float
    consumed_per_s: float


Key: TypeAlias = tuple[str, int]
Offsets: TypeAlias = Mapping[Key, PartitionOffsets]


async def kafka_lag(
    kafka: KafkaClient,
    group: str,
    topics: Sequence[str],
    sample_s: float,
    *,
    reset: Reset | None = None,
    hot_share: float = 0.6,
    deadline: Deadline,
    clock: Clock,
) -> KafkaLag:
    """The group's lag now. Without topics those that it has committed on; none of these:
    no_data.
    """
    named = list(topics) or None
    async with asyncio.TaskGroup() as tasks:
        before = tasks.create_task(kafka.group(group, deadline=deadline))
        first_read = tasks.create_task(kafka.offsets(group, named, deadline=deadline))
    first = first_read.result()
    committed = any(offsets.committed is not None for offsets in first.values())
    if not first or (not committed and reset is None):
        raise Unavailable(Reason.NO_DATA, f"group {group} has committed no offset")
    started = clock.monotonic()
    # A short deadline gets a short sample rather than no answer.
    await clock.sleep(min(sample_s, deadline.remaining_s() / 2))
    async with asyncio.TaskGroup() as tasks:
        after = tasks.create_task(kafka.group(group, deadline=deadline))
        second_read = tasks.create_task(kafka.offsets(group, named, deadline=deadline))
    elapsed_s = max(clock.monotonic() - started, 1e-3)

    states = [task.result().state in _REBALANCING for task in (before, after)]
    return judged(
        group,
        after.result().state,
        len(after.result().members),
        (any(states), all(states)),
        first,
        second_read.result(),
        elapsed_s,
        reset,
        hot_share,
    )


def judged(
    group: str,
    state: str,
    members: int,
    rebalancing: tuple[bool, bool],
    first: Offsets,
    second: Offsets,
    elapsed_s: float,
    reset: Reset | None,
    hot_share: float,
) -> KafkaLag:
    """What two samples say. Pure."""
    was = {key: behind(first[key], first[key], reset) for key in first}
    partitions = tuple(
        _partition(key, first.get(key, offsets), offsets, elapsed_s, reset)
        for key, offsets in sorted(second.items())
    )
    lags = [p.lag for p in partitions if p.lag is not None]
    unknown = tuple(p.name for p in partitions if p.lag is None)
    whole = not unknown
    known_before = [was[key] for key in second if key in was]
    before = sum(lag for lag in known_before if lag is not None)
    growing = sum(lags) > before if whole and None not in known_before else None
    share = max(lags, default=0) / sum(lags) if sum(lags) else 0.0
    is_hot = len(partitions) >= FEWEST_FOR_HOT and share > hot_share
    hot = next((p.name for p in partitions if is_hot and p.lag == max(lags)), "")
    stuck = _stuck(partitions, {key for key, lag in was.items() if lag})
    evenly = growing and not hot and not stuck if growing is not None else None
    return KafkaLag(
        group=group,
        state=state,
        members=members,
        rebalancing=rebalancing[0],
        rebalancing_throughout=rebalancing[1],
        partition_count=len(partitions),
        partitions=partitions,
        lag_total=sum(lags) if whole else None,
        lag_known=sum(lags),
        lag_max=max(lags, default=0) if whole else None,
        lag_growing=growing,
        grows_evenly=evenly,
        hot_partition=hot if whole else None,
        hot_share=share if whole else None,
        stuck_partitions=stuck,
        uncommitted_partitions=sum(p.committed is None for p in partitions),
        unknown_partitions=unknown,
        produced_per_s=sum(p.produced_per_s for p in partitions),
        consumed_per_s=sum(p.consumed_per_s for p in partitions),
    )


def behind(since: PartitionOffsets, now: PartitionOffsets, reset: Reset | None) -> int | None:
    """Messages that the group still has to read of one partition; None where nobody can say.

    `since` is the first sample: what was written before it is, with `latest`,
    not the group's to read.
    """
    if now.committed is not None:
        # Beyond the end: the topic was made anew, and the group waits for
        # offsets that may never come.
        return now.end - now.committed if now.committed <= now.end else None
    if now.beginning is not None and now.beginning >= now.end:
        return 0  # there is nothing in it
    match reset:
        case Reset.EARLIEST:
            return None if now.beginning is None else now.end - now.beginning
        case Reset.LATEST:
            return max(0, now.end - since.end)
        case None:
            return None


def _partition(
    key: Key,
    first: PartitionOffsets,
    second: PartitionOffsets,
    elapsed_s: float,
    reset: Reset | None,
) -> PartitionLag:
    consumed = 0
    if second.committed is not None:
        # A group that commits for the first time has consumed from where it
        # began, which nobody knows.
        consumed = second.committed - (
            second.committed if first.committed is None else first.committed
        )
    return PartitionLag(
        topic=key[0],
        partition=key[1],
        lag=behind(first, second, reset),
        end=second.end,
        committed=second.committed,
        produced_per_s=max(0, second.end - first.end) / elapsed_s,
        consumed_per_s=max(0, consumed) / elapsed_s,
    )


def _stuck(partitions: Sequence[PartitionLag], behind_before: set[Key]) -> tuple[str, ...]:
    """Those that were behind at both samples, did not move while others did,
    and are far further behind than these.

    A healthy consumer reads its partitions by turns, a batch of one and then of the next:
    one that only waits for its turn is about as far behind as those that move. One that is
    stuck falls behind by all that is written.
    """
    moving = [p.lag or 0 for p in partitions if p.consumed_per_s > 0.0]
    if not moving:
        return ()
    far = STUCK_FACTOR * median(moving)
    return tuple(
        p.name
        for p in partitions
        if p.lag
        and p.lag > far
        and p.consumed_per_s == 0.0
        and (p.topic, p.partition) in behind_before
    )
