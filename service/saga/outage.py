"""Chapter 7.1: the services are restarted in their order, and each rollout is
watched before the next begins.
"""

from collections.abc import Sequence

from service.model.course import CourseStep, Settles
from service.model.target import Target


def steps(workloads: Sequence[Target], within_s: float = 600.0) -> tuple[CourseStep, ...]:
    """A restart of each, in the order given: whoever writes upstream comes first."""
    return tuple(_restarted(target, within_s) for target in workloads)


def _restarted(target: Target, within_s: float) -> CourseStep:
    rollout = f"kubectl -n {target.namespace} rollout"
    thing = f"{target.kind.lower()}/{target.name}"
    return CourseStep(
        f"restart-{target.name}",
        "rollout_restart",
        target,
        {},
        Settles.ROLLED_OUT,
        within_s,
        go_on=(f"{rollout} restart {thing}", f"{rollout} status {thing}"),
    )
