"""How incidents are worked on."""

from pydantic import Field

from service.settings.fields import Group


class WorkSettings(Group):
    """How incidents are worked on."""

    workers: int = Field(8, gt=0, description="Incidents worked on at the same time, one a target.")
    diagnose_within_s: float = Field(
        15.0, gt=0, description="One deadline for all probes of a diagnosis."
    )
    attempt_within_s: float = Field(10.0, gt=0, description="Deadline of one attempt at an action.")
    act_within_s: float = Field(
        30.0, gt=0, description="An action that could not be sent for this long is given up."
    )
    unsure_within_s: float = Field(
        600.0,
        gt=0,
        description="A write whose reply was lost is read back for this long before a person is called.",
    )
    recheck_s: float = Field(
        60.0, gt=0, description="Pause before an incident without a remedy is seen again."
    )
    escalate_after_s: float = Field(
        900.0, gt=0, description="An incident that found no remedy for this long is escalated."
    )
