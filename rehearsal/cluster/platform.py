"""The platform of the recordings as objects to seed: namespace carbon-ingestion, healthy,
with nothing left out that the product reads.

Spec values are those of the recorded platform; pods come from the controllers.
"""

from rehearsal.cluster.objects import Object

NAMESPACE = "carbon-ingestion"
_CONNECTORS = """connectors:
- name: grid-intensity
  type: http
  interval: 300
- name: smart-meters
  type: kafka
  topic: meters.raw
"""
_PART_OF = {"app.kubernetes.io/part-of": NAMESPACE}


def carbon_ingestion() -> list[Object]:
    """Three nodes, five Deployments, three StatefulSets with their claims and
    volumes, Services, ConfigMaps.
    """
    return [
        {
            "kind": "Namespace",
            "apiVersion": "v1",
            "metadata": {"name": NAMESPACE, "labels": dict(_PART_OF)},
        },
        *(_node(number, zone) for number, zone in ((1, "a"), (2, "b"), (3, "c"))),
        _config_map(
            "carbon-ingestion-config",
            {"BATCH_SIZE": "500", "LOG_LEVEL": "WARNING", "PARALLELISM": "4"},
        ),
        _config_map(
            "connectors-config",
            {
                "connectors.yaml": _CONNECTORS,
            },
        ),
        *_service("normalization-service", "1.4.2", replicas=3),
        *_service("enrichment-service", "2.0.1", replicas=2, sidecar=True),
        *_service("aggregation-service", "1.9.0", replicas=2),
        *_service("schema-registry", "0.7.3"),
        *_service("connector-registry", "0.5.0"),
        *_datastore(
            "kafka",
            "apache/kafka:3.9.1",
            port=9092,
            memory="2Gi",
            disk="20Gi",
            replicas=3,
            env=[{"name": "KAFKA_HEAP_OPTS", "value": "-Xmx1g -Xms1g"}],
        ),
        *_datastore("zookeeper", "zookeeper:3.9.3", port=2181, memory="1Gi", disk="5Gi"),
        *_datastore(
            "clickhouse", "clickhouse/clickhouse-server:25.8", port=8123, memory="4Gi", disk="50Gi"
        ),
    ]


def _labels(name: str, component: str) -> dict[str, str]:
    return {"app.kubernetes.io/component": component, "app.kubernetes.io/name": name, **_PART_OF}


def _metadata(name: str, component: str = "") -> Object:
    metadata: Object = {"name": name, "namespace": NAMESPACE}
    return metadata | ({"labels": _labels(name, component)} if component else {})


def _config_map(name: str, data: dict[str, str]) -> Object:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": _metadata(name), "data": data}


def _node(number: int, zone: str) -> Object:
    name = f"carbon-node-{number}"
    room = {"cpu": "16", "ephemeral-storage": "100Gi", "memory": "64Gi", "pods": "250"}
    healthy = {
        "MemoryPressure": (
            "False",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
        ),
        "DiskPressure": ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        "PIDPressure": ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        "Ready": ("True", "KubeletReady", "kubelet is posting ready status"),
    }
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "node.kubernetes.io/instance-type": "standard-16",
                "topology.kubernetes.io/zone": f"zone-{zone}",
            },
        },
        "spec": {},
        "status": {
            "capacity": dict(room),
            "allocatable": dict(room),
            "conditions": [
                {"type": kind, "status": status, "reason": reason, "message": message}
                for kind, (status, reason, message) in healthy.items()
            ],
            "addresses": [
                {"type": "InternalIP", "address": "127.0.0.1"},
                {"type": "Hostname", "address": name},
            ],
            "nodeInfo": {
                "kubeletVersion": "v1.36.2",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        },
    }


