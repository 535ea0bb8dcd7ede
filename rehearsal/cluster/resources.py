"""Which kinds exist, under which path, and what may be done to them here.

Never here: objects, or how a verb works.
"""

from dataclasses import dataclass
from enum import Enum


class Generation(Enum):
    """What makes metadata.generation rise."""

    NEVER = "the kind has no generation"
    SPEC = "a change of spec"
    SPEC_AND_ANNOTATIONS = "a change of spec or of metadata.annotations: Deployments alone"


READ = frozenset({"get", "list"})
WRITE = READ | {"create", "update", "patch", "delete"}


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind. `verbs` are those emulated: the server knows more, and those answer 501."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    verbs: frozenset[str] = READ
    subresources: frozenset[str] = frozenset()
    generation: Generation = Generation.NEVER
    has_status: bool = False
    field_labels: frozenset[str] = frozenset()
    custom: bool = False  # of a CustomResourceDefinition, with an open schema

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As messages name it: `deployments.apps`, `pods`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def selectable(self) -> frozenset[str]:
        own = {"metadata.name", "metadata.namespace"} if self.namespaced else {"metadata.name"}
        return self.field_labels | own


_POD_FIELDS = frozenset(
    {
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    }
)
_EVENT_FIELDS = frozenset(
    {
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    }
)
_SCALABLE = frozenset({"scale", "status"})

PODS = Resource(
    "",
    "v1",
    "pods",
    "Pod",
    verbs=WRITE - {"update"},
    subresources=frozenset({"log", "status"}),
    generation=Generation.SPEC,
    has_status=True,
    field_labels=_POD_FIELDS,
)
EVENTS = Resource("", "v1", "events", "Event", verbs=WRITE, field_labels=_EVENT_FIELDS)
# The same objects under other names: newer_events.py.
NEWER_EVENTS = Resource(
    "events.k8s.io",
    "v1",
    "events",
    "Event",
    verbs=READ | {"create", "patch"},
    field_labels=frozenset(
        {
            *(name.replace("involvedObject", "regarding") for name in _EVENT_FIELDS if "." in name),
            "reason",
            "reportingController",
            "type",
        }
    ),
)
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", verbs=WRITE)
NAMESPACES = Resource(
    "",
    "v1",
    "namespaces",
    "Namespace",
    namespaced=False,
    verbs=READ | {"create", "delete"},
    has_status=True,
    field_labels=frozenset({"status.phase"}),
)
NODES = Resource(
    "",
    "v1",
    "nodes",
    "Node",
    namespaced=False,
    has_status=True,
    field_labels=frozenset({"spec.unschedulable"}),
)
SERVICES = Resource("", "v1", "services", "Service", verbs=WRITE, has_status=True)
CLAIMS = Resource(
    "",
    "v1",
    "persistentvolumeclaims",
    "PersistentVolumeClaim",
    verbs=WRITE - {"patch", "update"},
    has_status=True,
)
VOLUMES = Resource(
    "",
    "v1",
    "persistentvolumes",
    "PersistentVolume",
    namespaced=False,
    verbs=WRITE,
    has_status=True,
)
SECRETS = Resource("", "v1", "secrets", "Secret", verbs=WRITE, field_labels=frozenset({"type"}))
BUDGETS = Resource(
    "policy",
    "v1",
    "poddisruptionbudgets",
    "PodDisruptionBudget",
    verbs=WRITE,
    generation=Generation.SPEC,
    has_status=True,
)
POLICIES = Resource(
    "networking.k8s.io",
    "v1",
    "networkpolicies",
    "NetworkPolicy",
    verbs=WRITE,
    generation=Generation.SPEC,
)
DEPLOYMENTS = Resource(
    "apps",
    "v1",
    "deployments",
    "Deployment",
    verbs=WRITE,
    subresources=_SCALABLE,
    generation=Generation.SPEC_AND_ANNOTATIONS,
    has_status=True,
)
STATEFUL_SETS = Resource(
    "apps",
    "v1",
    "statefulsets",
    "StatefulSet",
    verbs=WRITE,
    subresources=_SCALABLE,
    generation=Generation.SPEC,
    has_status=True,
)
REPLICA_SETS = Resource(
    "apps", "v1", "replicasets", "ReplicaSet", generation=Generation.SPEC, has_status=True
)
REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
AUTOSCALERS = Resource(
    "autoscaling",
    "v2",
    "horizontalpodautoscalers",
    "HorizontalPodAutoscaler",
    verbs=WRITE,
    has_status=True,
)
SLICES = Resource(
    "discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", generation=Generation.SPEC
)
ACCESS_REVIEWS = Resource(
    "authorization.k8s.io",
    "v1",
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
    namespaced=False,
    verbs=frozenset({"create"}),
)
SUBJECT_REVIEWS = Resource(
    "authorization.k8s.io",
    "v1",
    "subjectaccessreviews",
    "SubjectAccessReview",
    namespaced=False,
    verbs=frozenset({"create"}),
)
POD_METRICS = Resource("metrics.k8s.io", "v1beta1", "pods", "PodMetrics")
NODE_METRICS = Resource("metrics.k8s.io", "v1beta1", "nodes", "NodeMetrics", namespaced=False)

