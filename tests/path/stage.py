"""A platform for courses: three services and a database, each with a count,
and every effect counted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.act.kind import Deed, Permit, TargetState
from service.act.restore_database import RestoreDatabase
from service.act.rollout_restart import RolloutRestart
from service.act.scale import Scale
from service.diagnose.chapters.outage import OutageEvidence
from service.diagnose.chapters.recovery import RecoveryEvidence
from service.diagnose.probes.backups import Backups
from service.diagnose.probes.database_rows import DatabaseRows
from service.diagnose.probes.dependencies import Dependencies
from service.diagnose.probes.endpoints import Endpoints
from service.diagnose.probes.outage import Outage
from service.diagnose.probes.overview import Workloads
from service.diagnose.probes.volumes import Volumes
from service.kit.clock import VirtualClock
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, Mode
from service.model.course import CourseStep
from service.model.evidence import Evidence, Known, Reading, Unknown
from service.model.objects import Seen, Survey, Write
from service.model.playbook import Playbook
from service.model.reasons import Reason
from tests.path.world import World
from tests.unit.made import NAMESPACE

SERVICES = ("normalization-service", "enrichment-service", "aggregation-service")
BACKUP = "carbon-20260101"
RESTORED_ROWS = 1_000


def _nothing(intent: Intent[Any]) -> None:
    return None


@dataclass
class Stage:
    """What is acted on. `down`: pods are there, and not one of them is ready."""

    clock: VirtualClock
    replicas: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SERVICES, 2))
    down: set[str] = field(default_factory=lambda: set(SERVICES))
    mended_by_restart: bool = True
    kafka_down: bool | None = False  # None: not known
    rows: int = 0
    rows_lost: int = 0  # after the restore
    good_backups: int = 1
    restore_polls: int = 2  # how often it is asked before it is done
    effects: list[tuple[str, str]] = field(default_factory=list)  # (action id, sentence)
    before_apply: Callable[[Intent[Any]], None] = _nothing  # may raise, before the effect
    after_apply: Callable[[Intent[Any]], None] = _nothing  # may raise, after it
    uid: dict[str, str] = field(
        default_factory=dict
    )  # of a name, where it is another than at first
    surveys: Any = None

    def __post_init__(self) -> None:
        self.surveys = self._surveys
        self._asked: dict[str, int] = {}

    @property
    def done(self) -> list[str]:
        """What was done, as a person would say it, in its order."""
        return [sentence for _, sentence in self.effects]

    async def apply(self, permit: Permit[Any]) -> Deed:
        intent, request = permit.intent, permit.intent.request
        self.before_apply(intent)
        if intent.mode is Mode.DRY_RUN:
            return Deed(Applied.DRY, Reason.MODE_DRY_RUN, "the server would take it")
        if isinstance(request, RestoreDatabase) and intent.action_id in self._asked:
            return self._restoring(intent)
        if self._state(intent) is TargetState.UNTOUCHED:
            await permit.confirm()
            self.effects.append((intent.action_id, str(request)))
            match request:
                case Scale():
                    self.replicas[request.target.name] = request.to_replicas
                case RolloutRestart() if self.mended_by_restart:
                    self.down.discard(request.target.name)
                case RestoreDatabase():
                    self._asked[intent.action_id] = 0
                    self.after_apply(intent)
                    return self._restoring(intent)
                case _:
                    pass
        elif self._state(intent) is TargetState.CHANGED:
            return Deed(Applied.FAILED, Reason.TARGET_CHANGED, "another count")
        self.after_apply(intent)
        return Deed(Applied.DONE, Reason.DONE, "taken")

    def _restoring(self, intent: Intent[Any]) -> Deed:
        self._asked[intent.action_id] += 1
        if self._asked[intent.action_id] <= self.restore_polls:
            return Deed(Applied.STARTED, Reason.IN_PROGRESS, "restoring", 1.0)
        self.rows = RESTORED_ROWS
        return Deed(Applied.DONE, Reason.DONE, "restored")

    async def read_back(self, intent: Intent[Any], deadline: Deadline) -> TargetState:
        return self._state(intent)

    def _state(self, intent: Intent[Any]) -> TargetState:
        match intent.request:
            case RestoreDatabase() if intent.action_id in self._asked:
                over = self._asked[intent.action_id] > self.restore_polls
                return TargetState.APPLIED if over else TargetState.UNDER_WAY
            case Scale(target=target, from_replicas=seen, to_replicas=wanted):
                count = self.replicas[target.name]
                if count == wanted:
                    return TargetState.APPLIED
                return TargetState.UNTOUCHED if count == seen else TargetState.CHANGED
            case _:
                pass  # of the rest, what was done is what counts
        done = any(intent.action_id == action_id for action_id, _ in self.effects)
        return TargetState.APPLIED if done else TargetState.UNTOUCHED

    def _surveys(self, writes: Sequence[Write]) -> Reading[tuple[Survey, ...]]:
        found = tuple(
            Survey(
                ref,
                self.uid.get(ref.name, f"uid-{ref.name}"),
                values={write.key: write.value for write in writes if write.ref == ref},
            )
            for ref in dict.fromkeys(write.ref for write in writes)
        )
        return Known(found, "platform", self.clock.now(), 0.0)

    def settled(self, step: CourseStep) -> bool:
        return step.target.name not in self.down or step.kind == "scale_to"

    def see(self, world: World, playbook: Playbook) -> Evidence:
        """The evidence of the two chapters."""
        return self.outage() if playbook.diagnose == "outage" else self.recovery()

    def outage(self) -> OutageEvidence:
        down = tuple(name for name in SERVICES if name in self.down)
        services = Outage((), down, (), len(down) == len(SERVICES), not down, "")
        gone = ("StatefulSet/kafka",) if self.kafka_down else ()
        needed = Dependencies((), gone, (), not gone)
        return OutageEvidence(
            target=self._known(Seen("uid-normalization-service", 1)),
            dependencies=self._unknown() if self.kafka_down is None else self._known(needed),
            services=self._known(services),
            health=self._known(Endpoints(not down, down, 0.1, (), {})),
        )

    def recovery(self) -> RecoveryEvidence:
        counts = {f"Deployment/{name}": count for name, count in self.replicas.items()}
        low = tuple(name for name, count in counts.items() if not count)
        named = f"Disk('backups', '{BACKUP}')" if self.good_backups else ""
        saved = Backups(
            "backups", True, 10**9, 0, self.good_backups, named, self.clock.now(), 60.0, 10**6, 0,
            "", 0, (),
        )  # fmt: skip
        rows = max(0, self.rows - (self.rows_lost if all(self.replicas.values()) else 0))
        return RecoveryEvidence(
            target=self._known(Seen("uid-clickhouse", 1)),
            backups=self._known(saved),
            data=self._known(DatabaseRows("carbon_ingestion", 3 if self.rows else 0, rows)),
            workloads=self._known(Workloads((), low, (), counts)),
            volumes=self._known(Volumes((), (), (), (), (), True, "", None)),
            health=self._known(Endpoints(not low, low, 0.1, (), {})),
        )

    def _known(self, value: Any) -> Known[Any]:  # Any: evidence of every shape
        return Known(value, "stage", self.clock.now(), 0.0)

    def _unknown(self) -> Unknown:
        return Unknown(Reason.LATE, "stage", self.clock.now(), 1.0, "no answer in time")


OUTAGE_LABELS = {
    "alertname": "PlatformOutage",
    "namespace": NAMESPACE,
    "remediate": "true",
    "severity": "critical",
}
