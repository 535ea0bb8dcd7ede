"""A small Kubernetes API server with its controllers, in one process and over real HTTP,
for the demo and for tests.

    async with Cluster(carbon_ingestion(), kubelet=my_workers) as cluster:
        cluster.kubeconfig(path)      # for the product, kubernetes_asyncio, kubectl
        cluster.inject(Fault("PATCH", ".*/scale", cut=Cut.RESET, after_commit=True))
        cluster.crash("carbon-ingestion", "kafka-0")
        await cluster.settled()

It exists because mocks of Kubernetes say yes too easily: they keep a dry run,
merge lists wrongly, never answer 409, and show a new status in the answer to a
patch. The product would be tested against its own wishes.

**What it does.** Reads and lists with selectors, pages, versions and metadata alone;
strategic merge, merge and JSON patches, server-side apply, managedFields with every write,
replace, create, delete, dry run, fieldValidation, optimistic locks, uid guards, defaults,
generations, refusals with every cause; the scale subresource; pod logs; bearer tokens, 401,
403 and access reviews; Deployments, ReplicaSets, StatefulSets, EndpointSlices,
HorizontalPodAutoscalers (bounds only), PodDisruptionBudgets, the phases of volumes and
claims, namespaces that end, Events by both APIs; failing pods as a test scripts them
(`failures`); custom resources with open schemas, by a CustomResourceDefinition or `install`;
metrics.k8s.io when the embedder supplies numbers; faults on demand.
Pods do real work through the embedder's `Kubelet`.

**What it does not do, and answers with 501 NotImplemented**: watches, API discovery (but for one
group), exec, eviction, Leases, Endpoints, replace, apply and delete by events.k8s.io, patches of
claims, of ReplicaSets and of the spec of pods, apply of a subresource, delete of collections,
foreground deletion, Table output, DaemonSets, Jobs, quotas.

**What it does not do, silently, because no answer could say so**: Roles and RoleBindings as rights
(identities have theirs), the check for escalation; probes, volumes, references to ConfigMaps and
Secrets (but as scripted); what protects volumes from deletion, provisioning; minReadySeconds;
proportional scaling in the middle of a rollout;
claims of new StatefulSets; the sum of requests on a node (a pod must only fit
alone); metrics in autoscaling;
combined events; managedFields of what events.k8s.io writes (told in the words of
core/v1); admission plugins;
ownership of what a scheduler writes, the limit of ten managers,
kubectl's step from client-side to server-side apply; most rules about
values (an invalid object that no recording shows may be accepted).

**How it was held against a real server.** tests/cluster sends recorded exchanges of a v1.36.2
control plane again and compares status, Status.reason, message, details, causes, the whole object,
its managedFields, and what changed in the store; rollouts must pass through the recorded statuses
in their order. tests/cluster/test_traps.py lists 156 facts and where each is held.

Never here: what the product thinks of an answer; anything that reads its settings.
"""

from rehearsal.cluster.access import Identity, Rule
from rehearsal.cluster.cluster import Cluster
from rehearsal.cluster.failures import (
    Broken,
    CrashLoop,
    MissingReference,
    OutOfMemory,
    SlowStart,
    Unready,
)
from rehearsal.cluster.faults import Cut, Fault, too_many_requests
from rehearsal.cluster.kubelet import ContainerExitedError, Kubelet
from rehearsal.cluster.metrics import UsageSource
from rehearsal.cluster.objects import Object
from rehearsal.cluster.platform import carbon_ingestion
from rehearsal.cluster.world import Delays

__all__ = [
    "Broken",
    "Cluster",
    "ContainerExitedError",
    "CrashLoop",
    "Cut",
    "Delays",
    "Fault",
    "Identity",
    "Kubelet",
    "MissingReference",
    "Object",
    "OutOfMemory",
    "Rule",
    "SlowStart",
    "Unready",
    "UsageSource",
    "carbon_ingestion",
    "too_many_requests",
]
