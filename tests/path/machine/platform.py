"""What is acted on, and a world whose diagnosis and surveys come from it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.act.kill_query import KillQuery
from service.act.kind import Deed, Permit, TargetState
from service.act.scale import Scale
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, Mode
from service.model.errors import Indeterminate, Refused, Unavailable
from service.model.evidence import Evidence, Known, Reading
from service.model.incident import Incident
from service.model.objects import Survey, Write
from service.model.playbook import Playbook
from service.model.reasons import Reason
from tests.path.world import Crash, World
from tests.unit.made import evidence

WORKLOADS = ("normalization-service", "enrichment-service")
STORM = tuple(f"storm-{n}" for n in range(6))  # workloads that are never acted on

FAULTS = (
    "unreachable", "throttled", "refused", "crash before", "crash after", "lost before", "lost after",
    "late before", "late after", "started",
)  # fmt: skip


async def _nothing() -> None:
    return None


async def _anything(intent: Intent[Any]) -> None:
    return None


@dataclass
class Thing:
    """One workload as it stands."""

    replicas: int = 2
    needs: int = 3  # so many heal it
    uid: str = "uid-1"
    runaway: bool = False
    view: str = "as it is"  # what a diagnosis sees: as it is, unknown, worse, healthy, a bug

    @property
    def well(self) -> bool:
        return self.replicas >= self.needs and not self.runaway


@dataclass
class Platform:
    """The hand of every kind, with faults in the order in which calls meet them.

    `meanwhile` happens once, while the next write is on its way;
    `may` is asked at the moment of each write.
    """

    things: dict[str, Thing] = field(default_factory=lambda: {name: Thing() for name in WORKLOADS})
    faults: list[str] = field(default_factory=list)
    effects: dict[str, Intent[Any]] = field(default_factory=dict)
    meanwhile: Callable[[], Awaitable[None]] = _nothing
    may: Callable[[Intent[Any]], Awaitable[None]] = _anything

    def _fault(self) -> str:
        return self.faults.pop(0) if self.faults else ""

    async def apply(self, permit: Permit[Any]) -> Deed:
        intent, fault = permit.intent, self._fault()
        before = {
            "unreachable": Unavailable(Reason.UNREACHABLE, "connection refused"),
            "throttled": Unavailable(Reason.THROTTLED, "429", retry_after_s=7.0),
            "refused": Refused(Reason.FORBIDDEN, "no", 403),
            "crash before": Crash(),
            "lost before": Indeterminate("no reply"),
            "late before": Unavailable(Reason.LATE, "no answer"),
        }
        if fault in before:
            raise before[fault]
        if intent.mode is Mode.DRY_RUN:
            return Deed(Applied.DRY, Reason.MODE_DRY_RUN, "the server would take it")
        thing = self.things[intent.request.target.name]
        if intent.uids and thing.uid not in intent.uids.values():
            return Deed(Applied.FAILED, Reason.TARGET_REPLACED, "another one")
        said, self.meanwhile = self.meanwhile, _nothing
        await said()
        await permit.confirm()
        await self.may(intent)
        self.effects[intent.action_id] = intent
        match intent.request:
            case Scale() as scale:
                thing.replicas = scale.to_replicas
            case KillQuery():
                thing.runaway = False
            case other:
                raise AssertionError(f"no rung of these playbooks makes {other}")
        after = {
            "crash after": Crash(),
            "lost after": Indeterminate("no reply"),
            "late after": Unavailable(Reason.LATE, "no answer"),
        }
        if fault in after:
            raise after[fault]
        if fault == "started":
            return Deed(Applied.STARTED, Reason.DONE, "it goes on", 5.0)
        return Deed(Applied.DONE, Reason.DONE, "taken")

    async def read_back(self, intent: Intent[Any], deadline: Deadline) -> TargetState:
        match self._fault():
            case "unreachable" | "throttled" | "late before" | "late after":
                raise Unavailable(Reason.UNREACHABLE, "connection refused")
            case "refused":
                raise Refused(Reason.FORBIDDEN, "no", 403)
            case "crash before" | "crash after":
                raise Crash
            case _:  # no fault, or one that only a write meets
                pass
        thing = self.things[intent.request.target.name]
        if intent.uids and thing.uid not in intent.uids.values():
            return TargetState.REPLACED
        match intent.request:
            case Scale() as scale if thing.replicas == scale.to_replicas:
                return TargetState.APPLIED
            case Scale() as scale if thing.replicas != scale.from_replicas:
                return TargetState.CHANGED
            case KillQuery() if not thing.runaway:
                return TargetState.APPLIED
        return TargetState.UNTOUCHED


@dataclass
class Simulated(World):
    """A world whose diagnosis and surveys come from the platform's things.

    `meanwhile` happens once, while the next diagnosis goes on.
    """

    seen: dict[str, str] = field(default_factory=dict)  # incident -> view of its last diagnosis
    looked_at: dict[str, float] = field(default_factory=dict)  # incident -> when, monotonic
    meanwhile: Callable[[], Awaitable[None]] = _nothing
    replaced_while_looking: bool = False

    async def diagnose(self, playbook: Playbook, incident: Incident) -> Evidence:
        thing, now = self.platform.things[incident.target.name], self.clock.now()
        uid = thing.uid
        said, self.meanwhile = self.meanwhile, _nothing
        await said()
        if self.replaced_while_looking:
            self.replaced_while_looking, thing.uid = False, thing.uid + "'"
        self.seen[incident.id] = thing.view
        self.looked_at[incident.id] = self.clock.monotonic()
        healthy = thing.view == "healthy" or (thing.view == "as it is" and thing.well)
        if thing.view == "a bug":
            raise ZeroDivisionError("a bug")
        ready = 0 if thing.view == "worse" else thing.replicas
        changes: dict[str, Mapping[str, Any]] = {
            "target": {"uid": uid},
            "pods": {"desired": thing.replicas, "ready": ready},
        }
        if healthy:
            changes["kafka"] = {"lag_total": 10, "lag_growing": False}
        if thing.runaway:
            changes["clickhouse"] = {"longest_query_s": 600.0, "longest_query_id": "q1"}
        unknown = ["kafka", "clickhouse", "pods"] if thing.view == "unknown" else []
        return evidence(now, unknown=[*unknown, "series"], **changes)

    async def survey(self, writes: Sequence[Write]) -> Reading[tuple[Survey, ...]]:
        found = tuple(
            Survey(
                write.ref,
                self.platform.things[write.ref.name].uid,
                values={".".join(write.path): self.platform.things[write.ref.name].replicas},
            )
            for write in writes
        )
        return Known(found, "platform", self.clock.now(), 0.0)
