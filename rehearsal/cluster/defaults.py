"""What the server fills in: nested defaults of the kinds that can be written here.

Never here: refusals.
"""

import base64
from collections.abc import Callable

from rehearsal.cluster.objects import Object, clone

_RBAC = "rbac.authorization.k8s.io"
_CPU_80: Object = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}


def fill(kind: str, obj: Object) -> Object:
    """Changes and returns `obj`."""
    filler = _FILLERS.get(kind)
    if filler is not None:
        filler(obj)
    return obj


def _defaults(target: Object, **values: object) -> None:
    for key, value in values.items():
        target.setdefault(key, value)


def _deployment(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _defaults(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600, strategy={})
    _drop_false(spec, "paused")
    _drop_zero(spec, "minReadySeconds")
    _defaults(spec["strategy"], type="RollingUpdate")
    if spec["strategy"]["type"] == "RollingUpdate":
        _defaults(spec["strategy"], rollingUpdate={})
        _defaults(spec["strategy"]["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")
    _template(spec)
    obj.setdefault("status", {})


def _stateful_set(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _defaults(
        spec,
        replicas=1,
        revisionHistoryLimit=10,
        podManagementPolicy="OrderedReady",
        updateStrategy={},
    )
    _drop_zero(spec, "minReadySeconds")
    _defaults(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _defaults(spec["updateStrategy"], rollingUpdate={})
        _defaults(spec["updateStrategy"]["rollingUpdate"], partition=0)
    _defaults(spec, persistentVolumeClaimRetentionPolicy={})
    _defaults(
        spec["persistentVolumeClaimRetentionPolicy"], whenDeleted="Retain", whenScaled="Retain"
    )
    for claim in spec.get("volumeClaimTemplates", []):
        _defaults(claim, kind="PersistentVolumeClaim", apiVersion="v1", status={"phase": "Pending"})
        _defaults(claim.setdefault("spec", {}), volumeMode="Filesystem")
    _template(spec)
    obj.setdefault("status", {})


def _template(spec: Object) -> None:
    template = spec.setdefault("template", {})
    metadata = template.setdefault("metadata", {})
    for empty in ("annotations", "labels"):
        if not metadata.get(empty, True):
            del metadata[empty]
    pod_spec(template.setdefault("spec", {}))


def pod_spec(spec: Object) -> None:
    _defaults(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )
    if "serviceAccountName" in spec:
        spec["serviceAccount"] = spec["serviceAccountName"]
    for volume in spec.get("volumes", []):
        for source in ("configMap", "secret", "projected", "downwardAPI"):
            if source in volume:
                _defaults(volume[source], defaultMode=420)
    for container in (*spec.get("initContainers", []), *spec.get("containers", [])):
        _container(container)


def _container(container: Object) -> None:
    image = container.get("image", "")
    newest = image.endswith(":latest") or ":" not in image.rsplit("/", 1)[-1]
    _defaults(
        container,
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy="Always" if newest and image else "IfNotPresent",
    )
    for port in container.get("ports", []):
        _defaults(port, protocol="TCP")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name in container:
            _probe(container[name])


def _probe(probe: Object) -> None:
    _defaults(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    _drop_zero(probe, "initialDelaySeconds")
    if "httpGet" in probe:
        _defaults(probe["httpGet"], path="/", scheme="HTTP")


def _pod(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    pod_spec(spec)
    requests_from_limits(spec)
    _defaults(spec, priority=0, enableServiceLinks=True, preemptionPolicy="PreemptLowerPriority")
    _defaults(obj.setdefault("status", {}), phase="Pending", qosClass=_quality(spec))


def requests_from_limits(spec: Object) -> None:
    """In a pod, and not in the template that it comes from."""
    for container in (*spec.get("initContainers", []), *spec.get("containers", [])):
        limits = container.get("resources", {}).get("limits", {})
        if limits:
            _defaults(container["resources"], requests={})
            _defaults(container["resources"]["requests"], **limits)


def _quality(spec: Object) -> str:
    resources = [container.get("resources", {}) for container in spec.get("containers", [])]
    if not any(entry.get("limits") or entry.get("requests") for entry in resources):
        return "BestEffort"
    whole = all(
        set(entry.get("limits", {})) >= {"cpu", "memory"}
        and entry.get("requests") == entry.get("limits")
        for entry in resources
    )
    return "Guaranteed" if whole else "Burstable"


def _autoscaler(obj: Object) -> None:
    _defaults(obj.setdefault("spec", {}), minReplicas=1, metrics=[clone(_CPU_80)])
    obj.setdefault("status", {"desiredReplicas": 0, "currentMetrics": None})


def _network_policy(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    types = ["Ingress", "Egress"] if "egress" in spec else ["Ingress"]
    _defaults(spec, podSelector={}, policyTypes=types)
    for rule in (*spec.get("ingress", []), *spec.get("egress", [])):
        for port in rule.get("ports", []):
            _defaults(port, protocol="TCP")


def _role(obj: Object) -> None:
    obj.setdefault("rules", None)


def _role_binding(obj: Object) -> None:
    for subject in obj.get("subjects", []):
        if subject.get("kind") in {"User", "Group"}:
            _defaults(subject, apiGroup=_RBAC)
    if "roleRef" in obj:
        _defaults(obj["roleRef"], apiGroup=_RBAC)


def _secret(obj: Object) -> None:
    """stringData is write-only: it comes back as data."""
    plain = obj.pop("stringData", None) or {}
    if plain:
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in plain.items()}
        obj["data"] = obj.get("data", {}) | encoded
    _defaults(obj, type="Opaque")


def _claim(obj: Object) -> None:
    _defaults(obj.setdefault("spec", {}), volumeMode="Filesystem")
    _defaults(obj.setdefault("status", {}), phase="Pending")


def _volume(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _defaults(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
    _defaults(obj.setdefault("status", {}), phase="Pending")


def _budget(obj: Object) -> None:
    obj.setdefault("spec", {})
    nothing = ("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods")
    obj.setdefault("status", dict.fromkeys(nothing, 0))


def _definition(obj: Object) -> None:
    names = obj["spec"]["names"]
    _defaults(names, singular=names["kind"].lower(), listKind=f"{names['kind']}List")
    _defaults(obj["spec"], conversion={"strategy": "None"})
    stored = [version["name"] for version in obj["spec"]["versions"] if version.get("storage")]
    nothing: Object = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}}
    obj.setdefault("status", nothing | {"storedVersions": stored})


def _namespace(obj: Object) -> None:
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"][
        "name"
    ]
    _defaults(obj.setdefault("spec", {}), finalizers=["kubernetes"])
    _defaults(obj.setdefault("status", {}), phase="Active")


def _service(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _defaults(
        spec,
        type="ClusterIP",
        sessionAffinity="None",
        ipFamilies=["IPv4"],
        ipFamilyPolicy="SingleStack",
        internalTrafficPolicy="Cluster",
    )
    for port in spec.get("ports", []):
        _defaults(port, protocol="TCP", targetPort=port["port"])
    if "clusterIP" in spec:
        _defaults(spec, clusterIPs=[spec["clusterIP"]])
    obj.setdefault("status", {"loadBalancer": {}})


def _event(obj: Object) -> None:
    _defaults(
        obj,
        source={},
        firstTimestamp=None,
        lastTimestamp=None,
        eventTime=None,
        reportingComponent="",
        reportingInstance="",
    )


def _drop_false(target: Object, field: str) -> None:
    if target.get(field) is False:
        del target[field]


def _drop_zero(target: Object, field: str) -> None:
    if target.get(field) == 0:
        del target[field]


_FILLERS: dict[str, Callable[[Object], None]] = {
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "Pod": _pod,
    "Namespace": _namespace,
    "HorizontalPodAutoscaler": _autoscaler,
    "Service": _service,
    "Event": _event,
    "NetworkPolicy": _network_policy,
    "Role": _role,
    "RoleBinding": _role_binding,
    "Secret": _secret,
    "PersistentVolumeClaim": _claim,
    "PersistentVolume": _volume,
    "PodDisruptionBudget": _budget,
    "CustomResourceDefinition": _definition,
}
