"""Which playbooks explain which: while Kafka is down, late data is its
effect, and nothing of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Causes:
    """Playbook -> the playbooks that explain it, within one namespace.
    Nothing explains itself, over any detour.
    """

    explained_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, playbook: str) -> tuple[str, ...]:
        """What explains this playbook."""
        return self.explained_by.get(playbook, ())

    def effects(self, playbook: str) -> tuple[str, ...]:
        """What this playbook explains."""
        return tuple(e for e, causes in self.explained_by.items() if playbook in causes)
