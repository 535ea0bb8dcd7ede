"""Chapter 7.3: everything that writes is stopped, the database is restored,
and everything comes back.

The counts are remembered in the course's own row before its first step, so that a crash in the
middle does not take the zero for what was there before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.model.course import CourseStep, Settles
from service.model.target import Target


@dataclass(frozen=True, slots=True)
class Recovery:
    """What is restored, and what has to stand still meanwhile.

    `replicas` are the counts as they were seen by `Target.key`; `afterwards` those to come back to
    where a workload was down already: a platform that is to be recovered may have been scaled to 0
    by the person who found it.
    """

    database: str
    backup: str
    disk: str
    store: Target  # the workload that holds the database
    workloads: Sequence[Target]  # in the order in which they start again
    replicas: Mapping[str, int]
    afterwards: Mapping[str, int]


def steps(recovery: Recovery, within_s: float = 600.0) -> tuple[CourseStep, ...]:
    """Down in reverse order, restore, up in order. Raises LookupError for a workload
    whose count is not known.
    """
    down = [
        _scaled(target, recovery.replicas[target.key], 0, "stop", within_s)
        for target in reversed(recovery.workloads)
        if recovery.replicas[target.key] > 0
    ]
    up = [
        _scaled(target, 0, wanted, "start", within_s)
        for target in recovery.workloads
        if (wanted := _wanted(recovery, target)) > 0
    ]
    return (*down, _restored(recovery, within_s), *up)


def _wanted(recovery: Recovery, target: Target) -> int:
    return recovery.replicas[target.key] or recovery.afterwards.get(target.key, 0)


def _restored(recovery: Recovery, within_s: float) -> CourseStep:
    database, store = recovery.database, recovery.store
    pod = f"kubectl -n {store.namespace} exec {store.kind.lower()}/{store.name} --"
    restore = f"RESTORE DATABASE `{database}` FROM Disk('{recovery.disk}', '{recovery.backup}')"
    aside = f"RENAME DATABASE `{database}` TO `{database}_set_aside`"
    return CourseStep(
        f"restore-{database}",
        "restore_database",
        store,
        {"database": database, "backup": recovery.backup, "disk": recovery.disk},
        Settles.AT_ONCE,
        within_s,
        go_on=(f'{pod} clickhouse-client -q "{_quoted(restore)}"',),
        go_back=(f'{pod} clickhouse-client -q "{_quoted(aside)}"',),
    )


def _quoted(statement: str) -> str:
    """Within double quotes of a shell, where a backtick would run a command."""
    return statement.replace("`", "\\`")


def _scaled(target: Target, from_: int, to: int, verb: str, within_s: float) -> CourseStep:
    scale = f"kubectl -n {target.namespace} scale {target.kind.lower()}/{target.name}"
    return CourseStep(
        f"{verb}-{target.name}",
        "scale_to",
        target,
        {"from_": from_, "to": to},
        Settles.SCALED,
        within_s,
        go_on=(f"{scale} --replicas={to}",),
        go_back=(f"{scale} --replicas={from_}",),
    )
