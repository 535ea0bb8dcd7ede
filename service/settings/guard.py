"""Limits over all playbooks."""

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from service.model.limits import (
    AttemptLimits,
    BlastLimits,
    BreakerLimits,
    CanaryLimits,
    PeopleLimits,
)
from service.model.playbook import Budget
from service.settings.fields import Group, listed

_BLAST, _PEOPLE, _CANARY = BlastLimits(), PeopleLimits(), CanaryLimits()
_BREAKER, _ATTEMPTS = BreakerLimits(), AttemptLimits()
LONGEST_S = 7 * 86_400.0  # as far as the ledger is looked back


class GuardSettings(Group):
    """Limits over all playbooks. A playbook's own limits can only be tighter."""

    namespaces: Annotated[tuple[str, ...], NoDecode, BeforeValidator(listed)] = Field(
        ("carbon-ingestion",),
        description="Namespaces that may be acted on, with commas between them. Others are refused.",
    )
    protected: Annotated[tuple[str, ...], NoDecode, BeforeValidator(listed)] = Field(
        ("kube-system", "kube-public", "kube-node-lease"),
        description="Never acted on: `NAMESPACE` or `NAMESPACE/NAME`, `*` allowed. Paramedic's own namespace and its "
        "store's are always among them.",
    )
    own_namespace: str = Field(
        "", description="Paramedic's own namespace; empty: as its service account says."
    )
    namespace_count: int = Field(10, gt=0, description="Actions in one namespace ...")
    namespace_window_s: float = Field(
        3600.0, gt=0, le=LONGEST_S, description="... in this many seconds, at most seven days."
    )
    overall_count: int = Field(20, gt=0, description="Actions of all playbooks together ...")
    overall_window_s: float = Field(
        3600.0, gt=0, le=LONGEST_S, description="... in this many seconds, at most seven days."
    )
    evidence_max_age_s: float = Field(60.0, gt=0, description="Older evidence argues for nothing.")

    approval_expires_s: float = Field(
        1800.0,
        gt=0,
        description="How long a proposal waits for a yes, where its playbook says nothing.",
    )
    veto_s: float = Field(
        600.0,
        gt=0,
        description="How long a proposal waits for a no under `veto`, where its playbook says nothing.",
    )
    clock_hold_s: float = Field(
        600.0, ge=0, description="No action for this long after the wall clock has jumped."
    )

    blast_share_percent: float = Field(
        _BLAST.share_percent, gt=0, le=100,
        description="Share of a namespace's workloads under treatment at once; one may always be.",
    )  # fmt: skip
    blast_targets: int = Field(
        _BLAST.targets, gt=0, description="Targets under treatment at once, in all namespaces."
    )
    min_ready: int = Field(
        _BLAST.min_ready,
        ge=0,
        description="Pods of a target that stay ready, whatever is done to it.",
    )
    person_rest_s: float = Field(
        _PEOPLE.rest_s, ge=0, description="An object that a person changed is let be for this long."
    )
    person_managers: Annotated[tuple[str, ...], NoDecode, BeforeValidator(listed)] = Field(
        _PEOPLE.managers, description="Field managers that are persons' tools, `*` allowed."
    )
    canary_window_s: float = Field(
        _CANARY.window_s, ge=0, le=LONGEST_S,
        description="How long the outcome of a playbook's first target speaks for its others; 0: no canary.",
    )  # fmt: skip
    breaker_opened: int = Field(
        _BREAKER.opened, gt=0, description="More new incidents than this ..."
    )
    breaker_window_s: float = Field(
        _BREAKER.window_s, gt=0, le=LONGEST_S, description="... in this many seconds, and nothing is acted on ..."
    )  # fmt: skip
    breaker_cooldown_s: float = Field(
        _BREAKER.cooldown_s, gt=0, le=LONGEST_S,
        description="... for this long, or until a person lifts it (`paramedic breaker lift`).",
    )  # fmt: skip
    attempts_rung: int = Field(
        _ATTEMPTS.rung_failures, gt=0, le=100,
        description="A rung that healed nothing this often in a row on a target stops the ladder.",
    )  # fmt: skip
    attempts_returns: int = Field(
        _ATTEMPTS.returns, gt=0, le=10,
        description="A target that was healed this often and is ill again stops the ladder.",
    )  # fmt: skip
    attempts_playbook: int = Field(
        _ATTEMPTS.playbook_failures, gt=0, le=100,
        description="A playbook that healed nothing this often in a row, on any target, stops.",
    )  # fmt: skip
    attempts_window_s: float = Field(
        _ATTEMPTS.window_s, gt=0, le=LONGEST_S, description="As far as these three look back."
    )

    @property
    def in_namespace(self) -> Budget:
        return Budget(self.namespace_count, self.namespace_window_s)

    @property
    def blast(self) -> BlastLimits:
        return BlastLimits(self.blast_share_percent, self.blast_targets, self.min_ready)

    @property
    def persons(self) -> PeopleLimits:
        return PeopleLimits(self.person_rest_s, self.person_managers)

    @property
    def canary(self) -> CanaryLimits:
        return CanaryLimits(self.canary_window_s)

    @property
    def breaker(self) -> BreakerLimits:
        return BreakerLimits(self.breaker_opened, self.breaker_window_s, self.breaker_cooldown_s)

    @property
    def attempts(self) -> AttemptLimits:
        return AttemptLimits(
            self.attempts_rung,
            self.attempts_returns,
            self.attempts_playbook,
            self.attempts_window_s,
        )

    @property
    def overall(self) -> Budget:
        return Budget(self.overall_count, self.overall_window_s)
