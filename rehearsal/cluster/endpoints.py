"""Service -> EndpointSlice: the addresses of the pods that a Service selects,
and whether they are ready.

Never here: Endpoints (deprecated, not emulated), slices
of more than one Service, dual stack.
"""

from rehearsal.cluster.objects import (
    Object,
    clone,
    is_ready,
    is_terminating,
    name_of,
    namespace_of,
    owner_of,
    uid_of,
)
from rehearsal.cluster.resources import NODES, PODS, SERVICES, SLICES
from rehearsal.cluster.selectors import matches_labels
from rehearsal.cluster.world import World, owner_reference, random_suffix


class Endpoints:
    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.store

    def sync(self, namespace: str, name: str) -> None:
        service = self._store.get(SERVICES, namespace, name)
        if service is None or not service["spec"].get("selector"):
            return
        pods = [
            pod
            for pod in self._store.all(PODS, namespace)
            if selects(service, pod) and pod["status"].get("podIP")
        ]
        slice_ = clone(self._slice_of(service)) or self._new_slice(service)
        endpoints = [self._endpoint(pod) for pod in pods]
        ports = [
            {"name": port.get("name", ""), "protocol": port.get("protocol", "TCP"), "port": number}
            for port in service["spec"].get("ports", [])
            if (number := _number(port, pods)) is not None
        ]
        if "resourceVersion" in slice_["metadata"] and (slice_["endpoints"], slice_["ports"]) == (
            endpoints,
            ports,
        ):
            return
        slice_ |= {"endpoints": endpoints, "ports": ports}
        slice_["metadata"]["generation"] = slice_["metadata"].get("generation", 0) + 1
        if "uid" in slice_["metadata"]:
            self._store.write(SLICES, slice_)
        else:
            self._store.adopt(SLICES, slice_)

    def _slice_of(self, service: Object) -> Object | None:
        return next(
            (
                entry
                for entry in self._store.all(SLICES, namespace_of(service))
                if (owner := owner_of(entry, "Service")) and owner["uid"] == uid_of(service)
            ),
            None,
        )

    def _new_slice(self, service: Object) -> Object:
        name = name_of(service)
        labels = service["metadata"].get("labels", {}) | {
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            "kubernetes.io/service-name": name,
        }
        return {
            "kind": "EndpointSlice",
            "apiVersion": "discovery.k8s.io/v1",
            "addressType": "IPv4",
            "metadata": {
                "name": f"{name}-{random_suffix(self._world, name)}",
                "generateName": f"{name}-",
                "namespace": namespace_of(service),
                "labels": labels,
                "ownerReferences": [owner_reference(service)],
            },
        }

    def _endpoint(self, pod: Object) -> Object:
        serving, ending = is_ready(pod), is_terminating(pod)
        endpoint = {
            "addresses": [pod["status"]["podIP"]],
            "conditions": {
                "ready": serving and not ending,
                "serving": serving,
                "terminating": ending,
            },
            "targetRef": {
                "kind": "Pod",
                "namespace": namespace_of(pod),
                "name": name_of(pod),
                "uid": uid_of(pod),
            },
            "nodeName": pod["spec"].get("nodeName", ""),
        }
        if pod["spec"].get("hostname"):
            endpoint["hostname"] = pod["spec"]["hostname"]
        node = self._store.get(NODES, "", pod["spec"].get("nodeName", ""))
        zone = (
            node["metadata"].get("labels", {}).get("topology.kubernetes.io/zone") if node else None
        )
        return endpoint | ({"zone": zone} if zone else {})


def selects(service: Object, pod: Object) -> bool:
    wanted = service["spec"].get("selector") or {}
    return bool(wanted) and matches_labels(
        {"matchLabels": wanted}, pod["metadata"].get("labels", {})
    )


def _number(port: Object, pods: list[Object]) -> int | None:
    """A named target port is looked up in the containers of the first pod."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target
    offered = (
        entry
        for pod in pods[:1]
        for container in pod["spec"]["containers"]
        for entry in container.get("ports", [])
    )
    return next(
        (int(entry["containerPort"]) for entry in offered if entry.get("name") == target), None
    )
