"""The rules about values: every broken one is a cause, with its path.
All causes are reported at once.

Never here: types and unknown fields (decoding has seen to them).
The rules are those that the recordings show and those an operator's patch is likely to
meet; the server has more.
"""

import json
import re
from collections.abc import Iterator

from rehearsal.cluster import quantity
from rehearsal.cluster.objects import Object
from rehearsal.cluster.refusal import Cause
from rehearsal.cluster.selectors import matches_labels

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and "
    "must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation "
    "is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_STATEFUL_SET_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def _required(path: str) -> Cause:
    return Cause("FieldValueRequired", path, "Required value")


def bad(path: str, value: object, why: str) -> Cause:
    """A value that a rule forbids, as the server quotes it."""
    spelled = json.dumps(value, separators=(",", ":"), sort_keys=True)
    return Cause("FieldValueInvalid", path, f"Invalid value: {spelled}: {why}")


def _unsupported(path: str, value: str, supported: tuple[str, ...]) -> Cause:
    listed = ", ".join(f'"{entry}"' for entry in supported)
    return Cause(
        "FieldValueNotSupported", path, f'Unsupported value: "{value}": supported values: {listed}'
    )


def _not_negative(spec: Object, path: str, *fields: str) -> Iterator[Cause]:
    for field in fields:
        if spec.get(field, 0) < 0:
            yield bad(f"{path}.{field}", spec[field], "must be greater than or equal to 0")


def of_new(kind: str, obj: Object) -> list[Cause]:
    return [*name(obj), *_of_kind(kind, obj)]


def of_change(kind: str, old: Object, new: Object) -> list[Cause]:
    return [*_metadata_change(old, new), *_of_kind(kind, new), *_immutable(kind, old, new)]


def of_scale(scale: Object) -> list[Cause]:
    return list(_not_negative(scale.get("spec", {}), "spec", "replicas"))


def _of_kind(kind: str, obj: Object) -> Iterator[Cause]:
    match kind:
        case "Deployment" | "StatefulSet":
            yield from _workload(obj["spec"])
        case "Pod":
            yield from _pod_spec(obj["spec"], "spec")
        case "HorizontalPodAutoscaler":
            yield from _autoscaler(obj["spec"])
        case "Event":
            yield from _event(obj)
        case "NetworkPolicy":
            yield from _network_policy(obj.get("spec", {}))
        case _:
            pass


def name(obj: Object) -> Iterator[Cause]:
    name = obj["metadata"].get("name", "")
    if not name:
        yield Cause(
            "FieldValueRequired",
            "metadata.name",
            "Required value: name or generateName is required",
        )
    elif not _SUBDOMAIN.fullmatch(name) or len(name) > 253:
        yield bad("metadata.name", name, _SUBDOMAIN_RULE)


def _metadata_change(old: Object, new: Object) -> Iterator[Cause]:
    for field in ("uid", "name", "namespace"):
        if new["metadata"].get(field, old["metadata"].get(field)) != old["metadata"].get(field):
            cause = bad(f"metadata.{field}", new["metadata"][field], "field is immutable")
            yield cause
            if field == "uid":  # the server says it twice
                yield cause


def _workload(spec: Object) -> Iterator[Cause]:
    yield from _not_negative(
        spec,
        "spec",
        "replicas",
        "minReadySeconds",
        "revisionHistoryLimit",
        "progressDeadlineSeconds",
    )
    selector, labels = spec.get("selector"), spec["template"]["metadata"].get("labels", {})
    if not selector:
        yield _required("spec.selector")
    elif not matches_labels(selector, labels):
        yield bad(
            "spec.template.metadata.labels", labels, "`selector` does not match template `labels`"
        )
    yield from _pod_spec(spec["template"]["spec"], "spec.template.spec")
    policy = spec["template"]["spec"]["restartPolicy"]
    if policy != "Always":
        yield _unsupported("spec.template.spec.restartPolicy", policy, ("Always",))


