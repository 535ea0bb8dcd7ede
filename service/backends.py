"""The clients of what is configured, and how the pipeline looks through them."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack

from pydantic import TypeAdapter

from service.act.kind import Writers
from service.audit.chainer import Place
from service.audit.checkpoints import CheckpointFile
from service.audit.topic import CheckpointTopic, source_of
from service.clients.alertmanager import AlertmanagerClient
from service.clients.clickhouse import ClickHouseClient
from service.clients.clickhouse_write import ClickHouseWriter
from service.clients.grafana import GrafanaAnnotations
from service.clients.kafka import KafkaClient
from service.clients.kafka_write import KafkaPublisher
from service.clients.kubernetes import KubernetesReader
from service.clients.kubernetes_events import KubernetesEvents
from service.clients.kubernetes_write import KubernetesWriter
from service.clients.prometheus import PrometheusClient
from service.clients.schema_registry import SchemaRegistryClient
from service.desk.looking import QuickLook
from service.desk.quick import Quick
from service.diagnose import Chapters
from service.diagnose.chapter import Look
from service.diagnose.chapters.quick import QuickEvidence
from service.diagnose.gather import Observe, Probe, gather
from service.diagnose.probes.ownership import survey
from service.diagnose.probes.pod_owner import pod_owner
from service.diagnose.probes.settled import settled
from service.diagnose.probes.standing import standing
from service.diagnose.probes.surroundings import surroundings
from service.diagnose.sources import Sources, configured
from service.kit.clock import Clock, SystemClock
from service.kit.deadline import Deadline
from service.model.alert import Alert, Standing
from service.model.course import CourseStep
from service.model.errors import BadConfig, ParamedicError
from service.model.evidence import Evidence, Known, Reading, Unknown
from service.model.incident import Incident
from service.model.objects import Surroundings, Survey, Write
from service.model.playbook import Playbook
from service.model.target import Owner, Target, TargetKind
from service.phases.rooms import (
    AskAlertmanager,
    Diagnose,
    FindOwner,
    HasSettled,
    LookAround,
    SurveyWrites,
)
from service.playbooks.quick import ForTarget
from service.publish.sink import Outlets
from service.record.metrics import Metrics
from service.settings import Settings
from service.store.escalations import Escalations
from service.store.tallies import Tallies

_SURVEY_WITHIN_S = 10.0
_OWNER_WITHIN_S = 10.0
_SETTLED_WITHIN_S = 10.0
_STANDING_WITHIN_S = 5.0


async def opened(
    settings: Settings, clock: Clock, stack: AsyncExitStack
) -> tuple[Sources, Writers]:
    """The clients of what is configured. None is connected yet:
    a backend that is away must not stop the start.
    """
    kubernetes = kafka = clickhouse = prometheus = registry = None
    writer = acting = None
    if settings.kubernetes.configured:
        kubernetes = await stack.enter_async_context(KubernetesReader(settings.kubernetes))
        writer = await stack.enter_async_context(KubernetesWriter(settings.kubernetes))
    if settings.kafka.bootstrap:
        kafka = await stack.enter_async_context(KafkaClient(settings.kafka))
    if settings.clickhouse.host:
        clickhouse = await stack.enter_async_context(ClickHouseClient(settings.clickhouse))
        acting = await stack.enter_async_context(ClickHouseWriter(settings.clickhouse))
    if settings.prometheus.url:
        prometheus = await stack.enter_async_context(PrometheusClient(settings.prometheus))
    if settings.schema_registry.url:
        registry = await stack.enter_async_context(SchemaRegistryClient(settings.schema_registry))
    sources = Sources(kubernetes, kafka, clickhouse, prometheus, registry)
    return sources, Writers(clock, writer, acting, settings.known_good)


async def outlets(
    settings: Settings,
    clock: Clock,
    tallies: Tallies,
    stack: AsyncExitStack,
    alertmanagers: Sequence[AlertmanagerClient],
    escalations: Escalations,
    busy: Callable[[], bool],
) -> Outlets:
    """The receivers of the journal that are configured. None is connected yet. Raises BadConfig."""
    wanted, grafana, events, kafka = settings.publish, None, None, None
    if wanted.grafana_url:
        grafana = await stack.enter_async_context(GrafanaAnnotations(wanted))
    if wanted.kubernetes_events:
        if not settings.kubernetes.configured:
            raise BadConfig("publish.kubernetes_events is set, and kubernetes.kubeconfig is not")
        events = await stack.enter_async_context(KubernetesEvents(settings.kubernetes))
    if wanted.kafka_topic:
        if not settings.kafka.bootstrap:
            raise BadConfig("publish.kafka_topic is set, and kafka.bootstrap is not")
        publisher = KafkaPublisher(settings.kafka, wanted.kafka_topic, wanted.kafka_source)
        kafka = await stack.enter_async_context(publisher)
    return Outlets(
        clock, grafana, events, kafka, tallies,
        alertmanagers=alertmanagers,
        escalations=escalations,
        keep_firing_s=settings.alertmanager.keep_firing_s,
        incident_url=wanted.incident_url,
        busy=busy,
    )  # fmt: skip


async def checkpoint_places(settings: Settings, stack: AsyncExitStack) -> Sequence[Place]:
    """Where checkpoints of the audit chain are kept. None is connected yet. Raises BadConfig."""
    file, topic = settings.audit.checkpoint_file, settings.audit.checkpoint_topic
    places: list[Place] = [CheckpointFile(file)] if file else []
    if topic is None:
        return places
    if not settings.kafka.bootstrap:
        raise BadConfig("audit.checkpoint_topic is set, and kafka.bootstrap is not")
    if topic == settings.publish.kafka_topic:
        raise BadConfig("audit.checkpoint_topic is publish.kafka_topic: it needs one of its own")
    publisher = KafkaPublisher(settings.kafka, topic, source_of(settings.publish.kafka_source))
    places.append(CheckpointTopic(await stack.enter_async_context(publisher)))
    return places


def diagnosing(
    chapters: Chapters, sources: Sources, settings: Settings, metrics: Metrics, clock: Clock
) -> Diagnose:
    """The chapters as the pipeline runs them. Raises BadInput where a playbook has no
    parameters for a target.
    """
    checks = {name: TypeAdapter(chapter.parameters) for name, chapter in chapters.items()}

    async def diagnose(playbook: Playbook, incident: Incident) -> Evidence:
        chapter = chapters[playbook.diagnose]
        filled = playbook.params_for(incident.target)
        parameters: object = checks[playbook.diagnose].validate_python(filled)
        deadline = Deadline.after(settings.work.diagnose_within_s)
        look = Look(sources, incident.target, deadline, clock, metrics.probe)
        evidence: Evidence = await chapter.diagnose(look, parameters)
        return evidence

    return diagnose


def quick_look(
    settings: Settings, sources: Sources, parameters: ForTarget, clock: Clock
) -> QuickLook:
    """Quick diagnostics through these clients."""
    within_s, inside = settings.work.diagnose_within_s, settings.kubernetes.inside
    return QuickLook(sources, parameters, clock, within_s, inside)


async def looked_once(
    settings: Settings, parameters: ForTarget, namespace: str, observe: Observe
) -> tuple[Quick, QuickEvidence]:
    """Quick diagnostics without a running service. Raises BadConfig, Unavailable and BadInput."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        sources, _ = await opened(settings, clock, stack)
        look = quick_look(settings, sources, parameters, clock)
        return await look.at(namespace, observe)


