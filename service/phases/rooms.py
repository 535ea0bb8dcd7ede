"""What a step needs: the rooms, handed down by app.py."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from service.act.executor import Executor
from service.act.kind import AnyKind
from service.guard.question import Guard, Policy
from service.incident.lifecycle import Patience
from service.kit.clock import Clock
from service.model.alert import Alert, Standing
from service.model.causes import Causes
from service.model.course import CourseStep
from service.model.evidence import Evidence, Reading
from service.model.incident import Incident
from service.model.objects import Surroundings, Survey, Write
from service.model.playbook import Playbook
from service.model.target import Owner, Target, TargetKind
from service.record.journal import Journal
from service.store.incidents import Incidents
from service.store.ledger import Ledger

# The playbook's chapter, run under its deadline; and the objects that an action
# writes, as they stand now.
Diagnose: TypeAlias = Callable[[Playbook, Incident], Awaitable[Evidence]]
SurveyWrites: TypeAlias = Callable[[Sequence[Write]], Awaitable[Reading[tuple[Survey, ...]]]]
# How alerts stand in Alertmanager now.
AskAlertmanager: TypeAlias = Callable[[Sequence[Alert]], Awaitable[Reading[Standing]]]
# What stands around the target of an action: of its writes,
# and of the names of the pods that it takes away.
LookAround: TypeAlias = Callable[
    [Target, Sequence[Write], Sequence[str]], Awaitable[Reading[Surroundings]]
]
# What a pod belongs to, up to one of some kinds.
FindOwner: TypeAlias = Callable[[Target, Collection[TargetKind]], Awaitable[Reading[Owner]]]
# Whether a step of a course has settled on its target.
HasSettled: TypeAlias = Callable[[CourseStep], Awaitable[Reading[bool]]]


@dataclass(frozen=True, slots=True)
class Attempts:
    """How an action is tried. Seconds: of one attempt, of all while nothing was
    sent, and of reading back.
    """

    one_s: float = 10.0
    all_s: float = 30.0
    unsure_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Rooms:
    """`policy` is asked anew at each step: a ceiling may be lowered while an action is under
    way.
    """

    playbooks: Mapping[str, Playbook]
    causes: Causes
    kinds: Mapping[str, AnyKind]
    diagnose: Diagnose
    survey: SurveyWrites
    around: LookAround
    owner: FindOwner
    settled: HasSettled
    executor: Executor
    incidents: Incidents
    ledger: Ledger
    journal: Journal
    policy: Callable[[], Policy]
    patience: Patience
    attempts: Attempts
    clock: Clock
    chain: Mapping[str, Guard]
    standing: AskAlertmanager | None = None  # None: no Alertmanager is configured
