"""Volumes, their claims and disruption budgets go through the recorded states."""

from typing import Any

import pytest

from rehearsal.cluster import Cluster, Delays, Object, Unready, carbon_ingestion
from tests.recordings import recorded

NS = "carbon-volumes"
CLAIM, VOLUME = "data-kafka-0", "pv-13-a"
AT_ONCE = Delays(0, 0, 0, 0)


def claim() -> Object:
    """As it was made, before anything bound it."""
    body = recorded("13i3", "pvc-pending")
    return _fresh(body, "kind", "apiVersion", "spec")


def volume(name: str = VOLUME, size: str = "8Gi") -> Object:
    body = _fresh(recorded("13i3", "pv-available"), "kind", "apiVersion", "spec")
    body["metadata"]["name"] = name
    body["spec"] |= {"capacity": {"storage": size}}
    return body | {"status": {"phase": "Pending"}}


def _fresh(body: Object, *kept: str) -> Object:
    metadata = {k: v for k, v in body["metadata"].items() if k in {"name", "namespace"}}
    return {**{k: dict(body[k]) if k == "spec" else body[k] for k in kept}, "metadata": metadata}


def seen(cluster: Cluster) -> dict[str, Any]:
    held = cluster.find("persistentvolumeclaims", NS, CLAIM)
    kept = cluster.find("persistentvolumes", "", VOLUME)
    return {
        "claim": held and (held["status"], held["spec"].get("volumeName"), _annotated(held)),
        "volume": kept and (kept["status"]["phase"], _annotated(kept)),
    }


def expected(of_claim: str, of_volume: str) -> dict[str, Any]:
    held = recorded("13i3", of_claim) if of_claim else None
    kept = recorded("13i3", of_volume) if of_volume else None
    return {
        "claim": held and (held["status"], held["spec"].get("volumeName"), _annotated(held)),
        "volume": kept and (kept["status"]["phase"], _annotated(kept)),
    }


def _annotated(obj: Object) -> dict[str, str]:
    return dict(obj["metadata"].get("annotations") or {})


async def test_a_claim_waits_is_bound_loses_its_volume_and_gets_it_back() -> None:
    async with Cluster([claim()], delays=AT_ONCE) as cluster:
        assert seen(cluster) == expected("pvc-pending", "")
        cluster.seed([volume("pv-13-small", "1Gi")])
        await cluster.settled()
        small = cluster.get("persistentvolumes", "", "pv-13-small")
        assert small["status"]["phase"] == recorded("13i3", "pv-available")["status"]["phase"]
        assert seen(cluster) == expected("pvc-still-pending", "")
        cluster.seed([volume()])
        await cluster.settled()
        assert seen(cluster) == expected("pvc-bound", "pv-bound")
        uid = cluster.get("persistentvolumeclaims", NS, CLAIM)["metadata"]["uid"]
        assert cluster.get("persistentvolumes", "", VOLUME)["spec"]["claimRef"]["uid"] == uid
        cluster.remove("persistentvolumes", "", VOLUME)
        await cluster.settled()
        assert seen(cluster) == expected("pvc-lost", "")
        cluster.seed([volume() | {"spec": volume()["spec"] | {"claimRef": {
            "kind": "PersistentVolumeClaim", "namespace": NS, "name": CLAIM, "uid": uid}}}])  # fmt: skip
        await cluster.settled()
        assert seen(cluster)["claim"] == expected("pvc-after-pv-back", "")["claim"]


async def test_a_volume_is_released_when_its_claim_goes_and_no_namesake_gets_it() -> None:
    async with Cluster([claim(), volume()], delays=AT_ONCE) as cluster:
        cluster.remove("persistentvolumeclaims", NS, CLAIM)
        await cluster.settled()
        assert seen(cluster) == expected("", "pv-released")
        cluster.seed([claim()])
        await cluster.settled()
        assert seen(cluster) == expected("pvc-namesake", "pv-released")


async def test_the_claims_of_the_platform_are_bound() -> None:
    async with Cluster(carbon_ingestion(), delays=AT_ONCE) as cluster:
        for kind, namespace in (
            ("persistentvolumeclaims", "carbon-ingestion"),
            ("persistentvolumes", ""),
        ):
            phases = {found["status"]["phase"] for found in cluster.objects(kind, namespace)}
            assert phases == {"Bound"}


@pytest.mark.parametrize(
    ("exchange", "unready"),
    [
        ("pdb-max-unavailable-0", 0),
        ("pdb-min-available-3", 0),
        ("pdb-min-available-2", 0),
        ("pdb-one-unhealthy", 1),
        ("pdb-two-unhealthy", 2),
        ("pdb-no-pods", 0),
    ],
)
async def test_a_budget_allows_what_the_recorded_one_allows(exchange: str, unready: int) -> None:
    wanted = recorded("13i2", exchange)
    budget = _fresh(wanted, "kind", "apiVersion", "spec")
    budget["metadata"]["namespace"] = "carbon-ingestion"
    async with Cluster([*carbon_ingestion(), budget], delays=AT_ONCE) as cluster:
        for number in range(unready):
            cluster.break_pods("carbon-ingestion", "kafka", Unready(), pod=f"kafka-{number}")
        await cluster.settled()
        found = cluster.get("poddisruptionbudgets", "carbon-ingestion", budget["metadata"]["name"])
    assert _timeless(found["status"]) == _timeless(wanted["status"])


def _timeless(status: Object) -> Object:
    conditions = [{**c, "lastTransitionTime": ""} for c in status["conditions"]]
    return {**status, "observedGeneration": 1, "conditions": conditions}
