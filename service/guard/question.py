"""What a guard is asked, and how it says no."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

from service.model.action import Mode
from service.model.alert import Standing
from service.model.control import NOTHING_SAID, Control
from service.model.evidence import Known, Reading, Unknown
from service.model.limits import (
    AttemptLimits,
    BlastLimits,
    BreakerLimits,
    CanaryLimits,
    PeopleLimits,
)
from service.model.objects import Surroundings, Survey
from service.model.playbook import CONSENT, Budget, ConsentPlan, Limits
from service.model.reasons import Reason
from service.model.ruling import History, Proposal
from service.model.target import Target


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits over all playbooks. `control` is what people have said about all actions.

    `clock_sound_at`: the wall clock has stepped, and is trusted again then.
    """

    ceiling: Mode
    namespaces: Sequence[str]
    overall: Budget
    evidence_max_age_s: float
    heard_within_s: float
    clock_sound_at: datetime | None = None
    protected: Sequence[str] = ("kube-system",)  # NAMESPACE or NAMESPACE/NAME, with wildcards
    in_namespace: Budget = field(default_factory=lambda: Budget(10, 3600.0))
    blast: BlastLimits = field(default_factory=BlastLimits)
    persons: PeopleLimits = field(default_factory=PeopleLimits)
    canary: CanaryLimits = field(default_factory=CanaryLimits)
    breaker: BreakerLimits = field(default_factory=BreakerLimits)
    attempts: AttemptLimits = field(default_factory=AttemptLimits)
    control: Control = NOTHING_SAID
    expires_s: float = 1800.0  # how long a proposal waits for a yes, and for a no
    veto_s: float = 600.0
    people: bool = False  # somebody is configured who could say yes or no
    setting: Mode | None = (
        None  # the ceiling as the settings have it, where people have set another
    )

    def under(self, control: Control) -> "Policy":
        """The limits with what people have said."""
        setting = self.setting or self.ceiling
        return replace(self, ceiling=control.mode(setting), control=control, setting=setting)


@dataclass(frozen=True, slots=True)
class Question:
    """All that a guard may look at. `surveys` are the objects that the
    request writes, read just now.

    `around` is what stands around the target; None where the action touches nothing of Kubernetes.
    """

    proposal: Proposal
    target: Target
    limits: Limits
    policy: Policy
    history: History
    seen_uid: str | None  # of the target, as the evidence has it
    surveys: Reading[tuple[Survey, ...]]
    now: datetime
    diagnose_only: bool = False  # the alerts themselves ask for no more than a look
    standing: Reading[Standing] | None = None  # of its alerts; None: no Alertmanager is configured
    returning: bool = False  # it takes back what did not help: see chain.NOT_FOR_RETURNS
    labels: Sequence[
        Mapping[str, str]
    ] = ()  # of the alerts that fire, and what Paramedic made of them
    plan: ConsentPlan = CONSENT  # how long a proposal of the rung waits
    consent: Mode | None = (
        None  # the lowest mode that is content with what people said, or did not say
    )
    around: Reading[Surroundings] | None = None
    playbook: str = ""

    @property
    def mode(self) -> Mode:
        """The rung's mode under the global ceiling, and under what the alerts ask for."""
        mode = self.proposal.mode.capped(self.policy.ceiling)
        if self.consent is Mode.APPROVE and mode is Mode.VETO:
            return Mode.APPROVE  # somebody said yes, and need not be heard to say no
        return Mode.OBSERVE if self.diagnose_only else mode

    @property
    def known_surveys(self) -> tuple[Survey, ...]:
        """The surveys, or none where they are Unknown."""
        return self.surveys.value if isinstance(self.surveys, Known) else ()

    @property
    def unknown(self) -> Unknown | None:
        """Why the surveys are Unknown, where they are."""
        return self.surveys if isinstance(self.surveys, Unknown) else None


@dataclass(frozen=True, slots=True)
class Objection:
    """A guard's no. `retry_at` is when asking again makes sense; None: not by itself."""

    reason: Reason
    detail: str
    retry_at: datetime | None = None


Guard: TypeAlias = Callable[[Question], Objection | None]
