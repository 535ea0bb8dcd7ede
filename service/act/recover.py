"""Complete recovery: everything that writes is stopped, a database restored,
everything started again: a course.

Never here: the steps themselves (saga/recovery.py), or doing one (`scale_to`, `restore_database`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from service.act import clickhouse_names, restore_database, scale_to
from service.act.kind import Kind, Writers
from service.act.pod_template import workload_of
from service.model.action import NotPossible
from service.model.course import CourseStep
from service.model.reasons import Reason
from service.model.target import Target
from service.saga import recovery

_Workload = Annotated[str, Field(pattern=r"^(Deployment|StatefulSet)/[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]  # fmt: skip
_Count = Annotated[int, Field(ge=0, le=1_000)]
# As system.backups writes where a backup lies.
_ON_DISK = re.compile(r"Disk\('([^'\\]{1,100})', '([^'\\]{1,200})'\)")


@dataclass(frozen=True, slots=True)
class RecoverArguments:
    """`workloads` as Kind/name in the order in which they start;
    they are stopped in the reverse one.

    `replicas` are the counts as they are now, by Kind/name; `afterwards` those to
    come back to where a workload is down already. `backup` is a name on the disk,
    or all that system.backups calls it. `within_s` is of each step.
    """

    database: str
    backup: str
    workloads: Annotated[tuple[_Workload, ...], Field(min_length=1, max_length=20)]
    replicas: Mapping[str, int]
    afterwards: Mapping[str, _Count] = field(default_factory=dict)
    disk: str = "backups"
    within_s: Annotated[float, Field(ge=1, le=86_400)] = 1_800.0


@dataclass(frozen=True, slots=True)
class Recover:
    """Stop, restore, start again."""

    target: Target
    database: str
    backup: str
    disk: str
    workloads: tuple[Target, ...]
    replicas: Mapping[str, int]  # by Target.key
    afterwards: Mapping[str, int]
    within_s: float

    def __str__(self) -> str:
        names = ", ".join(one.name for one in self.workloads)
        return f"stop {names}, restore {self.database} from {self.backup}, start them again"


def plan(target: Target, arguments: RecoverArguments) -> Recover | NotPossible:
    """The recovery, of workloads whose counts are known and names that may stand in a statement."""
    backup = _ON_DISK.fullmatch(arguments.backup)
    if backup is not None and backup[1] != arguments.disk:
        told = f"{arguments.backup} does not lie on disk {arguments.disk}"
        return NotPossible(Reason.BAD_NAME, told)
    name = backup[2] if backup is not None else arguments.backup
    why = clickhouse_names.identifier("database", arguments.database)
    why = why or clickhouse_names.identifier("disk", arguments.disk)
    why = why or clickhouse_names.backup(name)
    if why is not None:
        return why
    found: dict[str, Target] = {}
    for text in arguments.workloads:
        kind, _, named = text.partition("/")
        meant = workload_of(target, kind, named)
        if isinstance(meant, NotPossible):
            return meant
        if meant == target:
            return NotPossible(Reason.ARGUMENT_OUT_OF_BOUNDS, f"{text} holds the database itself")
        if text not in arguments.replicas:
            return NotPossible(Reason.TARGET_MISSING, f"{text} has no count of replicas now")
        found[text] = meant
    return Recover(
        target=target,
        database=arguments.database,
        backup=name,
        disk=arguments.disk,
        workloads=tuple(found.values()),
        replicas={meant.key: arguments.replicas[text] for text, meant in found.items()},
        afterwards={meant.key: arguments.afterwards.get(text, 0) for text, meant in found.items()},
        within_s=arguments.within_s,
    )


def course(request: Recover) -> tuple[CourseStep, ...]:
    """The steps."""
    meant = recovery.Recovery(
        request.database, request.backup, request.disk, request.target,
        request.workloads, request.replicas, request.afterwards,
    )  # fmt: skip
    return recovery.steps(meant, request.within_s)


def _bind(writers: Writers) -> None:
    return None


KIND = Kind(
    name="recover",
    arguments=RecoverArguments,
    request=Recover,
    plan=plan,
    bind=_bind,
    needs=(*scale_to.KIND.needs, *restore_database.KIND.needs),
    disruptive=True,
    course=course,
    by_people=True,
)
