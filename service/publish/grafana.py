"""Each remediation as a region on Grafana's dashboards: from the intent to the outcome.

The region is posted when the intent is durable and amended when the outcome is; the tag
`rid:` with the action's id is how it is found again, and `incident:` how the dashboard of one
incident finds all of its own. What is still running has no end, which Grafana draws as a line.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Protocol

from service.clients.grafana import MAX_TAGS, Annotation, Posted
from service.kit.deadline import Deadline
from service.model.action import Mode
from service.model.journal import JournalEntry
from service.model.ruling import Verdict
from service.publish.sink import Outlets, Sink, SinkKind

_AT_ONCE = 8  # actions told side by side: a Grafana far away answers slowly, and bears this easily
_LONGEST = 500  # characters of one line
_RUNNING = "outcome:running"


class Annotations(Protocol):
    """What this sink asks of Grafana; the two APIs differ behind it."""

    async def find(self, tag: str, *, deadline: Deadline) -> Posted | None: ...

    async def add(self, annotation: Annotation, *, deadline: Deadline) -> None: ...

    async def amend(
        self, posted: Posted, annotation: Annotation, *, deadline: Deadline
    ) -> None: ...


@dataclass(slots=True)
class Remediation:
    """What a batch tells of one action: where it began, where it ended, or both."""

    action_id: str
    began: JournalEntry | None = None
    ended: JournalEntry | None = None


@dataclass(frozen=True, slots=True)
class GrafanaSink:
    """Annotations by tag: `remediation`, `playbook:`, `rung:`, `outcome:`, `namespace:`,
    `incident:` and `rid:`.
    """

    annotations: Annotations
    outlets: Outlets
    name: str = field(default="grafana", init=False)

    async def deliver(self, steps: Sequence[JournalEntry], deadline: Deadline) -> None:
        limit = asyncio.Semaphore(_AT_ONCE)
        failures: list[Exception] = []

        async def one(remediation: Remediation) -> None:
            async with limit:
                try:
                    await self._tell(remediation, deadline)
                except Exception as error:  # noqa: BLE001 - raised below, when the others are told
                    failures.append(error)

        told = [*remediations(steps)]
        async with asyncio.TaskGroup() as tasks:
            async for remediation in self.outlets.spread(told, steps):
                tasks.create_task(one(remediation))
        if failures:
            raise failures[0]

    async def _tell(self, of: Remediation, deadline: Deadline) -> None:
        posted = await self.annotations.find(f"rid:{of.action_id}", deadline=deadline)
        if posted is None:
            await self.annotations.add(self._annotation(of, ""), deadline=deadline)
        elif of.ended is not None and _RUNNING in posted.tags:
            amended = self._annotation(of, posted.text)
            await self.annotations.amend(posted, amended, deadline=deadline)

    def _annotation(self, of: Remediation, text: str) -> Annotation:
        """`text` is what stands there already."""
        told = of.began or of.ended
        if told is None:
            raise ValueError("a remediation that nothing tells of")
        outcome = str(of.ended.data["outcome"]["kind"]) if of.ended else ""
        lines = [text] if text else _began(told, self.outlets.link(told.incident_id))
        if of.ended:
            lines += _ended(of.ended)
        return Annotation(
            told.at,
            _end(told.at, of.ended),
            tags(told, of.action_id, outcome or "running"),
            "<br>\n".join(lines),
        )


def remediations(steps: Iterable[JournalEntry]) -> Iterable[Remediation]:
    """The actions that steps tell of, in their order. What was only tried out,
    or only proposed, is none.
    """
    found: dict[str, Remediation] = {}
    for step in steps:
        action_id = step.data.get("action_id")
        if not action_id or step.data.get("mode", Mode.AUTO) in (Mode.OBSERVE, Mode.DRY_RUN):
            continue
        if step.kind == "ruled" and step.data["verdict"] == Verdict.ALLOW:
            found.setdefault(action_id, Remediation(action_id)).began = step
        elif step.kind == "verified":
            found.setdefault(action_id, Remediation(action_id)).ended = step
    return found.values()


def tags(told: JournalEntry, action_id: str, outcome: str) -> Sequence[str]:
    """The tags, within what Grafana takes of them together; `rid:` comes first and is never cut."""
    namespace = told.target.split("/")[1]
    named = {
        "outcome": outcome,
        "incident": told.incident_id,
        "playbook": told.playbook,
        "rung": str(told.data["rung"]),
        "namespace": namespace,
    }
    found = ["remediation", f"rid:{action_id}"]
    for name, value in named.items():
        tag = f"{name}:{value}"[:100]
        if len(json.dumps([*found, tag])) <= MAX_TAGS:
            found.append(tag)
    return found


def _began(told: JournalEntry, link: str | None) -> list[str]:
    data: Mapping[str, object] = told.data
    rung = f"rung {data['rung']} of {told.playbook}"
    why = f"why: {data['why']}" if data.get("why") else ""
    incident = escape(told.incident_id)
    page = f'<a href="{escape(link)}">{incident}</a>' if link else incident
    lines = [str(data.get("action") or rung), f"{rung} for {told.target}", why]
    return [*(escape(line[:_LONGEST]) for line in lines if line), f"incident {page}"]


def _ended(told: JournalEntry) -> list[str]:
    outcome = told.data["outcome"]
    said = f"outcome: {outcome['kind']} ({outcome['reason']}) {outcome.get('detail') or ''}"
    return [escape(said[:_LONGEST].strip())]


def _end(began_at: datetime, ended: JournalEntry | None) -> datetime | None:
    return max(ended.at, began_at) if ended else None


def _bind(outlets: Outlets) -> Sink | None:
    return GrafanaSink(outlets.grafana, outlets) if outlets.grafana else None


SINK = SinkKind("grafana", _bind)
