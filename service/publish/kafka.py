"""Every step as a CloudEvent on a Kafka topic: key = the incident's id, event id = the step's.

In binary mode: the attributes are headers, the value is the step as JSON, which a consumer
reads without a library.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from cloudevents.core.bindings.kafka import to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from service.clients.kafka_write import KafkaPublisher, Record
from service.kit.deadline import Deadline
from service.model.journal import JournalEntry
from service.publish.sink import Outlets, Sink, SinkKind

_TYPE = "io.paramedic.step"
_FORMAT = JSONFormat()


@dataclass(frozen=True, slots=True)
class KafkaSink:
    """One record for each step, in their order."""

    publisher: KafkaPublisher
    name: str = field(default="kafka", init=False)

    async def deliver(self, steps: Sequence[JournalEntry], deadline: Deadline) -> None:
        records = []
        for step in steps:
            records.append(record_of(step, self.publisher.source))
            await asyncio.sleep(0)  # evidence is large, and webhooks wait on this loop too
        await self.publisher.send(records, deadline=deadline)


def record_of(step: JournalEntry, source: str) -> Record:
    """The step as a record of `source`."""
    attributes = {
        "id": str(step.id),
        "source": source,
        "type": f"{_TYPE}.{step.kind}",
        "specversion": "1.0",
        "subject": step.incident_id,
        "time": step.at,
        "datacontenttype": "application/json",
    }
    data = {
        "incident": step.incident_id,
        "playbook": step.playbook,
        "target": step.target,
        "step": step.kind,
        **step.data,
    }
    message = to_binary(CloudEvent(attributes, data), _FORMAT, lambda event: step.incident_id)
    headers = tuple(message.headers.items())
    return Record(step.id, step.incident_id.encode(), message.value, headers)


def _bind(outlets: Outlets) -> Sink | None:
    return KafkaSink(outlets.kafka) if outlets.kafka else None


SINK = SinkKind("kafka", _bind)
