"""Recorded conversations about ownership, applies, guards and operators, sent again in their order.

Every answer is compared: status, headers, refusals word for word, the whole object with its
managedFields (times but for being there), and whether an unchanged object kept its resourceVersion.
Left out: the status of workloads and what kube-controller-manager owns of it (test_rollouts has
those), instants, hashes.
"""

import copy
from collections.abc import Callable

import pytest

from rehearsal.cluster import Cluster, Delays, Object
from tests.cluster.conversation import Conversation, admins
from tests.cluster.recorded import REVISION, exchange, scenario
from tests.cluster.stepped_clock import SteppedClock

AT_ONCE = Delays(0.0, 0.0, 0.0, 0.0)
NAMESPACES = (
    "carbon-ingestion",
    "carbon-gitops",
    "carbon-diff",
    "carbon-guards",
    "carbon-operators",
    "carbon-volumes",
)

NOT_COMPARED = {
    "06b": {
        "apply-escalation": "rights are those of the identities, not of Roles: nothing is compared with them",
        "apply-role-escalation": "as apply-escalation",
    },
    "13e": {
        "release-secret": "the values of Secrets are redacted in the recording",
        "list-releases": "as release-secret",
    },
    "13f": {
        "no-group-in-list": "the list of all groups is 501",
        "read-chi-pod": "the node is another one; its owners are compared in test_custom_resources",
        "delete-crd": "a definition ends at once here, without a finalizer",
    },
    "13h": {
        "delete-pod-right-uid": "its version is said by the dry run before, there as here, but not the same way",
    },
    "13g": {
        "read-hpa": "metrics are not read, so the reason is of a cpu metric",
        "list-hpas": "as read-hpa", "hpa-after": "as read-hpa", "hpa-patch-min": "as read-hpa",
        "hpa-events": "as read-hpa",
    },
}  # fmt: skip
INSTALLED = {
    "13f": ("kafka.strimzi.io", "v1beta2", "kafkas", "Kafka"),
    "13g": ("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject"),
}
WITH_CONTROLLERS = ("13a", "13a2", "13b", "13c", "13d", "13e", "13f", "13g", "13i1")
STILL = ("06a", "06b", "06c", "13h", "13i4")
SCENARIOS = (*STILL, *WITH_CONTROLLERS)


def setup_of(name: str) -> list[Object]:
    """What had been made before the recording began, and is seen first in these answers."""
    seen = {
        "06c": ["read-before"], "13g": ["read-deployment"], "13f": ["read-owned-by-missing-kind"],
        "13h": ["read"], "13a2": ["apply-client-side-2"], "13d": ["sync-client-side-2"],
    }  # fmt: skip
    return [answer_of(name, which) for which in seen.get(name, [])]


def answer_of(name: str, which: str) -> Object:
    return copy.deepcopy(dict(exchange(name, which)["response"]["body"]))


def _pods(name: str, which: str) -> list[Object]:
    return [{"kind": "Pod", "apiVersion": "v1"} | pod for pod in answer_of(name, which)["items"]]


def _applied(name: str, which: str) -> list[Object]:
    """What a GitOps controller had applied, from the manifest that it applies again."""
    manifest = copy.deepcopy(exchange(name, which)["request"]["body"])
    shown = answer_of(name, which)["metadata"]["managedFields"]
    manifest["metadata"]["managedFields"] = [
        entry for entry in shown if entry["manager"] == "kustomize-controller"
    ]
    return [manifest]


def _guarded_pod(which: str) -> list[Object]:
    """A pod of 13h as the answer to its deletion shows it, not yet deleted."""
    pod = answer_of("13h", which)
    del pod["metadata"]["deletionTimestamp"], pod["metadata"]["deletionGracePeriodSeconds"]
    pod["metadata"]["generation"] -= 1
    if which == "delete-pod-right-uid":
        pod["metadata"]["resourceVersion"] = "25687"
    return [pod]


def _namesake(kind: str, api_version: str, name: str, uid: str, spec: Object) -> list[Object]:
    metadata = {"name": name, "namespace": "carbon-guards", "uid": uid}
    return [{"kind": kind, "apiVersion": api_version, "metadata": metadata, "spec": spec}]