DEFINITIONS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    namespaced=False,
    verbs=WRITE,
    generation=Generation.SPEC,
    has_status=True,
)

_AS_WRITTEN = (
    # No controller here acts on these: they are read back as they were written.
    SECRETS,
    POLICIES,
    Resource("", "v1", "serviceaccounts", "ServiceAccount", verbs=WRITE),
    Resource("rbac.authorization.k8s.io", "v1", "roles", "Role", verbs=WRITE),
    Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", verbs=WRITE),
)

EMULATED = (
    PODS,
    EVENTS,
    CONFIG_MAPS,
    NAMESPACES,
    NODES,
    SERVICES,
    CLAIMS,
    VOLUMES,
    BUDGETS,
    DEFINITIONS,
    DEPLOYMENTS,
    STATEFUL_SETS,
    REPLICA_SETS,
    REVISIONS,
    AUTOSCALERS,
    SLICES,
    ACCESS_REVIEWS,
    SUBJECT_REVIEWS,
    *_AS_WRITTEN,
)

_BY_PATH = {
    (resource.group, resource.version, resource.plural): resource
    for resource in (*EMULATED, NEWER_EVENTS)
}
_BY_KIND = {(resource.api_version, resource.kind): resource for resource in EMULATED}
_BY_PLURAL = {resource.plural: resource for resource in reversed(EMULATED)}

REAL_BUT_NOT_HERE = {
    # What a v1.36 server has at these paths: 501 and not 404,
    # so that nobody takes a gap for an answer.
    ("", "v1"): {
        "bindings",
        "componentstatuses",
        "endpoints",
        "limitranges",
        "podtemplates",
        "replicationcontrollers",
        "resourcequotas",
    },
    ("apps", "v1"): {"daemonsets"},
    ("apiextensions.k8s.io", "v1"): set[str](),
    ("autoscaling", "v2"): set[str](),
    ("autoscaling", "v1"): {"horizontalpodautoscalers"},
    ("batch", "v1"): {"jobs", "cronjobs"},
    ("coordination.k8s.io", "v1"): {"leases"},
    ("discovery.k8s.io", "v1"): set[str](),
    ("events.k8s.io", "v1"): set[str](),
    ("networking.k8s.io", "v1"): {"ingresses", "ingressclasses", "ipaddresses", "servicecidrs"},
    ("policy", "v1"): set[str](),
    ("rbac.authorization.k8s.io", "v1"): {"clusterroles", "clusterrolebindings"},
    ("authorization.k8s.io", "v1"): {
        "selfsubjectrulesreviews",
        "localsubjectaccessreviews",
    },
    ("authentication.k8s.io", "v1"): {"selfsubjectreviews", "tokenreviews"},
    ("storage.k8s.io", "v1"): {"storageclasses", "csidrivers", "csinodes", "volumeattachments"},
    ("scheduling.k8s.io", "v1"): {"priorityclasses"},
}

CLUSTER_SCOPED_BUT_NOT_HERE = frozenset(
    {
        "componentstatuses",
        "ingressclasses",
        "ipaddresses",
        "servicecidrs",
        "clusterroles",
        "clusterrolebindings",
        "selfsubjectrulesreviews",
        "selfsubjectreviews",
        "tokenreviews",
        "storageclasses",
        "csidrivers",
        "csinodes",
        "volumeattachments",
        "priorityclasses",
    }
)


def by_path(group: str, version: str, plural: str) -> Resource | None:
    return _BY_PATH.get((group, version, plural))


def by_kind(api_version: str, kind: str) -> Resource | None:
    return _BY_KIND.get((api_version, kind))


def by_plural(plural: str) -> Resource:
    """For embedders, who say `deployments` and mean the one kind of that name."""
    return _BY_PLURAL[plural]