def _service(name: str, version: str, *, replicas: int = 1, sidecar: bool = False) -> list[Object]:
    secret = name.upper().replace("-", "_") + "_API_KEY"
    own: Object = {
        "name": name,
        "image": f"registry.example.com/carbon/{name}:{version}",
        "ports": [
            {"name": "http", "containerPort": 8000},
            {"name": "metrics", "containerPort": 9100},
        ],
        "envFrom": [{"configMapRef": {"name": "carbon-ingestion-config"}}],
        "env": [
            {"name": "KAFKA_BOOTSTRAP_SERVERS", "value": "kafka-headless:9092"},
            {"name": "API_KEY", "valueFrom": {"secretKeyRef": {"name": "api-keys", "key": secret}}},
        ],
        "resources": {
            "limits": {"cpu": "1", "memory": "1Gi"},
            "requests": {"cpu": "250m", "memory": "512Mi"},
        },
        "volumeMounts": [
            {"name": "connectors", "readOnly": True, "mountPath": "/etc/carbon/connectors"}
        ],
        "livenessProbe": {
            "httpGet": {"path": "/health/live", "port": "http"},
            "initialDelaySeconds": 10,
            "timeoutSeconds": 2,
        },
        "readinessProbe": {
            "httpGet": {"path": "/health/ready", "port": "http"},
            "periodSeconds": 5,
            "timeoutSeconds": 2,
        },
    }
    exporter = {
        "name": "statsd-exporter",
        "image": "registry.example.com/carbon/statsd-exporter:0.28.0",
        "ports": [{"name": "statsd", "containerPort": 9102}],
        "resources": {
            "limits": {"cpu": "100m", "memory": "128Mi"},
            "requests": {"cpu": "50m", "memory": "64Mi"},
        },
    }
    pod = {
        "containers": [own, exporter] if sidecar else [own],
        "serviceAccountName": NAMESPACE,
        "volumes": [{"name": "connectors", "configMap": {"name": "connectors-config"}}],
    }
    deployment = {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": _metadata(name, "service"),
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 5,
            "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
            "template": {"metadata": {"labels": _labels(name, "service")}, "spec": pod},
        },
    }
    return [_network(name, name, {"name": "http", "port": 80, "targetPort": "http"}), deployment]


def _network(name: str, selects: str, port: Object, **more: str) -> Object:
    return {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": _labels(selects, "network")},
        "spec": {"ports": [port], "selector": {"app.kubernetes.io/name": selects}, **more},
    }


def _datastore(
    name: str,
    image: str,
    *,
    port: int,
    memory: str,
    disk: str,
    replicas: int = 1,
    env: list[Object] | None = None,
) -> list[Object]:
    probe: Object = {"tcpSocket": {"port": "client"}}
    container: Object = {
        "name": name,
        "image": f"registry.example.com/{image}",
        "ports": [{"name": "client", "containerPort": port}],
        "resources": {"limits": {"memory": memory}, "requests": {"cpu": "500m", "memory": memory}},
        "volumeMounts": [{"name": "data", "mountPath": f"/var/lib/{name}"}],
        "livenessProbe": probe | {"initialDelaySeconds": 30},
        "readinessProbe": probe | {"periodSeconds": 5},
    }
    if env:
        container["env"] = env
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "standard",
            "resources": {"requests": {"storage": disk}},
        },
    }
    stateful_set = {
        "kind": "StatefulSet",
        "apiVersion": "apps/v1",
        "metadata": _metadata(name, "datastore"),
        "spec": {
            "replicas": replicas,
            "serviceName": f"{name}-headless",
            "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
            "volumeClaimTemplates": [claim],
            "template": {
                "metadata": {"labels": _labels(name, "datastore")},
                "spec": {
                    "containers": [container],
                    "terminationGracePeriodSeconds": 60,
                    "serviceAccountName": NAMESPACE,
                },
            },
        },
    }
    network = _network(
        f"{name}-headless",
        name,
        {"name": "client", "port": port, "targetPort": "client"},
        clusterIP="None",
    )
    kept = [made(name, n, disk) for n in range(replicas) for made in (_claim, _volume)]
    return [network, *kept, stateful_set]


def _claim(owner: str, ordinal: int, disk: str) -> Object:
    return {
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "metadata": {
            "name": f"data-{owner}-{ordinal}",
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/name": owner},
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": disk}},
            "volumeName": f"pv-{owner}-{ordinal}",
            "storageClassName": "standard",
            "volumeMode": "Filesystem",
        },
        "status": {
            "phase": "Bound",
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": disk},
        },
    }


def _volume(owner: str, ordinal: int, disk: str) -> Object:
    return {
        "kind": "PersistentVolume",
        "apiVersion": "v1",
        "metadata": {"name": f"pv-{owner}-{ordinal}"},
        "spec": {
            "capacity": {"storage": disk},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": f"/var/volumes/{owner}-{ordinal}", "type": ""},
            "claimRef": {
                "kind": "PersistentVolumeClaim",
                "namespace": NAMESPACE,
                "name": f"data-{owner}-{ordinal}",
            },
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "standard",
            "volumeMode": "Filesystem",
        },
        "status": {"phase": "Bound"},
    }
