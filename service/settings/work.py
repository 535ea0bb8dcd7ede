"""How incidents are worked on."""

from pydantic import Field

from service.settings.fields import Group


class WorkSettings(Group):
    """How incidents are worked on."""

    workers: int = Field(8, gt=0, description="Incidents worked on at the same time, one a target.")
    diagnose_within_s: float = Field(
        15.0, gt=0, description="One deadline for all probes of a diagnosis."
    )
    act_within_s: float = Field(
        30.0, gt=0, description="Deadline of one action and its reading back."
    )
    recheck_s: float = Field(
        60.0, gt=0, description="Pause before an incident without a remedy is seen again."
    )
    escalate_after_s: float = Field(
        900.0, gt=0, description="An incident that found no remedy for this long is escalated."
    )
