"""`paramedic diagnose` as a person runs it, on an emulated cluster;
and how many may look at a time.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from rehearsal.cluster import Cluster, Delays, carbon_ingestion
from rehearsal.cluster.failures import Unready
from service.app import serving
from service.desk.looking import MOST, QuickLook
from service.diagnose.chapters.quick import QuickEvidence, QuickParameters
from service.diagnose.sources import Sources
from service.kit.clock import SystemClock
from service.model.errors import Unavailable
from service.model.evidence import Unknown
from service.model.reasons import Reason
from service.settings import IntakeSettings, KubernetesSettings, Settings, StoreSettings
from tests.servers import ROOT

NS = "carbon-ingestion"


async def told(*arguments: str, **settings: str) -> tuple[int, str, str]:
    """Exit code, output and errors of the command."""
    ours = {n: v for n, v in os.environ.items() if not n.startswith("PARAMEDIC_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", "diagnose", *arguments, cwd=ROOT, env=ours | settings,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate()
    return process.returncode or 0, out.decode(), errors.decode()


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(carbon_ingestion(), delays=Delays(0, 0, 0, 0)) as started:
        await started.settled()
        yield started


@pytest.fixture
def settings(cluster: Cluster, tmp_path: Path) -> Mapping[str, str]:
    return {"PARAMEDIC_KUBERNETES__KUBECONFIG": str(cluster.kubeconfig(tmp_path / "kubeconfig"))}


async def test_a_healthy_namespace_is_exit_code_0(settings: Mapping[str, str]) -> None:
    code, out, errors = await told("--local", **settings)
    assert (code, errors) == (0, "")
    assert out.splitlines()[0].endswith("UTC: nothing is wrong")
    assert "        kafka: no address of Kafka is configured" in out.splitlines()


async def test_what_is_broken_comes_first_and_is_exit_code_1(
    cluster: Cluster, settings: Mapping[str, str]
) -> None:
    cluster.break_pods(NS, "kafka", Unready())
    cluster.break_pods(NS, "aggregation-service", Unready())
    await cluster.settled()
    code, out, errors = await told(**settings)
    assert (code, errors) == (1, "")
    assert out.splitlines()[1:7] == [
        "look first: StatefulSet/kafka is down: 0 of 3 ready",
        "",
        "DOWN    StatefulSet/kafka is down: 0 of 3 ready",
        "        $ kubectl -n carbon-ingestion describe StatefulSet/kafka",
        "DOWN    Deployment/aggregation-service is down: 0 of 2 ready",
        "        $ kubectl -n carbon-ingestion describe Deployment/aggregation-service",
    ]
    code, out, _ = await told("--json", **settings)
    answer = json.loads(out)
    assert (code, answer["outcome"], answer["namespace"]) == (1, "wrong", NS)
    assert set(answer["evidence"]) == set(QuickEvidence.groups())
    assert len(answer["evidence"]["logs"]["value"]["workloads"]) == 3


async def test_a_namespace_with_nothing_in_it_is_no_healthy_one(
    settings: Mapping[str, str],
) -> None:
    code, out, _ = await told("--namespace", "carbon-ingestoin", **settings)
    assert code == 1
    assert "there is no workload and no pod in carbon-ingestoin: is that its name?" in out


async def test_all_backends_away_is_exit_code_2_and_says_why_of_each(
    cluster: Cluster, settings: Mapping[str, str]
) -> None:
    await cluster.__aexit__(None, None, None)
    away = {
        "PARAMEDIC_KAFKA__BOOTSTRAP": "127.0.0.1:1",
        "PARAMEDIC_CLICKHOUSE__HOST": "127.0.0.1",
        "PARAMEDIC_CLICKHOUSE__PORT": "1",
        "PARAMEDIC_WORK__DIAGNOSE_WITHIN_S": "4",
    }
    code, out, _ = await told(**settings, **away)
    assert code == 2
    assert out.splitlines()[0].endswith("UTC: could not look")
    assert out.count("UNKNOWN ") == 3
    for told_of in ("kubernetes at http", "kafka could not", "clickhouse could not"):
        assert told_of in out


async def test_a_running_service_looks_for_whom_it_knows_and_where_it_may(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.break_pods(NS, "kafka", Unready())
    await cluster.settled()
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    running = Settings(
        intake=IntakeSettings(port=0, bearer_file=token),
        store=StoreSettings(url=f"sqlite:///{tmp_path / 'paramedic.db'}"),
        kubernetes=KubernetesSettings(kubeconfig=cluster.kubeconfig(tmp_path / "kubeconfig")),
        playbooks=ROOT / "rules" / "playbooks",
    )
    async with serving(running) as service:
        with_token = ("--url", service.url, "--token-file", str(token))
        code, out, _ = await told(*with_token)
        assert (code, out.splitlines()[1]) == (
            1,
            "look first: StatefulSet/kafka is down: 0 of 3 ready",
        )
        code, out, errors = await told(*with_token, "--namespace", "kube-system")
        assert (code, out, "namespace_not_allowed" in errors) == (2, "", True)
        code, _, errors = await told("--url", service.url)
        assert (code, "name the token with --token-file" in errors) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "settings", "says"),
    [
        pytest.param((), {"PARAMEDIC_MOED": "auto"}, "did you mean PARAMEDIC_MODE", id="setting"),
        pytest.param(("--namespace", "a/../b"), {}, "no name of a namespace", id="namespace"),
        pytest.param(("--url", "http://127.0.0.1:1"), {}, "no answer", id="no service there"),
        pytest.param(("--url", "x", "--local"), {}, "exclude each other", id="both"),
        pytest.param(("--token-file", "x"), {}, "goes with --url", id="a token for nobody"),
    ],
)
async def test_what_cannot_be_looked_at_is_exit_code_2_and_a_sentence(
    arguments: tuple[str, ...], settings: Mapping[str, str], says: str
) -> None:
    code, out, errors = await told(*arguments, **settings)
    assert (code, out) == (2, "")
    assert says in errors
    assert "Traceback" not in errors


@asynccontextmanager
async def slow(released: asyncio.Event) -> AsyncIterator[str]:
    """An endpoint that answers when it may; its URL."""

    async def answer(request: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        released.set()
        await runner.cleanup()


def looking(url: str, within_s: float) -> QuickLook:
    params = QuickParameters(health={"slow": url})
    return QuickLook(Sources(), lambda _: params, SystemClock(), within_s, inside=True)


async def test_only_so_many_look_at_a_time_and_then_others_may() -> None:
    released = asyncio.Event()
    async with slow(released) as url:
        look = looking(url, within_s=10.0)
        first = [asyncio.create_task(look.at(NS)) for _ in range(MOST)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable) as raised:
            await look.at(NS)
        assert raised.value.reason is Reason.DIAGNOSING
        released.set()
        await asyncio.gather(*first)
        await look.at(NS)


async def test_a_look_ends_at_its_deadline_and_each_probe_is_told_as_it_ends() -> None:
    heard: list[tuple[str, str]] = []
    async with slow(asyncio.Event()) as url:
        _, seen = await looking(url, within_s=0.3).at(
            NS, lambda name, result, _: heard.append((name, result))
        )
    assert isinstance(seen.health, Unknown) or not seen.health.value.all_ok
    assert sorted(name for name, _ in heard) == sorted(QuickEvidence.groups())
    assert heard[-1][0] == "health"
