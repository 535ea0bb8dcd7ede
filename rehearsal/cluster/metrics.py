"""metrics.k8s.io: PodMetrics and NodeMetrics from what the embedder says is used.

Never here: made-up numbers.
"""

from collections.abc import Mapping
from typing import Protocol

from rehearsal.cluster import refusal, selectors
from rehearsal.cluster.objects import Object, is_ready, is_terminating, name_of, stamp
from rehearsal.cluster.resources import NODES, POD_METRICS, PODS
from rehearsal.cluster.routing import Target
from rehearsal.cluster.store import Store

Usage = Mapping[str, str]
"""Quantities as strings: {"cpu": "12m", "memory": "34Mi"}."""


class UsageSource(Protocol):
    """What the embedder knows. None: no sample yet, and the object is left out."""

    def of_pod(self, pod: Object) -> Mapping[str, Usage] | None:
        """By container name."""

    def of_node(self, node: Object) -> Usage | None: ...


def answer(store: Store, target: Target, source: UsageSource, query: Mapping[str, str]) -> Object:
    measured = target.resource
    of_pods = measured is POD_METRICS
    objects = store.all(PODS if of_pods else NODES, target.namespace)
    if query.get("labelSelector"):
        holds = selectors.by_labels(query["labelSelector"])
        objects = [obj for obj in objects if holds(obj)]
    samples = [
        _sample(obj, source, stamp(store.clock.now()), of_pods=of_pods)
        for obj in objects
        if not target.name or name_of(obj) == target.name
    ]
    items = [sample for sample in samples if sample is not None]
    named = {"kind": measured.kind, "apiVersion": measured.api_version}
    if not target.name:
        return {
            "kind": f"{measured.kind}List",
            "apiVersion": measured.api_version,
            "metadata": {},
            "items": items,
        }
    if not items:
        raise refusal.not_found(measured, target.name)
    return named | items[0]


def _sample(obj: Object, source: UsageSource, now: str, *, of_pods: bool) -> Object | None:
    kept = ("name", "namespace", "labels")
    metadata = {key: obj["metadata"][key] for key in kept if key in obj["metadata"]} | {
        "creationTimestamp": now
    }
    sample: Object = {"metadata": metadata, "timestamp": now, "window": "15s"}
    if not of_pods:
        used = source.of_node(obj)
        return None if used is None else sample | {"usage": dict(used)}
    by_container = source.of_pod(obj) if is_ready(obj) and not is_terminating(obj) else None
    if by_container is None:
        return None
    return sample | {
        "containers": [{"name": name, "usage": dict(used)} for name, used in by_container.items()]
    }
