"""One value of a ConfigMap and the workloads that read it:
what the kinds that change configuration share.

A process reads its configuration when it starts, so a change means nothing before
its readers were restarted.
Never here: which value, and for how long.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from service.act.kind import Deed, Permit
from service.act.objects import annotations_of, held, replaced
from service.act.pod_template import (
    ACTION,
    ANNOTATIONS,
    TRIES_ON_CONFLICT,
    Object,
    is_name,
    ref_of,
    restart,
    workload_of,
)
from service.act.pod_template import needs as template_needs
from service.clients.kubernetes_write import MERGE, KubernetesWriter
from service.kit.deadline import Deadline
from service.model.action import Applied, NotPossible, Permission, Request
from service.model.errors import Refused, Unavailable
from service.model.objects import ObjectRef, Write
from service.model.reasons import Reason
from service.model.target import Target

R = TypeVar("R", bound=Request)

NEEDS = (
    Permission("", "configmaps", ("get", "patch"), "data"),
    *template_needs("spec.template.metadata.annotations"),
)
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_MARK = re.compile(r"[A-Za-z0-9]([-._A-Za-z0-9]{0,58}[A-Za-z0-9])?")
_LONGEST_VALUE = 4_000  # characters
_MOST_READERS = 10


def ref_to(namespace: str, config_map: str) -> ObjectRef:
    """The ConfigMap."""
    return ObjectRef("v1", "configmaps", "ConfigMap", namespace, config_map)


def mark_of(key: str) -> str:
    """The annotation that says which action wrote this key last."""
    name = key if _MARK.fullmatch(key) else hashlib.sha256(key.encode()).hexdigest()[:16]
    return f"config.paramedic.dev/{name}"


def readers_of(target: Target, texts: Sequence[str]) -> tuple[Target, ...] | NotPossible:
    """Workloads of the target's namespace, written as `Deployment/NAME` or,
    of the target's kind, as `NAME`.
    """
    if len(texts) > _MOST_READERS:
        detail = f"{len(texts)} readers; at most {_MOST_READERS} are restarted in one action"
        return NotPossible(Reason.ARGUMENT_OUT_OF_BOUNDS, detail)
    found: list[Target] = []
    for text in texts:
        kind, _, name = text.rpartition("/")
        reader = workload_of(target, kind, name) if name else None
        if reader is None or isinstance(reader, NotPossible):
            return NotPossible(
                Reason.BAD_NAME, f"{text[:80]!r} is no reader; write Deployment/NAME"
            )
        found.append(reader)
    return tuple(dict.fromkeys(found))


def refused(config_map: str, key: str, value: str) -> NotPossible | None:
    """Why a value cannot be set, before anybody is asked."""
    if not is_name(config_map) or not _KEY.fullmatch(key):
        return NotPossible(
            Reason.BAD_NAME, f"{config_map[:80]!r} {key[:80]!r}: no key of a ConfigMap"
        )
    if len(value) > _LONGEST_VALUE:
        detail = f"the value has {len(value)} characters; {_LONGEST_VALUE} are allowed"
        return NotPossible(Reason.ARGUMENT_OUT_OF_BOUNDS, detail)
    return None


def writes(
    ref: ObjectRef, key: str, value: str, readers: Sequence[Target], mark: str
) -> tuple[Write, ...]:
    """The value and the restarts."""
    restarts = (Write(ref_of(reader), (*ANNOTATIONS, ACTION), mark) for reader in readers)
    return (Write(ref, ("data", key), value), *restarts)


def value_of(found: Object, key: str) -> str | None:
    """The value as it stands; None where the ConfigMap has no such key."""
    value = (found.get("data") or {}).get(key)
    return None if value is None else str(value)


def mark_on(found: Object, key: str) -> str | None:
    """The action that wrote the key last, or what stands of it."""
    return annotations_of(found).get(mark_of(key))


async def read(
    client: KubernetesWriter, permit: Permit[R], ref: ObjectRef, key: str
) -> Object | Deed:
    """The ConfigMap, if the key may be written."""
    found = await client.get(ref.path, deadline=permit.deadline)
    if other := replaced(permit.intent, ref, found):
        return other
    if found.get("immutable"):
        return Deed(Applied.FAILED, Reason.IMMUTABLE, f"{ref} is immutable")
    if value_of(found, key) is None:
        names = ", ".join(sorted(found.get("data") or {})[:20])
        detail = f"{ref} has no key {key}; it has {names}"
        return Deed(Applied.FAILED, Reason.KEY_MISSING, detail[:400])
    return found


async def write(
    client: KubernetesWriter,
    permit: Permit[R],
    ref: ObjectRef,
    change: tuple[str, str, str],
    *,
    mark: str,
    dry_run: bool,
) -> Deed | None:
    """Sets key, from, to, if it has the one or the other; a Deed where that cannot be."""
    key, from_, to = change
    for _ in range(TRIES_ON_CONFLICT):
        found = await read(client, permit, ref, key)
        if isinstance(found, Deed):
            return found
        now = value_of(found, key)
        if now == to and not dry_run:
            return None
        if now not in (from_, to):
            return Deed(
                Applied.FAILED,
                Reason.TARGET_CHANGED,
                f"{key} is {now!r:.80}: {from_!r:.80} was seen",
            )
        metadata = {**held(found), "annotations": {mark_of(key): mark}}
        try:
            await client.patch(
                ref.path,
                {"metadata": metadata, "data": {key: to}},
                content_type=MERGE,
                action_id=permit.intent.action_id,
                dry_run=dry_run,
                confirm=permit.confirm,
                deadline=permit.deadline,
            )
        except Refused as error:
            if error.reason is not Reason.CONFLICT:
                raise
        else:
            return None
    raise Unavailable(Reason.CONFLICT, f"{ref} changed {TRIES_ON_CONFLICT} times in between")


async def restart_all(
    client: KubernetesWriter,
    permit: Permit[R],
    readers: Sequence[Target],
    *,
    mark: str,
    at: datetime,
    dry_run: bool,
) -> Deed | None:
    """Restarts each reader once for `mark`, in their order; a Deed of the first that cannot be."""
    for reader in readers:
        ended = await restart(client, permit, reader, mark=mark, at=at, dry_run=dry_run)
        if ended is not None:
            return ended
    return None


async def restarted(
    client: KubernetesWriter, readers: Sequence[Target], mark: str, deadline: Deadline
) -> bool:
    """True when every reader's template carries the mark."""
    for reader in readers:
        found = await client.get(ref_of(reader).path, deadline=deadline)
        if annotations_of(found, "spec", "template").get(ACTION) != mark:
            return False
    return True


def change_of(
    target: Target, config_map: str, key: str, from_: str, to: str, readers: Sequence[str]
) -> tuple[Target, ...] | NotPossible:
    """The readers of a change of one key, the target itself without any;
    or why there can be no such change.
    """
    if why := refused(config_map, key, to):
        return why
    if from_ == to:
        return NotPossible(Reason.AT_CEILING, f"{key} is {to[:60]} already")
    return readers_of(target, readers or (target.name,))
