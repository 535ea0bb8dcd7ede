"""A Kafka topic as a place that keeps checkpoints: the lines of the file, one record each.

A source of its own, so that steps and checkpoints do not number each other away, and its key
puts all of them into one partition, in order. A record's number is its time and not the length of
the chain: of a chain that was cut off, whose lengths were seen before, checkpoints go on.
"""

from service.audit.checkpoints import line_of
from service.clients.kafka_write import KafkaPublisher, Record
from service.kit.deadline import Deadline
from service.model.audit import Checkpoint

_TYPE = b"io.paramedic.checkpoint"


def source_of(steps: str) -> str:
    """The source of a store's checkpoints, from that of its steps."""
    return f"{steps.rstrip('/')}/checkpoints"


class CheckpointTopic:
    """Sends each checkpoint to a topic that exists."""

    name = "topic"

    def __init__(self, publisher: KafkaPublisher) -> None:
        self._publisher = publisher

    def newest(self) -> Checkpoint | None:
        """None: a broker that is away must not hold a start up."""
        return None

    async def keep(self, made: Checkpoint, *, deadline: Deadline) -> None:
        """Returns when all replicas of the partition have it. Raises Unavailable or Refused."""
        await self._publisher.send([record_of(made, self._publisher.source)], deadline=deadline)


def record_of(made: Checkpoint, source: str) -> Record:
    """A checkpoint as a CloudEvent in binary mode, whose value is a line of the file."""
    number = int(made.at.timestamp() * 1000)
    headers = (
        ("ce_id", str(number).encode()),
        ("ce_source", source.encode()),
        ("ce_type", _TYPE),
        ("ce_specversion", b"1.0"),
        ("ce_time", made.at.isoformat().encode()),
        ("content-type", b"application/json"),
    )
    return Record(number, source.encode(), line_of(made).encode(), headers)
