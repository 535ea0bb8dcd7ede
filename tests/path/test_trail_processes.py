"""The trail of a remediation by the real thing: `paramedic serve` as a process that is
killed, and real receivers.

A real Alertmanager sends the alert and hears the calls for help, a real Kafka broker has the topic,
the Kubernetes emulator has the Events; Grafana is the HTTP server of tests/servers/grafana.py,
which enforces the documented rules.
Each is asked itself for what it has.
"""

import asyncio
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from rehearsal.cluster import Cluster, Delays, Fault, carbon_ingestion
from rehearsal.servers import free_port
from service.intake.http import PATH
from service.store.audit import AuditReader
from service.store.reading import reading
from tests.servers.grafana import Grafana, grafana
from tests.servers.kafka import ApacheKafka, apache_kafka, create_topic, records
from tests.servers.monitoring import Alertmanager, alertmanager
from tests.unit.made import LABELS, NAMESPACE, body, item

pytestmark = pytest.mark.only_on("sqlite")

TOPIC = "paramedic-steps"
TOKEN = "glsa_of_the_test"
SINKS = ("grafana", "kube_events", "kafka", "alertmanager")
PATIENCE_S = 60.0
EVERY_S = 0.1

AIM = (
    'target: {kind: Deployment, namespace: "{{ labels.namespace }}", name: "{{ labels.workload }}"}'
)
SCALE_OUT = f"""\
playbook: too-few
match: ['alertname="ConsumerLagHigh"']
{AIM}
diagnose: high_latency
with: {{consumer_group: g}}
remedies:
  - name: scale-out
    when: evidence.pods.ready == evidence.pods.desired
    do: {{scale: {{from: "{{{{ evidence.pods.desired }}}}", by: 1, max: 5}}}}
    mode: auto
healed: evidence.pods.ready > 2
verify: {{settle: 1s, within: 1m, every: 500ms, readings: 2}}
"""
FOR_PEOPLE = f"""\
playbook: for-people
match: ['alertname="DiskFull"']
{AIM}
diagnose: high_latency
with: {{consumer_group: g}}
remedies:
  - name: call
    when: evidence.pods.ready == evidence.pods.desired
    do: {{human: {{say: a disk is full}}}}
    mode: auto
healed: evidence.pods.ready > 99
"""


