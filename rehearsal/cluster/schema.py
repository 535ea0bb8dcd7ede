"""The fields of the kinds that can be written here: their types, and the keys by which strategic merge finds items.

One line a type. `[T]` is a list that is replaced whole, `[T|key]` one merged by that key, `{T}` a map, `*` anything.
Called by decoding (types, unknown fields) and by patches (merge keys). A test holds the names against the client
library's own models. Never here: rules about values.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

_TYPES = {
    "ObjectMeta": """name:string generateName:string namespace:string uid:string resourceVersion:string
        generation:int64 creationTimestamp:time deletionTimestamp:time deletionGracePeriodSeconds:int64
        labels:{string} annotations:{string} finalizers:[string|=] ownerReferences:[*|uid] managedFields:[*]
        selfLink:string""",
    "LabelSelector": "matchLabels:{string} matchExpressions:[*]",
    "ConfigMap": "kind:string apiVersion:string metadata:ObjectMeta data:{string} binaryData:{string} immutable:bool",
    "Namespace": "kind:string apiVersion:string metadata:ObjectMeta spec:NamespaceSpec status:*",
    "NamespaceSpec": "finalizers:[string]",
    "Deployment": "kind:string apiVersion:string metadata:ObjectMeta spec:DeploymentSpec status:DeploymentStatus",
    "DeploymentSpec": """replicas:int32 selector:LabelSelector template:PodTemplateSpec strategy:DeploymentStrategy
        minReadySeconds:int32 revisionHistoryLimit:int32 paused:bool progressDeadlineSeconds:int32""",
    "DeploymentStrategy": "type:string rollingUpdate:RollingUpdateDeployment",
    "RollingUpdateDeployment": "maxUnavailable:intorstring maxSurge:intorstring",
    "DeploymentStatus": """observedGeneration:int64 replicas:int32 updatedReplicas:int32 readyReplicas:int32
        availableReplicas:int32 unavailableReplicas:int32 terminatingReplicas:int32 conditions:[*|type]
        collisionCount:int32""",
    "StatefulSet": "kind:string apiVersion:string metadata:ObjectMeta spec:StatefulSetSpec status:StatefulSetStatus",
    "StatefulSetSpec": """replicas:int32 selector:LabelSelector template:PodTemplateSpec volumeClaimTemplates:[*]
        serviceName:string podManagementPolicy:string updateStrategy:StatefulSetUpdateStrategy
        revisionHistoryLimit:int32 minReadySeconds:int32 persistentVolumeClaimRetentionPolicy:* ordinals:*""",
    "StatefulSetUpdateStrategy": "type:string rollingUpdate:RollingUpdateStatefulSetStrategy",
    "RollingUpdateStatefulSetStrategy": "partition:int32 maxUnavailable:intorstring",
    "StatefulSetStatus": """observedGeneration:int64 replicas:int32 readyReplicas:int32 currentReplicas:int32
        updatedReplicas:int32 currentRevision:string updateRevision:string collisionCount:int32
        conditions:[*|type] availableReplicas:int32""",
    "PodTemplateSpec": "metadata:ObjectMeta spec:PodSpec",
    "Pod": "kind:string apiVersion:string metadata:ObjectMeta spec:PodSpec status:*",
    "PodSpec": """volumes:[*|name] initContainers:[Container|name] containers:[Container|name]
        ephemeralContainers:[*|name] restartPolicy:string terminationGracePeriodSeconds:int64
        activeDeadlineSeconds:int64 dnsPolicy:string nodeSelector:{string} serviceAccountName:string
        serviceAccount:string automountServiceAccountToken:bool nodeName:string hostNetwork:bool hostPID:bool
        hostIPC:bool shareProcessNamespace:bool securityContext:* imagePullSecrets:[*|name] hostname:string
        subdomain:string affinity:* schedulerName:string tolerations:[*] hostAliases:[*|ip]
        priorityClassName:string priority:int32 dnsConfig:* readinessGates:[*] runtimeClassName:string
        enableServiceLinks:bool preemptionPolicy:string overhead:{quantity}
        topologySpreadConstraints:[*|topologyKey] setHostnameAsFQDN:bool os:* hostUsers:bool schedulingGates:[*|name]
        resourceClaims:[*|name] resources:ResourceRequirements hostnameOverride:string schedulingGroup:*""",
    "Container": """name:string image:string command:[string] args:[string] workingDir:string
        ports:[ContainerPort|containerPort] envFrom:[*] env:[EnvVar|name] resources:ResourceRequirements
        resizePolicy:[*] restartPolicy:string restartPolicyRules:[*] volumeMounts:[VolumeMount|mountPath]
        volumeDevices:[*|devicePath] livenessProbe:Probe readinessProbe:Probe startupProbe:Probe lifecycle:*
        terminationMessagePath:string terminationMessagePolicy:string imagePullPolicy:string securityContext:*
        stdin:bool stdinOnce:bool tty:bool""",
    "ContainerPort": "name:string hostPort:int32 containerPort:int32 protocol:string hostIP:string",
    "EnvVar": "name:string value:string valueFrom:EnvVarSource",
    "EnvVarSource": "fieldRef:* resourceFieldRef:* configMapKeyRef:* secretKeyRef:* fileKeyRef:*",
    "ResourceRequirements": "limits:{quantity} requests:{quantity} claims:[*|name]",
    "VolumeMount": """name:string readOnly:bool recursiveReadOnly:string mountPath:string subPath:string
        mountPropagation:string subPathExpr:string""",
    "Probe": """exec:* httpGet:HTTPGetAction tcpSocket:* grpc:* initialDelaySeconds:int32 timeoutSeconds:int32
        periodSeconds:int32 successThreshold:int32 failureThreshold:int32 terminationGracePeriodSeconds:int64""",
    "HTTPGetAction": "path:string port:intorstring host:string scheme:string httpHeaders:[*]",
    "Event": """kind:string apiVersion:string metadata:ObjectMeta involvedObject:ObjectReference reason:string
        message:string source:EventSource firstTimestamp:time lastTimestamp:time count:int32 type:string
        eventTime:microtime series:EventSeries action:string related:ObjectReference reportingComponent:string
        reportingInstance:string""",
    "ObjectReference": """kind:string namespace:string name:string uid:string apiVersion:string
        resourceVersion:string fieldPath:string""",
    "EventSource": "component:string host:string",
    "EventSeries": "count:int32 lastObservedTime:microtime",
    "HorizontalPodAutoscaler": """kind:string apiVersion:string metadata:ObjectMeta
        spec:HorizontalPodAutoscalerSpec status:*""",
    "HorizontalPodAutoscalerSpec": """scaleTargetRef:CrossVersionObjectReference minReplicas:int32 maxReplicas:int32
        metrics:[*] behavior:*""",
    "CrossVersionObjectReference": "kind:string name:string apiVersion:string",
    "Scale": "kind:string apiVersion:string metadata:ObjectMeta spec:ScaleSpec status:ScaleStatus",
    "ScaleSpec": "replicas:int32",
    "ScaleStatus": "replicas:int32 selector:string",
}


@dataclass(frozen=True, slots=True)
class Struct:
    name: str
    fields: Mapping[str, "Type"]


@dataclass(frozen=True, slots=True)
class ListOf:
    item: "Type"
    key: (
        str | None
    )  # None: replaced whole; "=": a set of plain values; else the field that tells items apart


@dataclass(frozen=True, slots=True)
class MapOf:
    value: "Type"


@dataclass(frozen=True, slots=True)
class Leaf:
    kind: str  # string int32 int64 bool quantity time microtime intorstring, or * for anything


Type = Struct | ListOf | MapOf | Leaf
ANYTHING = Leaf("*")


@cache
def type_named(name: str) -> Type:
    if name.startswith("["):
        item, _, key = name[1:-1].partition("|")
        return ListOf(type_named(item), key or None)
    if name.startswith("{"):
        return MapOf(type_named(name[1:-1]))
    if name not in _TYPES:
        return Leaf(name)
    fields = (entry.split(":", 1) for entry in _TYPES[name].split())
    return Struct(name, {field: type_named(kind) for field, kind in fields})


def type_of_kind(kind: str) -> Type:
    """Of a kind that is only read here: anything."""
    return type_named(kind) if kind in _TYPES else ANYTHING
