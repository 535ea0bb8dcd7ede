"""The library that the product uses, through a kubeconfig file: it finds the server,
and believes its answers.
"""

import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import ClientResponse
from kubernetes_asyncio import client, config

from rehearsal.cluster import Cluster, Delays, Identity, carbon_ingestion

NS = "carbon-ingestion"


async def _configured(path: Path) -> client.ApiClient:
    configuration = client.Configuration()
    await config.load_kube_config(str(path), client_configuration=configuration)
    return client.ApiClient(configuration)


async def test_kubernetes_asyncio_reads_lists_scales_and_is_refused(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(
            Cluster(carbon_ingestion(), delays=Delays(0, 0, 0, 0))
        )
        async with await _configured(cluster.kubeconfig(tmp_path / "kubeconfig")) as api:
            apps, core = client.AppsV1Api(api), client.CoreV1Api(api)
            assert (await client.VersionApi(api).get_code()).git_version == "v1.36.2"
            pods = await core.list_namespaced_pod(NS, label_selector="app.kubernetes.io/name=kafka")
            assert [pod.metadata.name for pod in pods.items] == ["kafka-0", "kafka-1", "kafka-2"]
            scaled = await apps.patch_namespaced_deployment_scale(
                "normalization-service", NS, {"spec": {"replicas": 4}}, field_manager="paramedic"
            )
            assert scaled.spec.replicas == 4
            await cluster.settled()
            found = await apps.read_namespaced_deployment("normalization-service", NS)
            assert (found.status.ready_replicas, found.status.observed_generation) == (
                4,
                found.metadata.generation,
            )
            log = await core.read_namespaced_pod_log(
                "enrichment-service-x", NS, _preload_content=False
            )
            assert isinstance(
                log, ClientResponse
            )  # a wrong annotation of the library, without preloading
            assert log.status == 404
            with pytest.raises(client.ApiException) as refused:
                await apps.patch_namespaced_deployment("none", NS, {"spec": {"replicas": 1}})
            assert refused.value.status == 404
            events = await core.list_namespaced_event(
                NS, field_selector="involvedObject.kind=Deployment"
            )
            assert {event.reason for event in events.items} == {"ScalingReplicaSet"}


async def test_kubernetes_asyncio_sends_the_token_of_the_kubeconfig(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(
            Cluster(identities={"secret": Identity("someone")})
        )
        async with await _configured(
            cluster.kubeconfig(tmp_path / "kubeconfig", token="secret")
        ) as api:
            with pytest.raises(client.ApiException) as refused:
                await client.CoreV1Api(api).list_namespaced_pod(NS)
            assert refused.value.status == 403
            assert refused.value.body is not None
        assert 'User "someone"' in json.loads(refused.value.body)["message"]