@dataclass
class Receivers:
    """Everything outside, and the service that tells it.
    `process` is None while the service is dead.
    """

    grafana: Grafana
    cluster: Cluster
    broker: ApacheKafka
    alertmanager: Alertmanager
    folder: Path
    port: int
    process: Process | None = None
    session: aiohttp.ClientSession = field(default_factory=aiohttp.ClientSession)

    @property
    def store_url(self) -> str:
        return f"sqlite:///{self.folder / 'paramedic.db'}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def env(self) -> dict[str, str]:
        made = {
            "STORE__URL": self.store_url, "INTAKE__PORT": str(self.port), "MODE": "auto",
            "PLAYBOOKS": str(self.folder / "playbooks"), "LOG_FORMAT": "json",
            "KUBERNETES__KUBECONFIG": str(self.cluster.kubeconfig(self.folder / "kubeconfig")),
            "KAFKA__BOOTSTRAP": self.broker.bootstrap,
            "ALERTMANAGER__URLS": self.alertmanager.url, "ALERTMANAGER__KEEP_FIRING_S": "30",
            "PUBLISH__GRAFANA_URL": self.grafana.url,
            "PUBLISH__GRAFANA_TOKEN_FILE": str(self.folder / "token"),
            "PUBLISH__INCIDENT_URL": f"{self.url}/api/v1/incidents/{{incident}}",
            "PUBLISH__KUBERNETES_EVENTS": "true", "PUBLISH__KAFKA_TOPIC": TOPIC,
            "AUDIT__KEY_FILE": str(self.folder / "audit.key"),
            "AUDIT__CHECKPOINT_FILE": str(self.folder / "checkpoints.jsonl"),
        }  # fmt: skip
        return {"PATH": "", **{f"PARAMEDIC_{name}": value for name, value in made.items()}}

    async def paramedic(self, *args: str) -> Process:
        """`paramedic ARGS` as a process; what it says goes to its log."""
        with (self.folder / "paramedic.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "service", *args, env=self.env(), stdout=log, stderr=log
            )

    async def start(self) -> None:
        """The service, until it is ready and each sink has a cursor."""
        self.process = await self.paramedic("serve")
        for name in SINKS:
            await self.until(partial(self.metric, "paramedic_sink_lag_steps", sink=name))

    async def kill(self) -> None:
        """As a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
        self.process = None

    async def until(self, is_so: Callable[[], Awaitable[object]]) -> None:
        """Waits until something is so: neither None, False nor empty."""
        give_up_at = time.monotonic() + PATIENCE_S
        while (found := await is_so()) is None or found is False:
            assert time.monotonic() < give_up_at, self.said()
            assert self.process is None or self.process.returncode is None, self.said()
            await asyncio.sleep(EVERY_S)

    def said(self) -> str:
        """The ends of the service's log and of Alertmanager's."""
        return (self.folder / "paramedic.log").read_text()[
            -4000:
        ] + self.alertmanager.process.tail()

    async def metric(self, name: str, **labels: str) -> float | None:
        """The sum of a metric's samples with these labels;
        None where there is none, or nobody answers.
        """
        try:
            async with self.session.get(f"{self.url}/metrics") as answer:
                lines = (await answer.text()).splitlines()
        except aiohttp.ClientError:
            return None
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        found = [
            float(line.split()[-1])
            for line in lines
            if line.split("{")[0].split(" ")[0] == name and all(w in line for w in wanted)
        ]
        return sum(found) if found else None

    async def fires(self, workload: str, **labels: str) -> None:
        """An alert fires in Alertmanager, whose webhook is Paramedic."""
        now = datetime.now(UTC)
        alert = {
            "labels": {**LABELS, "workload": workload, **labels},
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(minutes=10)).isoformat(),
        }
        async with self.session.post(f"{self.alertmanager.url}/api/v2/alerts", json=[alert]) as a:
            assert a.status == 200, await a.text()

    async def posts(self, workload: str, **labels: str) -> None:
        """The same, sent by an Alertmanager that is away right after it."""
        told = {**LABELS, "workload": workload, **labels}
        starts_at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        content = body([item(f"f-{workload}", labels=told, starts_at=starts_at)])
        async with self.session.post(self.url + PATH, json=content) as answer:
            assert answer.status == 200

    async def incident(self, workload: str) -> str | None:
        """Its id, when there is one."""
        async with self.session.get(f"{self.url}/api/v1/incidents") as answer:
            rows = await answer.json()
        found = [r["id"] for r in rows if r["target"].endswith(f"/{workload}")]
        assert len(found) <= 1
        return found[0] if found else None

    async def record(self, workload: str) -> Any:
        """The incident's decision record; None while there is none."""
        incident = await self.incident(workload)
        if incident is None:
            return None
        async with self.session.get(f"{self.url}/api/v1/incidents/{incident}") as answer:
            return await answer.json()

    async def is_in(self, workload: str, state: str) -> bool:
        record = await self.record(workload)
        return record is not None and record["state"] == state

    async def caught_up(self) -> bool:
        """Every receiver has every step."""
        lags = [await self.metric("paramedic_sink_lag_steps", sink=name) for name in SINKS]
        return all(lag == 0 for lag in lags)

    async def all_failed(self) -> bool:
        """Every receiver was told something, in vain."""
        name = "paramedic_sink_consecutive_failures"
        return all([(await self.metric(name, sink=sink) or 0) > 0 for sink in SINKS])

    def generation(self, workload: str) -> int:
        """How often the Deployment was written."""
        found: Any = self.cluster.get("deployments", NAMESPACE, workload)
        return int(found["metadata"]["generation"])


def routed(port: int) -> dict[str, Any]:
    """Alertmanager's configuration: at once, and without Paramedic's own calls."""
    return {
        "route": {
            "receiver": "none",
            "routes": [
                {
                    "receiver": "paramedic", "matchers": ['remediate="true"'],
                    "group_by": ["..."], "group_wait": "0s", "group_interval": "1s",
                }
            ],
        },
        "receivers": [
            {"name": "none"},
            {
                "name": "paramedic",
                "webhook_configs": [{"url": f"http://127.0.0.1:{port}{PATH}"}],
            },
        ],
    }  # fmt: skip


@asynccontextmanager
async def receivers(folder: Path) -> AsyncIterator[Receivers]:
    port = free_port()
    (folder / "playbooks").mkdir()
    (folder / "playbooks" / "too-few.yaml").write_text(SCALE_OUT)
    (folder / "playbooks" / "for-people.yaml").write_text(FOR_PEOPLE)
    (folder / "token").write_text(TOKEN)
    (folder / "audit.key").write_text("0123456789abcdef" * 4)
    async with AsyncExitStack() as stack:
        board = await stack.enter_async_context(grafana(TOKEN))
        cluster = await stack.enter_async_context(
            Cluster(carbon_ingestion(), delays=Delays(0, 0, 0, 0))
        )
        broker = await stack.enter_async_context(apache_kafka(folder / "kafka"))
        told = await stack.enter_async_context(alertmanager(routed(port), folder / "am"))
        await create_topic(broker.bootstrap, TOPIC, 3)
        await cluster.settled()
        made = Receivers(board, cluster, broker, told, folder, port)
        try:
            yield made
        finally:
            await made.session.close()
            if made.process is not None:
                await made.kill()


async def shown_once(told: Receivers, workload: str) -> None:
    """One remediation, exactly once in every receiver, each asked itself."""
    record = await told.record(workload)
    (action,) = record["actions"]
    assert (action["applied"], action["outcome"]) == ("done", "healed")
    # A region in Grafana, from the intent to the outcome.
    (region,) = [a for a in told.grafana.annotations if f"rid:{action['action_id']}" in a["tags"]]
    assert "outcome:healed" in region["tags"]
    assert region["timeEnd"] > region["time"]
    assert f"/api/v1/incidents/{record['id']}" in region["text"]
    # An Event for what was done, and one for its outcome, on the object.
    events = [
        e["reason"]
        for e in told.cluster.objects("events", NAMESPACE)
        if e.get("reportingComponent") == "paramedic" and e["involvedObject"]["name"] == workload
    ]
    assert events == ["RemediationApplied", "RemediationHealed"]
    await recorded(told, record)


