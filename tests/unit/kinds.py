"""Kinds of action by their contract alone, for playbooks whose kinds are not all registered yet.

A kind of `service.act` always wins over its stand-in here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from service.act import KINDS
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
class PatchMemoryLimit:
    container: str
    from_: str
    factor: float
    ceiling: str


@dataclass(frozen=True)
class PatchProbeDelay:
    container: str
    probe: str
    to_s: int


@dataclass(frozen=True)
class PatchConfig:
    config_map: str
    key: str
    from_: str
    to: str
    readers: tuple[str, ...] = ()


@dataclass(frozen=True)
class PatchPodAnnotations:
    annotations: Mapping[str, str]


@dataclass(frozen=True)
class RolloutUndo:
    to_revision: int


@dataclass(frozen=True)
class ApplyKnownGood:
    manifest: str


@dataclass(frozen=True)
class BackupDatabase:
    database: str
    disk: str


@dataclass(frozen=True)
class TimedConfig:
    config_map: str
    key: str
    from_: str
    to: str
    for_s: float
    readers: tuple[str, ...] = ()


def _planner(name: str) -> Callable[[Target, Any], StandIn]:
    return lambda target, arguments: StandIn(target, name, arguments)


def _unbound(writers: Writers) -> None:
    return None


_STAND_INS: Mapping[str, type[Any]] = {
    "patch_memory_limit": PatchMemoryLimit,
    "patch_probe_delay": PatchProbeDelay,
    "patch_config": PatchConfig,
    "patch_pod_annotations": PatchPodAnnotations,
    "rollout_undo": RolloutUndo,
    "apply_known_good": ApplyKnownGood,
    "backup_database": BackupDatabase,
    "timed_config": TimedConfig,
}

ALL_KINDS: Mapping[str, AnyKind] = {
    **{
        name: Kind(name, arguments, StandIn, _planner(name), _unbound)
        for name, arguments in _STAND_INS.items()
    },
    **KINDS,
}
