"""Chapter 7.3: everything that writes is stopped, the database is restored, and everything comes back.

The counts are remembered in the run's own row before its first step, so that a crash in the middle does not take
the zero for what was there before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.model.target import Target
from service.saga.course import Settles, Step


@dataclass(frozen=True, slots=True)
class Recovery:
    """What is restored, and what has to stand still meanwhile.

    `replicas` are the counts as they were seen by `Target.key`; `afterwards` those to come back to where a workload
    was down already: a platform that is to be recovered may have been scaled to 0 by the person who found it.
    """

    database: str
    backup: str
    disk: str
    store: Target  # the workload that holds the database
    workloads: Sequence[Target]  # in the order in which they start again
    replicas: Mapping[str, int]
    afterwards: Mapping[str, int]


def steps(recovery: Recovery, within_s: float = 600.0) -> tuple[Step, ...]:
    """Down in reverse order, restore, up in order. Raises LookupError for a workload whose count is not known."""
    down = [
        _scaled(target, recovery.replicas[target.key], 0, "stop", within_s)
        for target in reversed(recovery.workloads)
        if recovery.replicas[target.key] > 0
    ]
    arguments = {
        "database": recovery.database,
        "backup": recovery.backup,
        "disk": recovery.disk,
    }
    restore = Step(
        f"restore-{recovery.database}",
        "restore_database",
        recovery.store,
        arguments,
        Settles.AT_ONCE,
        within_s,
    )
    up = [
        _scaled(target, 0, wanted, "start", within_s)
        for target in recovery.workloads
        if (wanted := _wanted(recovery, target)) > 0
    ]
    return (*down, restore, *up)


def _wanted(recovery: Recovery, target: Target) -> int:
    return recovery.replicas[target.key] or recovery.afterwards.get(target.key, 0)


def _scaled(target: Target, from_: int, to: int, verb: str, within_s: float) -> Step:
    arguments = {"from": from_, "to": to}
    name = f"{verb}-{target.name}"
    return Step(name, "scale_to", target, arguments, Settles.SCALED, within_s)