async def called_once(told: Receivers, workload: str) -> None:
    """One call for help, and its steps."""
    record = await told.record(workload)
    assert record["state"] == "escalated"
    (call,) = await told.alertmanager.alerts(incident=record["id"])
    assert call["labels"]["alertname"] == "ParamedicNeedsHuman"
    assert call["labels"]["workload"] == workload
    await recorded(told, record)


async def recorded(told: Receivers, record: Any) -> None:
    """Each step of an incident is one record of the topic, in order,
    and one line of the audit chain.
    """
    kinds = [step["step"] for step in record["steps"]]
    sent = [
        headers["ce_type"].removeprefix("io.paramedic.step.")
        for key, headers in await records(told.broker.bootstrap, TOPIC)
        if key == record["id"]
    ]
    assert sent == kinds
    async with reading(told.store_url) as store:
        chained = [line for line, _ in await AuditReader(store).after(0, 1000)]
    whole = [x for x in chained if x.incident_id == record["id"] and x.kind != "begun"]
    assert len({x.step_id for x in whole}) == len(whole) == len(kinds)


async def chained(told: Receivers) -> bool:
    """The audit chain has come to the journal's end."""
    async with reading(told.store_url) as store:
        reader = AuditReader(store)
        steps = await reader.steps_between(None, None, await reader.cursor(), 1)
    return not steps


async def counted(told: Receivers, times: int) -> None:
    """What /metrics tells of the playbook, also by a process that was not there."""
    done = await told.metric("paramedic_ledger_actions_total", playbook="too-few", applied="done")
    healed = await told.metric(
        "paramedic_ledger_outcomes_total", playbook="too-few", outcome="healed"
    )
    called = await told.metric("paramedic_journal_escalations_total", playbook="for-people")
    assert (done, healed, called) == (times, times, times)


async def verified(told: Receivers) -> None:
    """`paramedic audit verify` has nothing to say."""
    done = await told.paramedic("audit", "verify")
    assert await done.wait() == 0, told.said()


async def test_one_remediation_is_shown_once_everywhere_also_after_receivers_were_away_and_kills(
    tmp_path: Path,
) -> None:
    async with receivers(tmp_path) as told:
        await told.start()
        before = told.generation("enrichment-service")
        await told.fires("enrichment-service")
        await told.fires("schema-registry", alertname="DiskFull")
        await told.until(lambda: told.is_in("enrichment-service", "healed"))
        await told.until(lambda: told.is_in("schema-registry", "escalated"))
        await told.until(told.caught_up)
        await told.until(lambda: chained(told))
        await shown_once(told, "enrichment-service")
        await called_once(told, "schema-registry")
        await counted(told, 1)
        assert told.generation("enrichment-service") == before + 1

        await told.grafana.stop()
        await told.broker.process.kill()
        away = told.cluster.inject(Fault("POST", ".*/events", status=503))
        before = told.generation("aggregation-service")
        with told.cluster.inject(Fault("PATCH", ".*/deployments/.*", delay_s=1.0)) as writing:
            await told.fires("aggregation-service")
            await told.until(lambda: asked(writing))
            await told.alertmanager.process.kill()  # not before: it is asked right before the write
            await told.posts("connector-registry", alertname="DiskFull")
            await told.until(lambda: told.is_in("connector-registry", "escalated"))
            await told.until(told.all_failed)
        assert len(told.grafana.annotations) == 1
        await told.kill()

        await told.grafana.start()
        told.grafana.lose_replies = 1
        away.remove()
        await asyncio.gather(told.broker.start(), told.alertmanager.start())
        await told.start()
        await told.until(lambda: regions(told, 2))
        await told.kill()  # what it has delivered it may not know
        await told.start()
        await told.until(lambda: told.is_in("aggregation-service", "healed"))
        await told.until(told.caught_up)
        await told.kill()
        await told.start()
        await told.until(told.caught_up)
        await told.until(lambda: called(told, "connector-registry"))
        await told.until(lambda: chained(told))
        await shown_once(told, "aggregation-service")
        await called_once(told, "connector-registry")
        await shown_once(told, "enrichment-service")
        await called_once(told, "schema-registry")
        await counted(told, 2)
        assert told.generation("aggregation-service") == before + 1
        assert len(told.grafana.annotations) == 2
        assert told.process is not None
        await verified(told)


async def asked(fault: Fault) -> bool:
    return fault.hits > 0


async def regions(told: Receivers, count: int) -> bool:
    return len(told.grafana.annotations) >= count


async def called(told: Receivers, workload: str) -> bool:
    return bool(await told.alertmanager.alerts(incident=str(await told.incident(workload))))
