"""Publishing: what the journal tells, delivered to receivers outside.
Never on the path of an incident.

Lives here: `SINKS`, the sinks by name; the contract in `sink.py`; the follower that reads the
steps behind a cursor of each sink's own. A new sink is a file, a line below, and its tests.
Never here: a step that is not in the store.
"""

from collections.abc import Mapping
from typing import TypeAlias

from service.model.action import Permission
from service.publish import escalation, grafana, kafka, kube_events, tally
from service.publish.sink import SinkKind

Sinks: TypeAlias = Mapping[str, SinkKind]

_ALL: tuple[SinkKind, ...] = (
    tally.SINK,
    grafana.SINK,
    kube_events.SINK,
    kafka.SINK,
    escalation.SINK,
)

SINKS: Sinks = {kind.name: kind for kind in _ALL}


def needs(sinks: Sinks = SINKS) -> tuple[Permission, ...]:
    """What all sinks need on the Kubernetes API."""
    return tuple(need for kind in sinks.values() for need in kind.needs)