def owning(sources: Sources, clock: Clock) -> FindOwner:
    async def find(pod: Target, kinds: Collection[TargetKind]) -> Reading[Owner]:
        began = clock.monotonic()
        try:
            kubernetes = configured(sources.kubernetes, "Kubernetes")
            deadline = Deadline.after(_OWNER_WITHIN_S)
            found = await pod_owner(kubernetes, pod, kinds, deadline=deadline)
        except ParamedicError as error:
            took_s = clock.monotonic() - began
            return Unknown(error.reason, "kubernetes", clock.now(), took_s, error.detail)
        return Known(found, "kubernetes", clock.now(), clock.monotonic() - began)

    return find


def settling(sources: Sources, clock: Clock) -> HasSettled:
    async def read(step: CourseStep) -> Reading[bool]:
        began = clock.monotonic()
        try:
            kubernetes = configured(sources.kubernetes, "Kubernetes")
            deadline = Deadline.after(_SETTLED_WITHIN_S)
            found = await settled(kubernetes, step.target, step.settles, deadline=deadline)
        except ParamedicError as error:
            took_s = clock.monotonic() - began
            return Unknown(error.reason, "kubernetes", clock.now(), took_s, error.detail)
        return Known(found, "kubernetes", clock.now(), clock.monotonic() - began)

    return read


async def alertmanagers(
    settings: Settings, stack: AsyncExitStack
) -> tuple[AlertmanagerClient, ...]:
    """A client for each Alertmanager. None is connected yet."""
    wanted = settings.alertmanager
    clients = [AlertmanagerClient(url, wanted) for url in wanted.urls]
    return tuple([await stack.enter_async_context(client) for client in clients])


def asking(clients: Sequence[AlertmanagerClient], clock: Clock) -> AskAlertmanager | None:
    """How alerts stand; None where no Alertmanager is configured."""
    if not clients:
        return None

    async def ask(alerts: Sequence[Alert]) -> Reading[Standing]:
        began = clock.monotonic()
        try:
            found = await standing(clients, alerts, deadline=Deadline.after(_STANDING_WITHIN_S))
        except ParamedicError as error:
            took_s = clock.monotonic() - began
            return Unknown(error.reason, "alertmanager", clock.now(), took_s, error.detail)
        return Known(found, "alertmanager", clock.now(), clock.monotonic() - began)

    return ask


def surveying(sources: Sources, clock: Clock) -> SurveyWrites:
    async def read(writes: Sequence[Write]) -> Reading[tuple[Survey, ...]]:
        began = clock.monotonic()
        try:
            found: tuple[Survey, ...] = ()
            if writes:
                kubernetes = configured(sources.kubernetes, "Kubernetes")
                found = await survey(kubernetes, writes, deadline=Deadline.after(_SURVEY_WITHIN_S))
        except ParamedicError as error:
            took_s = clock.monotonic() - began
            return Unknown(error.reason, "kubernetes", clock.now(), took_s, error.detail)
        return Known(found, "kubernetes", clock.now(), clock.monotonic() - began)

    return read


def looking_around(sources: Sources, clock: Clock) -> LookAround:
    async def look(
        target: Target, writes: Sequence[Write], takes: Sequence[str]
    ) -> Reading[Surroundings]:
        deadline = Deadline.after(_SURVEY_WITHIN_S)

        async def ask() -> Surroundings:
            kubernetes = configured(sources.kubernetes, "Kubernetes")
            return await surroundings(kubernetes, target, writes, takes, deadline=deadline)

        probes = {"around": Probe("kubernetes", ask)}
        found = await gather(probes, deadline=deadline, clock=clock, observe=_unheard)
        around: Reading[Surroundings] = found["around"]
        return around

    return look


def _unheard(name: str, result: str, took_s: float) -> None:
    """It is no probe of a diagnosis, so it is none in the metrics."""