def _made_again() -> list[Object]:
    spec = answer_of("13h", "read")["spec"]
    uid = "243d1ccd-fb77-4ed5-8209-b18dad0b5f0d"
    return _namesake("Deployment", "apps/v1", "normalization-service", uid, spec)


def _new_kafka_0() -> list[Object]:
    uid = "a9221bba-d48e-4196-9431-75aad82076d0"
    return _namesake("Pod", "v1", "kafka-0", uid, {"containers": []})


def _before_the_bad_image() -> list[Object]:
    """Two revisions, the second of them running."""
    deployment = answer_of("13i1", "patch-bad-image")
    sets = {
        entry["metadata"]["annotations"][REVISION]: {"kind": "ReplicaSet", "apiVersion": "apps/v1"}
        | entry
        for entry in answer_of("13i1", "kubectl-rollout-undo-3")["items"]
    }
    first, second = sets["1"], sets["2"]
    template = copy.deepcopy(second["spec"]["template"])
    del template["metadata"]["labels"]["pod-template-hash"]
    deployment["spec"]["template"] = template
    deployment["metadata"]["generation"] -= 1
    deployment["metadata"]["managedFields"] = [
        entry
        for entry in deployment["metadata"]["managedFields"]
        if entry["manager"] != "kubectl-set"
    ]
    second["spec"]["replicas"], first["spec"]["replicas"] = deployment["spec"]["replicas"], 0
    return [deployment, first, second]


# What others did between two recorded exchanges.
MEANWHILE: dict[tuple[str, str], Callable[[], list[Object]]] = {
    ("13f", "list-kafka-pods"): lambda: _pods("13f", "list-kafka-pods"),
    ("13h", "pod-annotate-wrong-uid"): lambda: _guarded_pod("delete-pod-right-uid"),
    ("13h", "delete-statefulset-pod"): lambda: _guarded_pod("delete-statefulset-pod"),
    ("13h", "delete-namesake-with-old-uid"): _new_kafka_0,
    ("13h", "patch-recreated-with-old-uid"): _made_again,
    ("13i1", "patch-bad-image"): _before_the_bad_image,
    ("13c", "paramedic-restart"): lambda: _applied("13c", "paramedic-plain-apply"),
    ("13c", "rollout-restart"): lambda: _applied("13c", "rollout-plain-apply"),
    ("13c", "flux-csa-restart"): lambda: _applied("13c", "flux-csa-plain-apply"),
    ("13c", "kubectl-restart"): lambda: _applied("13c", "kubectl-plain-apply"),
}


def node() -> Object:
    room = {"cpu": "16", "memory": "64Gi", "pods": "250"}
    metadata = {"name": "fake-node-1"}
    status = {"allocatable": room, "capacity": room}
    return {"kind": "Node", "apiVersion": "v1", "metadata": metadata, "spec": {}, "status": status}


def namespaces() -> list[Object]:
    return [
        {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}} for name in NAMESPACES
    ]


async def replay(name: str) -> dict[str, list[str]]:
    wrong, clock, still = {}, SteppedClock(), name in STILL
    seeds = [*namespaces(), node(), *setup_of(name)]
    async with Cluster(
        seeds, clock=clock, delays=AT_ONCE, controllers=not still, identities=admins()
    ) as cluster:
        cluster.missing_images.add("registry.example.com/carbon/normalization-service:1.4.4-bad")
        if name in INSTALLED:
            cluster.install(*INSTALLED[name])
        talk = Conversation(cluster, clock, versions_hold=still)
        for recorded in scenario(name)["exchanges"]:
            await talk.until(recorded["t"])
            made = MEANWHILE.get((name, recorded["name"]))
            if made is not None:
                cluster.seed(talk.names.told(made()))
                await talk.until(recorded["t"])
            answer = await talk.ask(recorded)
            if recorded["name"] in NOT_COMPARED.get(name, {}):
                continue
            found = talk.compare(recorded, answer)
            if found:
                wrong[recorded["name"]] = found
    return wrong


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_recorded_conversation_goes_the_same_way_here(name: str) -> None:
    assert await replay(name) == {}


def test_nearly_all_of_the_conversations_is_compared() -> None:
    sent = sum(len(scenario(name)["exchanges"]) for name in SCENARIOS)
    skipped = sum(map(len, NOT_COMPARED.values()))
    assert sent - skipped >= 300, sent - skipped