def _pod_spec(spec: Object, path: str) -> Iterator[Cause]:
    if not spec.get("containers"):
        yield _required(f"{path}.containers")
    seen = set()
    for index, container in enumerate(spec.get("containers", [])):
        yield from _container(container, f"{path}.containers[{index}]")
        if container.get("name") in seen:
            yield Cause(
                "FieldValueDuplicate",
                f"{path}.containers[{index}].name",
                f'Duplicate value: "{container["name"]}"',
            )
        seen.add(container.get("name"))
    yield from _not_negative(spec, path, "terminationGracePeriodSeconds")


def _container(container: Object, path: str) -> Iterator[Cause]:
    for field in ("name", "image"):
        if not container.get(field):
            yield _required(f"{path}.{field}")
    policy = container["imagePullPolicy"]
    if policy not in {"Always", "IfNotPresent", "Never"}:
        yield _unsupported(f"{path}.imagePullPolicy", policy, ("Always", "IfNotPresent", "Never"))
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        yield from _not_negative(
            container.get(probe, {}),
            f"{path}.{probe}",
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        )
    yield from _resources(container["resources"], f"{path}.resources")


def _resources(resources: Object, path: str) -> Iterator[Cause]:
    limits = resources.get("limits", {})
    for name, requested in resources.get("requests", {}).items():
        wanted, limit = quantity.value(requested), quantity.value(limits.get(name, ""))
        if wanted is not None and limit is not None and wanted > limit:
            yield bad(
                f"{path}.requests",
                requested,
                f"must be less than or equal to {name} limit of {limits[name]}",
            )


def _autoscaler(spec: Object) -> Iterator[Cause]:
    highest = spec.get("maxReplicas", 0)
    if highest < 1:
        yield bad("spec.maxReplicas", highest, "must be greater than 0")
    elif highest < spec["minReplicas"]:
        yield bad("spec.maxReplicas", highest, "must be greater than or equal to `minReplicas`")
    for field in ("kind", "name"):
        if not spec.get("scaleTargetRef", {}).get(field):
            yield _required(f"spec.scaleTargetRef.{field}")


def _network_policy(spec: Object) -> Iterator[Cause]:
    for way in ("ingress", "egress"):
        for index, rule in enumerate(spec.get(way, [])):
            for place, entry in enumerate(rule.get("ports", [])):
                port = entry.get("port", 1)
                if isinstance(port, int) and not 1 <= port <= 65535:
                    path = f"spec.{way}[{index}].ports[{place}].port"
                    yield bad(path, port, "must be between 1 and 65535, inclusive")


def _event(obj: Object) -> Iterator[Cause]:
    about = obj.get("involvedObject", {}).get("namespace", "")
    own = obj["metadata"].get("namespace", "")
    if about != own and not (about == "" and own == "default"):
        yield bad("involvedObject.namespace", about, "does not match event.namespace")
    if obj.get("eventTime"):
        for field in ("reportingComponent", "reportingInstance", "action", "reason"):
            if not obj.get(field):
                yield _required("reportingController" if field == "reportingComponent" else field)


def _immutable(kind: str, old: Object, new: Object) -> Iterator[Cause]:
    if kind == "Deployment" and old["spec"].get("selector") != new["spec"].get("selector"):
        yield bad("spec.selector", new["spec"].get("selector"), "field is immutable")
    if kind == "StatefulSet" and _frozen(old["spec"]) != _frozen(new["spec"]):
        *most, last = (f"'{field}'" for field in _STATEFUL_SET_MUTABLE)
        yield Cause(
            "FieldValueForbidden",
            "spec",
            "Forbidden: updates to statefulset spec for fields other than "
            f"{', '.join(most)} and {last} are forbidden",
        )
    if kind == "RoleBinding" and old["roleRef"] != new.get("roleRef"):
        reference = new.get("roleRef", {})
        spelled = {
            "APIGroup": reference.get("apiGroup", ""),
            "Kind": reference.get("kind", ""),
            "Name": reference.get("name", ""),
        }
        yield bad("roleRef", spelled, "cannot change roleRef")
    if kind == "ConfigMap" and old.get("immutable") and old.get("data") != new.get("data"):
        yield Cause(
            "FieldValueForbidden", "data", "Forbidden: field is immutable when `immutable` is set"
        )


def _frozen(spec: Object) -> Object:
    return {field: value for field, value in spec.items() if field not in _STATEFUL_SET_MUTABLE}
