"""Names of Secrets: looked up as metadata alone, only where a setting says so, and never a
value.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from rehearsal.cluster import Cluster, Delays, carbon_ingestion
from service.act import rights
from service.clients.kubernetes import METADATA_ONLY, KubernetesReader
from service.diagnose.probes.references import References, references
from service.diagnose.probes.snapshot import Snapshot
from service.diagnose.sources import Sources
from service.kit.deadline import Deadline
from service.model.target import Target, TargetKind
from service.settings import KubernetesSettings

NS = "carbon-ingestion"
TARGET = Target(TargetKind.DEPLOYMENT, NS, "normalization-service")


def named(*variables: dict[str, Any]) -> list[dict[str, Any]]:
    """The platform, its service reading these Secrets, of which `api-keys` is there."""
    objects = list(carbon_ingestion())
    for found in objects:
        if (found["kind"], found["metadata"]["name"]) == ("Deployment", TARGET.name):
            found["spec"]["template"]["spec"]["containers"][0]["env"] = list(variables)
    secret = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "api-keys", "namespace": NS},
        "type": "Opaque", "data": {"key": "aHVudGVyMg=="},
    }  # fmt: skip
    return [*(o for o in objects if o["metadata"]["name"] != "api-keys"), secret]


def variable(secret: str, *, optional: bool = False) -> dict[str, Any]:
    of = {"name": secret, "key": "key", "optional": optional}
    return {"name": secret.upper().replace("-", "_"), "valueFrom": {"secretKeyRef": of}}


@asynccontextmanager
async def reading(
    folder: Path, *, secret_names: bool
) -> AsyncIterator[tuple[Cluster, KubernetesReader]]:
    seeds = named(variable("api-keys"), variable("gone"), variable("maybe", optional=True))
    async with Cluster(seeds, delays=Delays(0, 0, 0, 0)) as cluster:
        access = KubernetesSettings(
            kubeconfig=cluster.kubeconfig(folder / "kubeconfig"), secret_names=secret_names
        )
        async with KubernetesReader(access) as reader:
            yield cluster, reader


async def seen(reader: KubernetesReader) -> References:
    deadline = Deadline.after(10.0)
    async with Snapshot(Sources(kubernetes=reader), TARGET, deadline) as snapshot:
        return await references(snapshot)


async def test_a_secret_that_no_pod_waits_for_is_found_missing_by_its_name(tmp_path: Path) -> None:
    async with reading(tmp_path, secret_names=True) as (_, reader):
        found = await seen(reader)
        assert found.secret == "gone"
        assert (found.secret_of_key, found.secret_key) == ("", "")  # keys are unknown
        by_name = {r.name: r.resolves for r in found.references if r.kind == "Secret"}
        assert by_name == {"api-keys": None, "gone": False, "maybe": False}


async def test_without_the_setting_no_secret_is_asked_for(tmp_path: Path) -> None:
    async with reading(tmp_path, secret_names=False) as (cluster, reader):
        cluster.stop_controllers()
        found = await seen(reader)
        assert all(r.resolves is None for r in found.references if r.kind == "Secret")
        assert not [r for r in cluster.requests if "/secrets" in r.path]


async def test_no_value_leaves_the_server_and_no_other_form_is_accepted(tmp_path: Path) -> None:
    async with reading(tmp_path, secret_names=True) as (_, reader):
        path, deadline = f"/api/v1/namespaces/{NS}/secrets", Deadline.after(5.0)
        raw = await reader._read("GET", path, {}, deadline, accept=METADATA_ONLY)
        assert b"api-keys" in raw
        assert b"aHVudGVyMg" not in raw
        for asked in (path, f"{path}/api-keys", "/api/v1/secrets"):
            with pytest.raises(PermissionError):
                await reader.get(asked, deadline=deadline)


@pytest.mark.parametrize("wanted", [True, False])
def test_the_right_to_list_secrets_follows_the_setting(wanted: bool) -> None:
    text = rights.as_yaml((), [NS], secret_names=wanted)
    (role,) = [
        o for o in yaml.safe_load_all(text)
        if o and (o["kind"], o["metadata"]["name"]) == ("Role", "paramedic-read")
    ]  # fmt: skip
    given = [rule for rule in role["rules"] if "secrets" in rule["resources"]]
    assert [rule["verbs"] for rule in given] == ([["list"]] if wanted else [])
