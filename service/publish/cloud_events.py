"""A step as a CloudEvent in Kafka's binary mode: attributes are headers,
the value is the step as JSON.

Never here: sending it.
"""

from cloudevents.core.bindings.kafka import to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from service.clients.kafka_write import Record
from service.model.journal import JournalEntry

_TYPE = "io.paramedic.step"
_FORMAT = JSONFormat()


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
