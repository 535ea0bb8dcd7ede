"""What a scenario is: what breaks, which alert says so, and how it is to end.

Never here: one scenario; servers; waiting.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from rehearsal.scenarios.rules import Fired
from rehearsal.scenarios.world import World

Json: TypeAlias = Mapping[str, Any]  # Any: JSON of the API


@dataclass(frozen=True, slots=True)
class Healed:
    """An action of this rung healed it, and the incident closed with its alert."""

    rung: str

    def came(self, record: Json) -> bool:
        done = [(a["rung"], a["outcome"]) for a in record["actions"]]
        return (record["state"], record["outcome"]) == ("closed", "healed") and (
            self.rung,
            "healed",
        ) in done

    def __str__(self) -> str:
        return f"healed by {self.rung}"


@dataclass(frozen=True, slots=True)
class HandedOver:
    """A person was called by this rung, in words that name what is wrong; nothing was written."""

    rung: str
    naming: str

    def came(self, record: Json) -> bool:
        calls = [s for s in record["steps"] if s["step"] == "called" and s["rung"] == self.rung]
        return any(self.naming in call["say"] for call in calls) and not record["actions"]

    def __str__(self) -> str:
        return f"handed over by {self.rung}, naming {self.naming}"


@dataclass(frozen=True, slots=True)
class Proposed:
    """The action of this rung waits for a person's yes; nothing was written."""

    rung: str

    def came(self, record: Json) -> bool:
        ruled = [s for s in record["steps"] if s["step"] == "ruled" and s["rung"] == self.rung]
        asked = any(s["reason"] == "approval_required" for s in ruled)
        return asked and not record["actions"]

    def __str__(self) -> str:
        return f"{self.rung} proposed to a person"


@dataclass(frozen=True, slots=True)
class Approved:
    """A person said yes to the action of this rung; it was looked at once more, and done."""

    rung: str

    def came(self, record: Json) -> bool:
        steps = [(s["step"], s.get("answer")) for s in record["steps"]]
        done = [(a["rung"], a["mode"], a["applied"]) for a in record["actions"]]
        return ("answered", "approved") in steps and (self.rung, "approve", "done") in done

    def __str__(self) -> str:
        return f"{self.rung} done after a person's yes"


@dataclass(frozen=True, slots=True)
class TakenBack:
    """The action of this rung made it worse, what it changed went back,
    and a person has both in the record.
    """

    rung: str

    def came(self, record: Json) -> bool:
        done = [
            (a["rung"], a["outcome"], a["outcome_reason"], a["returns"]) for a in record["actions"]
        ]
        if record["state"] != "escalated" or len(done) != 2:
            return False
        first = record["actions"][0]["action_id"]
        return done == [
            (self.rung, "worse", "readings_worse", None),
            (self.rung, "not_healed", "returned", first),
        ]

    def __str__(self) -> str:
        return f"{self.rung} made it worse and was taken back"


@dataclass(frozen=True, slots=True)
class Found:
    """`paramedic diagnose` names each of these, worst first. No alert fires, nothing is decided."""

    findings: tuple[str, ...]

    def came(self, found: Json) -> bool:
        told = [f["what"] for f in found["findings"]]
        places = [
            next((n for n, t in enumerate(told) if wanted in t), -1) for wanted in self.findings
        ]
        return -1 not in places and places == sorted(places)

    def __str__(self) -> str:
        return f"told, the worst first: {'; '.join(self.findings)}"


End: TypeAlias = Healed | HandedOver | Proposed | Approved | TakenBack | Found


async def always(_: World) -> bool:
    """Of what a person has to mend: its alert goes on."""
    return True


async def nothing(_: World) -> None:
    """The world is as it has to be."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way to break the demo's world.

    `servers` are those of world.py that are started beside the cluster.
    `prepares` a healthy world before Paramedic starts, `wrecks` breaks it,
    `ill` says whether the rule of the alert would still hold.
    """

    name: str  # of `make demo SCENARIO=`
    row: str  # of rules/coverage.yaml
    breaks: str  # what breaks, a sentence
    does: str  # what Paramedic does, a sentence
    end: End
    wrecks: Callable[[World], Awaitable[None]]
    fired: Fired | None = None  # without it nothing fires: a person asks
    prepares: Callable[[World], Awaitable[None]] = nothing
    ill: Callable[[World], Awaitable[bool]] = always
    # What people do, at a URL, again and again; without an alert it is they who begin.
    speaks: Callable[[str, World], Awaitable[None]] | None = None
    servers: frozenset[str] = field(default_factory=frozenset)
