"""Kubernetes Events on the objects that an action is about:
what was done to them, and whether it helped.

Each Event is one action's and one step's: its name is made of both, so that making it twice is
making it once, and no two are the same, which is what the API would have counted in a series.
The cluster forgets Events after an hour.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from service.clients.kubernetes_events import KubernetesEvents
from service.kit.deadline import Deadline
from service.model.action import Applied, Mode, Permission
from service.model.incident import OutcomeKind
from service.model.journal import JournalEntry
from service.model.reasons import Reason
from service.publish.sink import Outlets, Sink, SinkKind
from service.store.history import NOT_TRIED

_CONTROLLER = "paramedic"
_LONGEST_NOTE = 1024  # characters, or the server refuses it
_REASONS: Mapping[str, tuple[str, str]] = {
    OutcomeKind.HEALED: ("Normal", "RemediationHealed"),
    OutcomeKind.NOT_HEALED: ("Warning", "RemediationNotHealed"),
    OutcomeKind.WORSE: ("Warning", "RemediationWorse"),
    OutcomeKind.REVERTED: ("Warning", "RemediationReverted"),
    OutcomeKind.INCONCLUSIVE: ("Warning", "RemediationInconclusive"),
}


@dataclass(frozen=True, slots=True)
class Said:
    """What an Event says: type and reason, what was done, and the note."""

    type: str
    reason: str
    action: str
    note: str


@dataclass(frozen=True, slots=True)
class EventSink:
    """An Event for each action that was tried, and one for its outcome."""

    events: KubernetesEvents
    outlets: Outlets
    name: str = field(default="kube_events", init=False)

    async def deliver(self, steps: Sequence[JournalEntry], deadline: Deadline) -> None:
        told = [
            (about["namespace"], event_of(step, said, about, number))
            for step in steps
            if (said := said_of(step)) is not None
            for number, about in enumerate(step.data.get("touched", ()))
            if about["namespace"]
        ]
        async for namespace, event in self.outlets.spread(told, steps):
            await self.events.create(namespace, event, deadline=deadline)


def said_of(step: JournalEntry) -> Said | None:
    """What is to be said of a step; None where nothing was tried on any object."""
    data = step.data
    if data.get("mode", Mode.AUTO) in (Mode.OBSERVE, Mode.DRY_RUN):
        return None
    if step.kind == "acted":
        result = data["result"]
        done = result["applied"] == Applied.DONE
        if not done and result["reason"] in NOT_TRIED:
            return None
        kind = ("Normal", "RemediationApplied") if done else ("Warning", "RemediationFailed")
        tail = "" if done else f": {result['reason']}: {result['detail']}"
        return Said(*kind, _camel(data["action_kind"]), f"{data['action']}{tail}")
    if step.kind == "verified" and (known := _REASONS.get(data["outcome"]["kind"])):
        outcome = data["outcome"]
        if outcome["reason"] == Reason.RETURNED:
            known = ("Normal", "RemediationReturned")
        note = f"rung {data['rung']}: {outcome['kind']} ({outcome['reason']}) {outcome['detail']}"
        return Said(*known, "Verify", note.strip())
    return None


def event_of(
    step: JournalEntry, said: Said, about: Mapping[str, Any], number: int
) -> dict[str, Any]:
    """The Event as core/v1 has it, in its newer form;
    `number` is the object's among those of the step.
    """
    action_id = step.data["action_id"]
    of = f" [{action_id}, {step.playbook}, incident {step.incident_id}]"
    note = said.note[: _LONGEST_NOTE - len(of)] + of
    involved = {
        "apiVersion": about["api"],
        "kind": about["kind"],
        "namespace": about["namespace"],
        "name": about["name"],
    }
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{action_id}.{step.kind}.{number}".lower(),
            "namespace": about["namespace"],
            "labels": {"app.kubernetes.io/managed-by": _CONTROLLER},
        },
        "involvedObject": {**involved, **({"uid": about["uid"]} if about["uid"] else {})},
        "type": said.type,
        "reason": said.reason,
        "action": said.action,
        "message": note,
        "eventTime": _micros(step.at),
        "reportingComponent": _CONTROLLER,
        "reportingInstance": _CONTROLLER,
    }


def _camel(word: str) -> str:
    return "".join(part.capitalize() for part in word.split("_"))


def _micros(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S.%f}Z"  # six digits, or the server refuses it


def _bind(outlets: Outlets) -> Sink | None:
    return EventSink(outlets.events, outlets) if outlets.events else None


SINK = SinkKind("kube_events", _bind, needs=(Permission("", "events", ("create",)),))
