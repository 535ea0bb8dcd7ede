"""The fields of the kinds that can be written here: their types,
and the keys by which list items are found.

One line a type. `[T]` is a list that is replaced whole, `[T|key]` one merged
by that key (`[T|a+b]`: strategic merge patches go by a, ownership by both),
`{T}` a map, `*` anything of a known kind, `open` of an unknown one.
Decoding, patches and the ownership of fields all read it. A test holds the names against the client
library's own models. Never here: rules about values.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

_TYPES = {
    "ObjectMeta": """name:string generateName:string namespace:string uid:string resourceVersion:string
        generation:int64 creationTimestamp:time deletionTimestamp:time deletionGracePeriodSeconds:int64
        labels:{string} annotations:{string} finalizers:[string|=] ownerReferences:[OwnerReference|uid]
        managedFields:[*]
        selfLink:string""",
    "LabelSelector": "matchLabels:{string} matchExpressions:[*]",
    "OwnerReference": """apiVersion:string kind:string name:string uid:string controller:bool
        blockOwnerDeletion:bool""",
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
    "Pod": "kind:string apiVersion:string metadata:ObjectMeta spec:PodSpec status:PodStatus",
    "PodStatus": """observedGeneration:int64 phase:string conditions:[*|type] message:string reason:string
        nominatedNodeName:string hostIP:string hostIPs:[*] podIP:string podIPs:[*|ip] startTime:time
        initContainerStatuses:[*] containerStatuses:[*] qosClass:string ephemeralContainerStatuses:[*] resize:string
        resourceClaimStatuses:[*|name] extendedResourceClaimStatus:* allocatedResources:{quantity} resources:*""",
    "ReplicaSet": "kind:string apiVersion:string metadata:ObjectMeta spec:ReplicaSetSpec status:ReplicaSetStatus",
    "ReplicaSetSpec": "replicas:int32 selector:LabelSelector template:PodTemplateSpec minReadySeconds:int32",
    "ReplicaSetStatus": """replicas:int32 fullyLabeledReplicas:int32 readyReplicas:int32 availableReplicas:int32
        terminatingReplicas:int32 observedGeneration:int64 conditions:[*|type]""",
    "NetworkPolicy": "kind:string apiVersion:string metadata:ObjectMeta spec:NetworkPolicySpec",
    "NetworkPolicySpec": """podSelector:LabelSelector policyTypes:[string] ingress:[NetworkPolicyIngressRule]
        egress:[NetworkPolicyEgressRule]""",
    "NetworkPolicyIngressRule": "ports:[NetworkPolicyPort] from:[NetworkPolicyPeer]",
    "NetworkPolicyEgressRule": "ports:[NetworkPolicyPort] to:[NetworkPolicyPeer]",
    "NetworkPolicyPort": "protocol:string port:intorstring endPort:int32",
    "NetworkPolicyPeer": "podSelector:LabelSelector namespaceSelector:LabelSelector ipBlock:IPBlock",
    "IPBlock": "cidr:string except:[string]",
    "Role": "kind:string apiVersion:string metadata:ObjectMeta rules:[PolicyRule]",
    "PolicyRule": """verbs:[string] apiGroups:[string] resources:[string] resourceNames:[string]
        nonResourceURLs:[string]""",
    "RoleBinding": "kind:string apiVersion:string metadata:ObjectMeta subjects:[Subject] roleRef:RoleRef",
    "Subject": "kind:string apiGroup:string name:string namespace:string",
    "RoleRef": "apiGroup:string kind:string name:string",
    "ServiceAccount": """kind:string apiVersion:string metadata:ObjectMeta secrets:[Reference|name]
        imagePullSecrets:[Reference|name] automountServiceAccountToken:bool""",
    "PodDisruptionBudget": """kind:string apiVersion:string metadata:ObjectMeta spec:PodDisruptionBudgetSpec
        status:PodDisruptionBudgetStatus""",
    "PodDisruptionBudgetSpec": """minAvailable:intorstring maxUnavailable:intorstring selector:LabelSelector
        unhealthyPodEvictionPolicy:string""",
    "PodDisruptionBudgetStatus": """observedGeneration:int64 disruptedPods:* disruptionsAllowed:int32
        currentHealthy:int32 desiredHealthy:int32 expectedPods:int32 conditions:[*|type]""",
    "PersistentVolumeClaim": """kind:string apiVersion:string metadata:ObjectMeta
        spec:PersistentVolumeClaimSpec status:*""",
    "PersistentVolumeClaimSpec": """accessModes:[string] selector:LabelSelector resources:VolumeResourceRequirements
        volumeName:string storageClassName:string volumeMode:string dataSource:Reference dataSourceRef:*
        volumeAttributesClassName:string""",
    "VolumeResourceRequirements": "limits:{quantity} requests:{quantity}",
    "PersistentVolume": "kind:string apiVersion:string metadata:ObjectMeta spec:PersistentVolumeSpec status:*",
    "PersistentVolumeSpec": """capacity:{quantity} accessModes:[string] claimRef:ObjectReference
        persistentVolumeReclaimPolicy:string storageClassName:string mountOptions:[string] volumeMode:string
        nodeAffinity:* volumeAttributesClassName:string hostPath:* nfs:* local:* csi:* fc:* iscsi:* rbd:* cephfs:*""",
    "Service": "kind:string apiVersion:string metadata:ObjectMeta spec:ServiceSpec status:*",
    "ServiceSpec": """ports:[ServicePort|port+protocol] selector:{string} clusterIP:string clusterIPs:[string]
        type:string externalIPs:[string] sessionAffinity:string loadBalancerIP:string
        loadBalancerSourceRanges:[string] externalName:string externalTrafficPolicy:string
        healthCheckNodePort:int32 publishNotReadyAddresses:bool sessionAffinityConfig:* ipFamilies:[string]
        ipFamilyPolicy:string allocateLoadBalancerNodePorts:bool loadBalancerClass:string
        internalTrafficPolicy:string trafficDistribution:string""",
    "ServicePort": """name:string protocol:string appProtocol:string port:int32 targetPort:intorstring
        nodePort:int32""",
    "PodSpec": """volumes:[*|name] initContainers:[Container|name] containers:[Container|name]
        ephemeralContainers:[*|name] restartPolicy:string terminationGracePeriodSeconds:int64
        activeDeadlineSeconds:int64 dnsPolicy:string nodeSelector:{string} serviceAccountName:string
        serviceAccount:string automountServiceAccountToken:bool nodeName:string hostNetwork:bool hostPID:bool
        hostIPC:bool shareProcessNamespace:bool securityContext:* imagePullSecrets:[*|name] hostname:string
        subdomain:string affinity:* schedulerName:string tolerations:[*] hostAliases:[*|ip]
        priorityClassName:string priority:int32 dnsConfig:* readinessGates:[*] runtimeClassName:string
        enableServiceLinks:bool preemptionPolicy:string overhead:{quantity}
        topologySpreadConstraints:[*|topologyKey+whenUnsatisfiable] setHostnameAsFQDN:bool os:* hostUsers:bool
        schedulingGates:[*|name]
        resourceClaims:[*|name] resources:ResourceRequirements hostnameOverride:string schedulingGroup:*""",
    "Container": """name:string image:string command:[string] args:[string] workingDir:string
        ports:[ContainerPort|containerPort+protocol] envFrom:[*] env:[EnvVar|name] resources:ResourceRequirements
        resizePolicy:[*] restartPolicy:string restartPolicyRules:[*] volumeMounts:[VolumeMount|mountPath]
        volumeDevices:[*|devicePath] livenessProbe:Probe readinessProbe:Probe startupProbe:Probe lifecycle:*
        terminationMessagePath:string terminationMessagePolicy:string imagePullPolicy:string securityContext:*
        stdin:bool stdinOnce:bool tty:bool""",
    "ContainerPort": "name:string hostPort:int32 containerPort:int32 protocol:string hostIP:string",
    "EnvVar": "name:string value:string valueFrom:EnvVarSource",
    "EnvVarSource": """fieldRef:Reference resourceFieldRef:Reference configMapKeyRef:Reference
        secretKeyRef:Reference fileKeyRef:Reference""",
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
    "EventsV1Event": """kind:string apiVersion:string metadata:ObjectMeta eventTime:microtime series:EventSeries
        reportingController:string reportingInstance:string action:string reason:string regarding:ObjectReference
        related:ObjectReference note:string type:string deprecatedSource:EventSource
        deprecatedFirstTimestamp:time deprecatedLastTimestamp:time deprecatedCount:int32""",
    "ObjectReference": """kind:string namespace:string name:string uid:string apiVersion:string
        resourceVersion:string fieldPath:string""",
    "EventSource": "component:string host:string",
    "EventSeries": "count:int32 lastObservedTime:microtime",
    "HorizontalPodAutoscaler": """kind:string apiVersion:string metadata:ObjectMeta
        spec:HorizontalPodAutoscalerSpec status:HorizontalPodAutoscalerStatus""",
    "HorizontalPodAutoscalerStatus": """observedGeneration:int64 lastScaleTime:time currentReplicas:int32
        desiredReplicas:int32 currentMetrics:[*] conditions:[*|type]""",
    "HorizontalPodAutoscalerSpec": """scaleTargetRef:CrossVersionObjectReference minReplicas:int32 maxReplicas:int32
        metrics:[*] behavior:*""",
    "CrossVersionObjectReference": "kind:string name:string apiVersion:string",
    "Scale": "kind:string apiVersion:string metadata:ObjectMeta spec:ScaleSpec status:ScaleStatus",
    "ScaleSpec": "replicas:int32",
    "ScaleStatus": "replicas:int32 selector:string",
}


_OWNED_WHOLE = {"LabelSelector", "RoleRef", "Reference", "OwnerReference", "ObjectReference"}
_WITHOUT_FIELDS = {"Reference"}  # whole for ownership, anything for decoding


@dataclass(frozen=True, slots=True)
class Struct:
    name: str
    fields: Mapping[str, "Type"]

    @property
    def owned_whole(self) -> bool:
        """One field for ownership, however many it has."""
        return self.name in _OWNED_WHOLE


@dataclass(frozen=True, slots=True)
class ListOf:
    """`keys`: none, the list is replaced whole; "=", a set of plain values;
    else what tells items apart.
    """

    item: "Type"
    keys: tuple[str, ...] = ()

    @property
    def key(self) -> str | None:
        """What a strategic merge patch goes by."""
        return self.keys[0] if self.keys else None


@dataclass(frozen=True, slots=True)
class MapOf:
    value: "Type"


@dataclass(frozen=True, slots=True)
class Leaf:
    kind: str  # string int32 int64 bool quantity time microtime intorstring, or one of ANY_KINDS


Type = Struct | ListOf | MapOf | Leaf
ANYTHING = Leaf("*")
WHOLE = Leaf("*whole")
OPEN = Leaf("open")
ANY_KINDS = {leaf.kind for leaf in (ANYTHING, WHOLE, OPEN)}
_CUSTOM = {
    "kind": "string",
    "apiVersion": "string",
    "metadata": "ObjectMeta",
    "spec": "open",
    "status": "open",
}


@cache
def type_named(name: str) -> Type:
    if name.startswith("["):
        item, _, key = name[1:-1].partition("|")
        return ListOf(type_named(item), tuple(key.split("+")) if key else ())
    if name.startswith("{"):
        return MapOf(type_named(name[1:-1]))
    if name in _WITHOUT_FIELDS:
        return WHOLE
    if name not in _TYPES:
        return Leaf(name)
    fields = (entry.split(":", 1) for entry in _TYPES[name].split())
    return Struct(name, {field: type_named(kind) for field, kind in fields})


@cache
def type_of_custom_resource() -> Type:
    """Of a CustomResourceDefinition with an open schema: spec and status take
    any field, the root none.
    """
    return Struct("CustomResource", {field: type_named(kind) for field, kind in _CUSTOM.items()})


def type_of_kind(kind: str) -> Type:
    """Of a kind that is only read here: anything."""
    return type_named(kind) if kind in _TYPES else ANYTHING
