"""Chapter 7.1: the services are restarted in their order, and each rollout is watched before the next begins."""

from collections.abc import Sequence

from service.model.target import Target
from service.saga.course import Settles, Step


def steps(workloads: Sequence[Target], within_s: float = 600.0) -> tuple[Step, ...]:
    """A restart of each, in the order given: whoever writes upstream comes first."""
    return tuple(
        Step(f"restart-{target.name}", "rollout_restart", target, {}, Settles.ROLLED_OUT, within_s)
        for target in workloads
    )
