"""Chapters 5.1 and 5.2 on the recorded platform: what drifted or is missing,
and the rung of its row.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.diagnose.probes.access import access, right
from service.diagnose.probes.certificates import Certificate, Certificates
from service.diagnose.probes.known_good import differing, manifests_in, meaning
from service.diagnose.probes.paths import NetworkPath, NetworkPaths, paths
from service.kit.deadline import Deadline
from service.model.errors import BadInput, Unavailable
from service.model.evidence import Evidence, Known
from service.model.target import Target
from service.route.target import Destination, Unrouted, destination
from tests.unit.made import alert
from tests.wire.diagnosing import RECORDED_AT, SHIPPED, deployment, diagnosed, playbook, proposed
from tests.wire.recorded import FOLDER, NAMESPACE, Recorded, playing

AUTHENTICATION, NETWORK = playbook("5.1-authentication.yaml"), playbook("5.2-network.yaml")
SECRETS = playbook("5.1-secrets.yaml")
CERTIFICATES = playbook("5.1-certificates.yaml")
KNOWN_GOOD = Path(__file__).resolve().parents[2] / "rules" / "known-good"
TARGET, CONNECTORS = deployment("normalization-service"), deployment("connector-registry")

Change = Callable[[Recorded], None]


def nothing(cluster: Recorded) -> None:
    """As it was recorded."""


def role_drifted(cluster: Recorded) -> None:
    rules = cluster.collection("roles")["carbon-ingestion"]["rules"]
    rules[0]["verbs"] = ["get"]


def binding_gone(cluster: Recorded) -> None:
    cluster.collection("rolebindings").clear()


def account_gone(cluster: Recorded) -> None:
    del cluster.collection("serviceaccounts")["carbon-ingestion"]


def known(evidence: Evidence, **values: object) -> Evidence:
    readings = {n: Known(v, n, RECORDED_AT, 0.01) for n, v in values.items()}
    return replace(evidence, **readings)  # type: ignore[arg-type] # readings of this evidence


LONG = Certificates((), "ca", 90 * 86400.0)
SOON = Certificates((Certificate("tls", NAMESPACE, 86400.0),), "tls", 86400.0)
MANY, FEW = {"auth_failures": 3.0}, {"auth_failures": 0.1}


@pytest.mark.parametrize(
    ("scenario", "until", "change", "target", "series", "certificates", "rung", "says"),
    [
        pytest.param(
            "01_healthy", None, role_drifted, TARGET, MANY, LONG, "restore-rbac", "role-carbon-ingestion.yaml",
            id="a role that drifted: the known-good one, when a person says yes",
        ),
        pytest.param(
            "01_healthy", None, binding_gone, TARGET, MANY, LONG, "restore-rbac", "RoleBinding/carbon-ingestion",
            id="a binding that is gone: the known-good one",
        ),
        pytest.param(
            "02l_missing_secret", "list-pod-events", nothing, CONNECTORS, MANY, LONG, "missing-secret",
            "connector-credentials", id="a Secret that is missing: a person, with its name",
        ),
        pytest.param(
            "02d_createcontainerconfigerror", None, nothing, CONNECTORS, MANY, LONG, "missing-secret-key",
            "CONNECTOR_REGISTRY_API_KEY_V2", id="a key that is missing: a person, with its name",
        ),
        pytest.param(
            "01_healthy", None, account_gone, TARGET, MANY, LONG, "missing-account",
            "ServiceAccount carbon-ingestion does not exist", id="the account is gone: a person",
        ),
        pytest.param(
            "01_healthy", None, nothing, TARGET, MANY, SOON, "renew-certificate", "valid for another 1 days",
            id="a certificate that ends: a person",
        ),
        pytest.param(
            "01_healthy", None, nothing, TARGET, MANY, LONG, "wrong-credentials", "401 or 403",
            id="everything is in place: a person, for a client has a wrong key",
        ),
        pytest.param("01_healthy", None, nothing, TARGET, FEW, LONG, None, "", id="healthy: nothing to do"),
    ],
)  # fmt: skip
async def test_a_cause_of_chapter_5_1_leads_to_its_rung(
    scenario: str, until: str | None, change: Change, target: Target, series: Mapping[str, float],
    certificates: Certificates, rung: str | None, says: str, tmp_path: Path,
) -> None:  # fmt: skip
    cluster = Recorded(scenario, until)
    change(cluster)
    evidence = await diagnosed(
        cluster, target, AUTHENTICATION, tmp_path, known_good=str(KNOWN_GOOD)
    )
    evidence = known(evidence, series=series, certificates=certificates)
    proposal = proposed(evidence, target, AUTHENTICATION)
    assert proposal.rung == rung, [(c.rung, c.reason, c.detail) for c in proposal.considered]
    assert says in str(proposal.request or "")


async def test_a_right_that_the_known_good_role_lacks_goes_to_a_person(tmp_path: Path) -> None:
    needs = ("delete pods",)
    evidence = await diagnosed(
        Recorded(), TARGET, AUTHENTICATION, tmp_path, known_good=str(KNOWN_GOOD), needs=needs
    )
    proposal = proposed(known(evidence, series=MANY), TARGET, AUTHENTICATION)
    assert (proposal.rung, "may not delete pods" in str(proposal.request)) == (
        "right-missing",
        True,
    )


@pytest.mark.parametrize(
    ("scenario", "until", "rung"),
    [("02l_missing_secret", "list-pod-events", "missing-secret"), ("01_healthy", None, "secret-of-the-alert")],
)  # fmt: skip
async def test_a_missing_secret_is_named_whether_or_not_a_pod_waits_for_it(
    scenario: str, until: str | None, rung: str, tmp_path: Path
) -> None:
    evidence = await diagnosed(
        Recorded(scenario, until), CONNECTORS, SECRETS, tmp_path, known_good=str(KNOWN_GOOD)
    )
    seen = known(evidence, series={"secrets_missing": 1.0})
    assert proposed(seen, CONNECTORS, SECRETS).rung == rung


def rule_alerts() -> list[dict[str, str]]:
    """The labels of CertificateExpiring as the rules make them, of each exporter."""
    file = Path(__file__).resolve().parents[2] / "rules/prometheus/tests/security.test.yaml"
    tests = [
        t for group in yaml.safe_load(file.read_text())["tests"] for t in group["alert_rule_test"]
    ]
    fired = [
        a for t in tests if t["alertname"] == "CertificateExpiring" for a in t.get("exp_alerts", ())
    ]
    return [{"alertname": "CertificateExpiring", **a["exp_labels"]} for a in fired]


@pytest.mark.parametrize(
    ("left_s", "rung", "says"),
    [
        (13.5 * 86_400, "renew", "is valid for another 13 days"),
        (-7_300.0, "renew-expired", "expired 2 hours ago"),
        (90 * 86_400.0, None, ""),
    ],
)
async def test_a_certificate_that_ends_is_named_to_a_person_with_the_command_to_renew_it(
    left_s: float, rung: str | None, says: str, tmp_path: Path
) -> None:
    names = set()
    for labels in rule_alerts():
        to = destination(alert(labels=labels), SHIPPED, [NAMESPACE])
        assert isinstance(to, Destination), to
        assert to.playbook == CERTIFICATES.name
        names.add(to.target.name)
        evidence = await diagnosed(
            Recorded(), to.target, CERTIFICATES, tmp_path, known_good=str(KNOWN_GOOD)
        )
        seen = known(evidence, series={"certificate_left_s": left_s})
        proposal = proposed(seen, to.target, CERTIFICATES)
        assert proposal.rung == rung, [(c.rung, c.reason) for c in proposal.considered]
        if rung is not None:
            request: Any = proposal.request
            assert f"{to.target.name} {says}" in request.say
            renewed = (
                f"cmctl -n {NAMESPACE} renew {to.target.name}   # where cert-manager issues it"
            )
            assert request.commands[0] == renewed
    assert {"https://normalization-service:8510/health", "kafka-tls", "kafka"} <= names


@pytest.mark.parametrize(
    "name", ['x"} or vector(0)', "x; rm -rf /", "$(id)", "a b", "`id`", "'", "x" * 300]
)
def test_a_certificate_whose_name_could_be_a_query_or_a_command_has_no_target(name: str) -> None:
    labels = {**rule_alerts()[0], "certificate": name}
    assert isinstance(destination(alert(labels=labels), SHIPPED, [NAMESPACE]), Unrouted)


async def test_the_rights_of_another_account_are_those_that_the_server_grants_it(
    tmp_path: Path,
) -> None:
    """Each recorded review of the service account against what its RBAC reads like."""
    recording = json.loads((FOLDER / "11_access_reviews.json").read_text())["exchanges"]
    compared = 0
    async with playing(Recorded(), tmp_path) as (reader, _):
        for exchange in recording:
            spec = (exchange["request"].get("body") or {}).get("spec") or {}
            asked = spec.get("resourceAttributes") or {}
            if exchange["as"] != "serviceaccount:carbon-ingestion" or exchange["name"].endswith(
                "after"
            ):
                continue
            if asked.get("namespace") != NAMESPACE or not asked.get("resource"):
                continue
            group, sub, name = (asked.get(k, "") for k in ("group", "subresource", "name"))
            what = asked["resource"] + (f":{sub}" if sub else "")
            if group or name:
                what = f"{group or 'core'}/{what}" + (f"/{name}" if name else "")
            needs = [f"{asked['verb']} {what}"]
            seen = await access(
                reader, NAMESPACE, "carbon-ingestion", needs, deadline=Deadline.after(5.0)
            )
            allowed = exchange["response"]["body"]["status"]["allowed"]
            assert (not seen.denied) is allowed, exchange["name"]
            compared += 1
    assert compared >= 8


async def test_what_this_process_may_do_the_server_says(tmp_path: Path) -> None:
    cluster = Recorded("11_access_reviews", "can-patch-this-deployment")
    async with playing(cluster, tmp_path) as (reader, _):
        own = ["list pods", "delete pods", "patch apps/deployments/normalization-service"]
        seen = await access(
            reader, NAMESPACE, "carbon-ingestion", [], own, deadline=Deadline.after(5.0)
        )
    assert seen.own_denied == ("delete pods",)


def test_a_right_is_written_as_people_say_it() -> None:
    assert (
        str(right("patch apps/deployments/normalization-service"))
        == "patch apps/deployments/normalization-service"
    )
    assert right("get pods:log").subresource == "log"
    for wrong in ("", "get", "get a/b/c/d"):
        with pytest.raises(BadInput):
            right(wrong)


# ---------------------------------------------------------------------- known-good


def test_the_shipped_known_good_manifests_are_the_recorded_platform() -> None:
    cluster = Recorded()
    plurals = {"NetworkPolicy": "networkpolicies", "Role": "roles", "RoleBinding": "rolebindings"}
    manifests = manifests_in(KNOWN_GOOD)
    assert {m.kind for m in manifests} == set(plurals)
    for m in manifests:
        live = cluster.collection(plurals[m.kind])[m.name]
        assert differing(meaning(m.kind, m.content), meaning(m.kind, live)) == []


POLICY: dict[str, Any] = {
    "podSelector": {"matchLabels": {"app": "kafka"}},
    "ingress": [
        {"from": [{"podSelector": {"matchLabels": {"app": "a"}}}], "ports": [{"port": 9092}]}
    ],
}


@pytest.mark.parametrize(
    ("kind", "one", "other", "same"),
    [
        pytest.param("NetworkPolicy", {"spec": POLICY}, {"spec": {**POLICY, "policyTypes": ["Ingress"]}}, True,
                     id="policyTypes as they default"),
        pytest.param("NetworkPolicy", {"spec": POLICY}, {"spec": {**POLICY, "policyTypes": ["Ingress", "Egress"]}},
                     False, id="an egress that is closed"),
        pytest.param("NetworkPolicy", {"spec": POLICY}, {"spec": {**POLICY, "ingress": []}}, False,
                     id="an ingress that is closed"),
        pytest.param("NetworkPolicy", {"spec": POLICY}, {"spec": {**POLICY, "ingress": [{}]}}, False,
                     id="an ingress that is open to all"),
        pytest.param("NetworkPolicy", {"spec": {**POLICY, "ingress": [{"from": [{"podSelector": {}}]}]}},
                     {"spec": {**POLICY, "ingress": [{"from": [{"namespaceSelector": {}}]}]}}, False,
                     id="all pods here are not all namespaces"),
        pytest.param("NetworkPolicy", {"spec": POLICY}, {"spec": {**POLICY, "ingress": [
            {"from": POLICY["ingress"][0]["from"], "ports": [{"protocol": "UDP", "port": 9092}]}]}}, False,
                     id="another protocol"),
        pytest.param("Role", {"rules": [{"verbs": ["get", "list"]}, {"verbs": ["patch"]}]},
                     {"rules": [{"verbs": ["patch"]}, {"verbs": ["list", "get"]}]}, True, id="order of rules"),
        pytest.param("Role", {"rules": [{"verbs": ["get"]}]}, {"rules": None}, False, id="no rule left"),
        pytest.param("RoleBinding", {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [
            {"kind": "User", "name": "u"}]}, {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role",
            "name": "r"}, "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "u"}]}, True,
                     id="API groups as they default"),
        pytest.param("RoleBinding", {"subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "n"}]},
                     {"subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "other"}]}, False,
                     id="an account of another namespace"),
    ],
)  # fmt: skip
def test_meaning_is_compared_and_not_spelling(
    kind: str, one: dict[str, Any], other: dict[str, Any], same: bool
) -> None:
    assert (differing(meaning(kind, one), meaning(kind, other)) == []) is same
    assert (differing(meaning(kind, other), meaning(kind, one)) == []) is same


def test_manifests_that_cannot_be_read_are_not_no_manifests(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: [Role")
    with pytest.raises(Unavailable):
        manifests_in(tmp_path)


# ---------------------------------------------------------------------- 5.2


def reach(*, connects: bool, resolves: bool = True) -> NetworkPaths:
    path = NetworkPath(
        "kafka-cluster:9092", resolves, connects, 0.1, "" if connects else "no answer"
    )
    blocked = () if connects else (path.destination,)
    return NetworkPaths(
        (path,),
        blocked,
        () if resolves else blocked,
        "" if connects else path.destination,
        connects,
    )


def policy_drifted(cluster: Recorded) -> None:
    cluster.collection("networkpolicies")["kafka-ingress"]["spec"]["ingress"] = []


def policy_gone(cluster: Recorded) -> None:
    cluster.collection("networkpolicies").clear()


def kafka_without_endpoints(cluster: Recorded) -> None:
    slices = cluster.objects[f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"]
    for piece in slices.values():
        if piece["metadata"]["labels"]["kubernetes.io/service-name"] == "kafka-headless":
            for endpoint in piece["endpoints"]:
                endpoint["conditions"]["ready"] = False


@pytest.mark.parametrize(
    ("change", "seen", "rung", "says"),
    [
        pytest.param(policy_drifted, reach(connects=False), "restore-policies", "NetworkPolicy/kafka-ingress",
                     id="a policy that drifted: the known-good one, when a person says yes"),
        pytest.param(policy_gone, reach(connects=False), "restore-policies", "networkpolicy-kafka-ingress.yaml",
                     id="a policy that is gone: the known-good one"),
        pytest.param(nothing, reach(connects=False, resolves=False), "name-unknown", "has no address",
                     id="a name without an address: a person"),
        pytest.param(kafka_without_endpoints, reach(connects=False), "no-ready-endpoint", "kafka-headless",
                     id="nobody behind the Service: a person"),
        pytest.param(nothing, reach(connects=False), "path-blocked", "kafka-cluster:9092 does not connect",
                     id="blocked by something else: a person"),
        pytest.param(policy_drifted, reach(connects=True), None, "", id="a drift that blocks nothing stays"),
    ],
)  # fmt: skip
async def test_a_cause_of_chapter_5_2_leads_to_its_rung(
    change: Change, seen: NetworkPaths, rung: str | None, says: str, tmp_path: Path
) -> None:
    cluster = Recorded()
    change(cluster)
    evidence = await diagnosed(
        cluster,
        TARGET,
        NETWORK,
        tmp_path,
        known_good=str(KNOWN_GOOD),
        destinations=("127.0.0.1:1",),
    )
    proposal = proposed(known(evidence, paths=seen), TARGET, NETWORK)
    assert proposal.rung == rung, [(c.rung, c.reason, c.detail) for c in proposal.considered]
    assert says in str(proposal.request or "")


async def test_a_path_connects_is_refused_or_has_no_name() -> None:
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        wanted = (f"127.0.0.1:{port}", "127.0.0.1:1", "nobody.invalid:9092")
        seen = await paths(wanted, deadline=Deadline.after(5.0))
    assert [p.connects for p in seen.paths] == [True, False, False]
    assert seen.unresolved == ("nobody.invalid:9092",)
    assert seen.first_blocked == "127.0.0.1:1"
    with pytest.raises(BadInput):
        await paths(("no-port",), deadline=Deadline.after(1.0))
