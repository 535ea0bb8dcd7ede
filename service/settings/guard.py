"""Limits over all playbooks."""

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from service.model.playbook import Budget
from service.settings.fields import Group, listed


class GuardSettings(Group):
    """Limits over all playbooks. A playbook's own limits can only be tighter."""

    namespaces: Annotated[tuple[str, ...], NoDecode, BeforeValidator(listed)] = Field(
        ("carbon-ingestion",),
        description="Namespaces that may be acted on, with commas between them. Others are refused.",
    )
    overall_count: int = Field(20, gt=0, description="Actions of all playbooks together ...")
    overall_window_s: float = Field(
        3600.0, gt=0, le=7 * 86400, description="... in this many seconds, at most seven days."
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

    @property
    def overall(self) -> Budget:
        return Budget(self.overall_count, self.overall_window_s)
