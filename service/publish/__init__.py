"""Publishing: what the journal tells, delivered to receivers outside. Never on the path of an incident.

Lives here: `SINKS`, the sinks by name; the contract in `sink.py`; the follower that reads the steps behind a cursor
of each sink's own. A new sink is a file, a line below, and its tests. Never here: a step that is not in the store.
"""

from collections.abc import Mapping
from typing import TypeAlias

from service.publish import escalation
from service.publish.sink import SinkKind

Sinks: TypeAlias = Mapping[str, SinkKind]

_ALL: tuple[SinkKind, ...] = (escalation.SINK,)

SINKS: Sinks = {kind.name: kind for kind in _ALL}
