"""The ConfigMaps, Secrets and keys that the pod template names, and which of them are not there.

What is missing is learned from what the kubelet says of waiting pods and in events. ConfigMaps are
looked up too, by their keys, and Secrets by their names where a setting and the right allow it. A
Secret's keys are then unknown still, and its values are nobody's business here.
Never here: any value.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from service.clients.kubernetes import Object
from service.diagnose.probes.snapshot import Snapshot, name
from service.model.errors import Refused
from service.model.reasons import Reason

MOST_SHOWN = 20
_NAME, _KEY = r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)", r"([-._a-zA-Z0-9]{1,253})"
_ABSENT = re.compile(rf'(?i)\b(configmap|secret) "{_NAME}" not found')
_NO_KEY = re.compile(rf"(?i)couldn't find key {_KEY} in (ConfigMap|Secret) [a-z0-9-]+/{_NAME}")
_NO_ITEM = re.compile(rf"(?i)references non-existent (config|secret) key: {_KEY}")
_KINDS = {"configmap": "ConfigMap", "secret": "Secret", "config": "ConfigMap"}


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that is not there."""

    kind: str  # ConfigMap or Secret
    name: str  # "" where the kubelet does not say whose key it is
    key: str  # "" when the whole object is missing
    pod: str  # one that waits for it; "" when it was found by looking it up
    said: str  # the sentence that names it


@dataclass(frozen=True, slots=True)
class Reference:
    """One thing that the pod template names."""

    kind: str  # ConfigMap or Secret
    name: str
    key: str  # "" for the whole object
    optional: bool  # a pod starts without it
    # None where it was not looked up: the keys of every Secret,
    # and its name where names may not be read.
    resolves: bool | None


@dataclass(frozen=True, slots=True)
class References:
    """What the template names, and what of it is missing."""

    missing: tuple[Missing, ...]  # at most MOST_SHOWN, those that a pod waits for first
    count: int  # of `missing`
    # The first missing thing of each sort; "" where nothing of the sort is missing.
    config_map: str  # name of a ConfigMap that is missing as a whole
    config_map_of_key: str  # name of a ConfigMap that lacks a key
    config_map_key: str  # that key
    secret: str  # name of a Secret that is missing as a whole
    secret_of_key: str  # name of a Secret that lacks a key
    secret_key: str  # that key
    references: tuple[Reference, ...]  # at most MOST_SHOWN


async def references(snapshot: Snapshot) -> References:
    """The references now. Raises what the reader raises."""
    async with asyncio.TaskGroup() as tasks:
        workload = tasks.create_task(snapshot.workload())
        pods = tasks.create_task(snapshot.pods())
        events = tasks.create_task(snapshot.events())
    spec = ((workload.result().get("spec") or {}).get("template") or {}).get("spec") or {}
    wanted = _distinct(named_in(spec))[:MOST_SHOWN]
    configs = sorted({r.name for r in wanted if r.kind == "ConfigMap"})
    keys = dict(
        zip(configs, await asyncio.gather(*(_keys(snapshot, c) for c in configs)), strict=True)
    )
    secrets = await _secret_names(snapshot, wanted)
    looked_up = [_resolved(r, keys, secrets) for r in wanted]
    waiting = {name(pod) for pod in pods.result() if not _runs(pod)}
    said = [*_of_pods(pods.result()), *_of_events(events.result(), waiting)]
    return summary(said, looked_up)


def summary(said: Sequence[Missing], looked_up: Sequence[Reference]) -> References:
    """What is missing, once each: what a pod waits for, and what was looked up in vain."""
    found: dict[tuple[str, str, str], Missing] = {}
    for one in said:
        found.setdefault((one.kind, one.name, one.key), one)
    for r in looked_up:
        if r.resolves is False and not r.optional:
            key = r.key if r.kind == "ConfigMap" else ""  # of a Secret only its name is known
            of = f"key {key} of {r.kind} {r.name}" if key else f"{r.kind} {r.name}"
            if (r.kind, r.name, "") not in found:
                absent = Missing(r.kind, r.name, key, "", f"{of} does not exist")
                found.setdefault((r.kind, r.name, key), absent)
    missing = tuple(found.values())[:MOST_SHOWN]
    config_map, secret = (
        _first(missing, "ConfigMap", key=False),
        _first(missing, "Secret", key=False),
    )
    config_key, secret_key = (
        _first(missing, "ConfigMap", key=True),
        _first(missing, "Secret", key=True),
    )
    return References(
        missing=missing,
        count=len(missing),
        config_map=config_map.name if config_map else "",
        config_map_of_key=config_key.name if config_key else "",
        config_map_key=config_key.key if config_key else "",
        secret=secret.name if secret else "",
        secret_of_key=secret_key.name if secret_key else "",
        secret_key=secret_key.key if secret_key else "",
        references=tuple(looked_up),
    )


