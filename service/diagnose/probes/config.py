"""ConfigMaps by their keys, and the values of the few keys that a playbook names as harmless.

Never here: any other value (a ConfigMap may hold what it should not).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.clients.kubernetes import KubernetesReader, Object
from service.diagnose.probes.plain_text import safe
from service.kit.deadline import Deadline
from service.model.errors import Refused
from service.model.reasons import Reason

HARMLESS = ("LOG_LEVEL", "LOG_FORMAT", "PARALLELISM", "BATCH_SIZE")
MOST_KEYS = 100
LONGEST_VALUE = 100  # characters


@dataclass(frozen=True, slots=True)
class Config:
    """What the ConfigMaps hold."""

    missing: tuple[str, ...]  # names of ConfigMaps that do not exist
    keys: Mapping[str, tuple[str, ...]]  # ConfigMap -> its keys, sorted, at most MOST_KEYS
    values: Mapping[str, str]  # key -> value, for the named keys that are there; of the first map
    log_level: str | None  # the value of LOG_LEVEL in capitals; None where no map has it
    parallelism: (
        int | None
    )  # the value of PARALLELISM; None where no map has it or it is not a number
    batch_size: int | None  # the value of BATCH_SIZE; None as above


async def config(
    kubernetes: KubernetesReader,
    namespace: str,
    maps: Sequence[str],
    named: Sequence[str] = HARMLESS,
    *,
    deadline: Deadline,
) -> Config:
    """The maps now, all at once. Raises what the reader raises."""
    found = await asyncio.gather(*(_read(kubernetes, namespace, m, deadline) for m in maps))
    values: dict[str, str] = {}
    keys: dict[str, tuple[str, ...]] = {}
    for name, data in zip(maps, found, strict=True):
        if data is None:
            continue
        keys[name] = tuple(sorted(data)[:MOST_KEYS])
        for key in named:
            if isinstance(data.get(key), str):
                values.setdefault(key, safe(data[key], LONGEST_VALUE))
    level = values.get("LOG_LEVEL")
    return Config(
        missing=tuple(m for m, data in zip(maps, found, strict=True) if data is None),
        keys=keys,
        values=values,
        log_level=level.upper() if level else None,
        parallelism=_number(values.get("PARALLELISM")),
        batch_size=_number(values.get("BATCH_SIZE")),
    )


async def _read(
    kubernetes: KubernetesReader, namespace: str, name: str, deadline: Deadline
) -> Object | None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/{name}"
    try:
        found = await kubernetes.get(path, deadline=deadline)
    except Refused as error:
        if error.reason is Reason.NOT_FOUND:
            return None
        raise
    data: Object = {**(found.get("binaryData") or {}), **(found.get("data") or {})}
    return data


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 10 else None
