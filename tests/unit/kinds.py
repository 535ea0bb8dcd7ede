"""Every kind of action that a shipped playbook may name, those that are not registered yet by their contract alone.

A kind of `service.act` always wins over its stand-in here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from service.act import (
    KINDS,
    delete_pod,
    operator_restart,
    patch_config,
    patch_memory_limit,
    patch_pod_annotations,
    patch_probe_delay,
    rollout_undo,
    timed_config,
)
from service.act.kind import Kind, Writers
from service.model.action import AnyKind
from service.model.target import Target


@dataclass(frozen=True, slots=True)
class StandIn:
    """A request that says what was asked for."""

    target: Target
    kind: str
    arguments: Any  # Any: each kind has arguments of its own

    def __str__(self) -> str:
        return f"{self.kind} {self.arguments}"


@dataclass(frozen=True)
class ApplyKnownGood:
    manifest: str


@dataclass(frozen=True)
class BackupDatabase:
    database: str
    disk: str


def _planner(name: str) -> Callable[[Target, Any], StandIn]:
    return lambda target, arguments: StandIn(target, name, arguments)


def _unbound(writers: Writers) -> None:
    return None


_STAND_INS: Mapping[str, type[Any]] = {
    "apply_known_good": ApplyKnownGood,
    "backup_database": BackupDatabase,
}
_WRITTEN: tuple[AnyKind, ...] = (
    delete_pod.KIND,
    operator_restart.KIND,
    patch_config.KIND,
    patch_memory_limit.KIND,
    patch_pod_annotations.KIND,
    patch_probe_delay.KIND,
    rollout_undo.KIND,
    timed_config.KIND,
)

ALL_KINDS: Mapping[str, AnyKind] = {
    **{
        name: Kind(name, arguments, StandIn, _planner(name), _unbound)
        for name, arguments in _STAND_INS.items()
    },
    **{kind.name: kind for kind in _WRITTEN},
    **KINDS,
}
