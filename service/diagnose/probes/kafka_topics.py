"""Whether topics exist and move: end offsets read twice, and the age of the newest
record by its timestamp.

Records stay on the brokers: no payload is read.
Never here: which topic ought to move.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.clients.kafka import KafkaClient
from service.clients.kafka_overview import Overview
from service.kit.clock import Clock
from service.kit.deadline import Deadline

MOST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class TopicState:
    """One of the named topics that exists."""

    topic: str
    partitions: int
    end: int  # sum of the end offsets, at the second sample; of the partitions that have a leader
    produced_per_s: float  # records a second between the samples
    newest_at: (
        datetime | None
    )  # timestamp of its newest record; None when empty, or before Kafka 3.0
    newest_age_s: float | None  # seconds since then, by this process's clock; None as above


@dataclass(frozen=True, slots=True)
class KafkaTopics:
    """The named topics, sampled twice."""

    existing: int  # topics of the cluster, without Kafka's own
    missing: tuple[str, ...]  # named ones that do not exist
    named: tuple[TopicState, ...]  # that exist
    still: tuple[str, ...]  # named ones that got no record between the samples
    moving: bool  # at least one named topic got a record
    all_moving: bool  # every named topic exists and got one
    produced_per_s: float  # records a second, of all named topics
    newest_age_s: float | None  # of the named topic with the newest record; None where none tells
    stalest: str  # named topic whose newest record is the oldest; "" where none tells
    stalest_age_s: float | None  # seconds since that record; None where none tells
    names: tuple[str, ...]  # topics that exist, without Kafka's own, at most MOST_SHOWN


async def kafka_topics(
    kafka: KafkaClient,
    topics: Sequence[str],
    sample_s: float,
    *,
    deadline: Deadline,
    clock: Clock,
) -> KafkaTopics:
    """Two samples, `sample_s` apart; a short deadline gets a short one.
    Raises what the client raises.

    Only topics that exist are asked for, so that none is made by asking.
    """
    seen = await kafka.overview(deadline=deadline)
    there = [topic for topic in topics if topic in set(seen.topics)]
    first = await kafka.ends(there, deadline=deadline)
    started = clock.monotonic()
    await clock.sleep(min(sample_s, deadline.remaining_s() / 2))
    async with asyncio.TaskGroup() as tasks:
        second = tasks.create_task(kafka.ends(there, deadline=deadline))
        newest = tasks.create_task(kafka.newest(there, deadline=deadline))
    elapsed_s = max(clock.monotonic() - started, 1e-3)
    return compared(seen, topics, first, second.result(), newest.result(), elapsed_s, clock.now())


def compared(
    seen: Overview,
    topics: Sequence[str],
    first: Mapping[tuple[str, int], int],
    second: Mapping[tuple[str, int], int],
    newest: Mapping[tuple[str, int], datetime | None],
    elapsed_s: float,
    now: datetime,
) -> KafkaTopics:
    """What two samples say. Pure."""
    existing = set(seen.topics)
    named = tuple(
        _topic(topic, first, second, newest, elapsed_s, now)
        for topic in topics
        if topic in existing
    )
    missing = tuple(topic for topic in topics if topic not in existing)
    dated = [t for t in named if t.newest_age_s is not None]
    ages = [t.newest_age_s for t in named if t.newest_age_s is not None]
    stalest = max(dated, key=lambda t: t.newest_age_s or 0.0, default=None)
    own = sorted(existing - set(seen.internal))
    return KafkaTopics(
        existing=len(own),
        missing=missing,
        named=named,
        still=tuple(t.topic for t in named if t.produced_per_s == 0.0),
        moving=any(t.produced_per_s > 0.0 for t in named),
        all_moving=not missing and all(t.produced_per_s > 0.0 for t in named),
        produced_per_s=sum(t.produced_per_s for t in named),
        newest_age_s=min(ages, default=None),
        stalest=stalest.topic if stalest else "",
        stalest_age_s=stalest.newest_age_s if stalest else None,
        names=tuple(own[:MOST_SHOWN]),
    )


def _topic(
    topic: str,
    first: Mapping[tuple[str, int], int],
    second: Mapping[tuple[str, int], int],
    newest: Mapping[tuple[str, int], datetime | None],
    elapsed_s: float,
    now: datetime,
) -> TopicState:
    keys = [key for key in second if key[0] == topic]
    added = sum(max(0, second[key] - first.get(key, second[key])) for key in keys)
    at = max((found for key in keys if (found := newest.get(key))), default=None)
    return TopicState(
        topic=topic,
        partitions=len(keys),
        end=sum(second[key] for key in keys),
        produced_per_s=added / elapsed_s,
        newest_at=at,
        newest_age_s=max(0.0, (now - at).total_seconds()) if at else None,
    )