def _first(missing: Sequence[Missing], kind: str, *, key: bool) -> Missing | None:
    return next((m for m in missing if m.kind == kind and bool(m.key) == key), None)


def missing_in(text: str, pod: str = "") -> Missing | None:
    """What a sentence of the kubelet says is missing, as versions 1.24 to 1.36 write it."""
    if found := _NO_KEY.search(text):
        return Missing(_KINDS[found[2].lower()], found[3], found[1], pod, _sentence(found[0]))
    if found := _ABSENT.search(text):
        return Missing(_KINDS[found[1].lower()], found[2], "", pod, _sentence(found[0]))
    if found := _NO_ITEM.search(text):
        return Missing(_KINDS[found[1].lower()], "", found[2], pod, _sentence(found[0]))
    return None


def named_in(spec: Mapping[str, Any]) -> Iterable[Reference]:  # Any: JSON
    """The ConfigMaps and Secrets that a pod's spec names."""
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        for source in container.get("envFrom") or ():
            yield from _pair(source.get("configMapRef"), source.get("secretRef"))
        for variable in container.get("env") or ():
            value = variable.get("valueFrom") or {}
            yield from _pair(value.get("configMapKeyRef"), value.get("secretKeyRef"))
    for volume in spec.get("volumes") or ():
        secret = dict(volume.get("secret") or {})
        if secret:
            secret["name"] = secret.pop("secretName", "")
        yield from _pair(volume.get("configMap"), secret)
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield from _pair(source.get("configMap"), source.get("secret"))


def _pair(
    config: Mapping[str, Any] | None, secret: Mapping[str, Any] | None
) -> Iterable[Reference]:
    for kind, of in (("ConfigMap", config), ("Secret", secret)):
        if of and of.get("name"):
            key = str(of.get("key") or "")
            yield Reference(kind, str(of["name"]), key, bool(of.get("optional")), None)


def _distinct(found: Iterable[Reference]) -> Sequence[Reference]:
    return list(dict.fromkeys(found))


async def _keys(snapshot: Snapshot, config: str) -> frozenset[str] | None:
    """The keys of a ConfigMap, None when there is none."""
    path = f"/api/v1/namespaces/{snapshot.target.namespace}/configmaps/{config}"
    try:
        found = await snapshot.kubernetes.get(path, deadline=snapshot.deadline)
    except Refused as error:
        if error.reason is Reason.NOT_FOUND:
            return None
        raise
    return frozenset({*(found.get("data") or {}), *(found.get("binaryData") or {})})


async def _secret_names(snapshot: Snapshot, wanted: Sequence[Reference]) -> frozenset[str] | None:
    """The names of the Secrets of the namespace; None where they may not be read, or none is
    named.
    """
    if not any(r.kind == "Secret" for r in wanted):
        return None
    namespace, deadline = snapshot.target.namespace, snapshot.deadline
    return await snapshot.kubernetes.secret_names(namespace, deadline=deadline)


def _resolved(
    r: Reference,
    keys: Mapping[str, frozenset[str] | None],
    secrets: frozenset[str] | None,
) -> Reference:
    if r.kind == "ConfigMap":
        there = keys.get(r.name)
        resolves = there is not None and (not r.key or r.key in there)
        return replace(r, resolves=resolves)
    if secrets is None:
        return r
    if r.name not in secrets:
        return replace(r, resolves=False)
    return r if r.key else replace(r, resolves=True)


def _runs(pod: Object) -> bool:
    return bool((pod.get("status") or {}).get("phase") == "Running")


def _of_pods(pods: Sequence[Object]) -> Iterable[Missing]:
    for pod in pods:
        status = pod.get("status") or {}
        states = [
            *(status.get("initContainerStatuses") or ()),
            *(status.get("containerStatuses") or ()),
        ]
        for container in states:
            waiting = (container.get("state") or {}).get("waiting") or {}
            if found := missing_in(str(waiting.get("message") or ""), name(pod)):
                yield found


def _of_events(events: Sequence[Object], waiting: set[str]) -> Iterable[Missing]:
    """Only of pods that wait still: an event outlives its cause by an hour."""
    for event in events:
        pod = str((event.get("involvedObject") or {}).get("name", ""))
        if event.get("reason") not in ("Failed", "FailedMount") or pod not in waiting:
            continue
        if found := missing_in(str(event.get("message") or ""), pod):
            yield found


def _sentence(text: str) -> str:
    return text[:300]
