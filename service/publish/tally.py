"""Counts what the guards have ruled, for good: a receiver of the journal inside the store itself.

Prometheus cannot be asked what a counter would have said had the process not died; the store can.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from service.kit.deadline import Deadline
from service.model.journal import JournalEntry
from service.publish.sink import Outlets, Sink, SinkKind
from service.store.tallies import Count, Tallies

RULINGS = "rulings"
ESCALATIONS = "escalations"


@dataclass(frozen=True, slots=True)
class TallySink:
    """One more for each ruling, and for each incident that was escalated."""

    tallies: Tallies
    name: str = field(default="tally", init=False)

    async def deliver(self, steps: Sequence[JournalEntry], deadline: Deadline) -> None:
        counts = [count for step in steps if (count := counted(step)) is not None]
        await self.tallies.add(counts, steps[-1].id)


def counted(step: JournalEntry) -> Count | None:
    """What a step counts as; a look that was repeated without change counts once."""
    data, kind = step.data, step.target.split("/")[0]
    about = {"playbook": step.playbook, "target_kind": kind}
    match step.kind:
        case "ruled":
            ruled = {name: str(data[name]) for name in ("rung", "verdict", "guard", "reason")}
            return Count(step.id, RULINGS, {**about, **ruled})
        case "moved" if data["state"] == "escalated" != data.get("was"):
            return Count(step.id, ESCALATIONS, {**about, "reason": str(data["reason"])})
    return None


def _bind(outlets: Outlets) -> Sink | None:
    return TallySink(outlets.tallies) if outlets.tallies else None


SINK = SinkKind("tally", _bind, from_the_first=True)
