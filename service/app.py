"""The composition root: builds every room in one exit stack; shutting down is its reverse.

Called by: cli, the tests and the demo. Never here: a decision; this file only says who gets what.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version

import structlog
from aiohttp import web
from pydantic import TypeAdapter

from service.act import KINDS
from service.act.executor import Executor
from service.act.kind import Writers
from service.clients.clickhouse import ClickHouseClient
from service.clients.clickhouse_write import ClickHouseWriter
from service.clients.kafka import KafkaClient
from service.clients.kubernetes import KubernetesReader
from service.clients.kubernetes_write import KubernetesWriter
from service.clients.prometheus import PrometheusClient
from service.desk.api import Api
from service.diagnose import CHAPTERS
from service.diagnose.chapter import Look
from service.diagnose.probes.ownership import survey
from service.diagnose.sources import Sources, configured
from service.guard.chain import CHAIN
from service.guard.question import Policy
from service.incident.lifecycle import Patience
from service.intake.auth import admitted
from service.intake.http import Door
from service.intake.sorter import Sorter
from service.kit.clock import Clock, ClockWatch, SystemClock
from service.kit.deadline import Deadline
from service.kit.tasks import running
from service.model.errors import BadConfig, ParamedicError, Unavailable
from service.model.evidence import Evidence, Known, Reading, Unknown
from service.model.incident import Incident
from service.model.objects import Survey, Write
from service.model.playbook import Playbook
from service.phases.rooms import Attempts, Diagnose, Rooms, SurveyWrites
from service.playbooks.load import load
from service.record.journal import Journal
from service.record.metrics import Metrics
from service.settings import IntakeSettings, Settings
from service.store.database import Database
from service.store.episodes import Episodes
from service.store.inbox import Inbox
from service.store.incidents import Incidents
from service.store.ledger import Ledger
from service.worker import Worker

log = structlog.get_logger()

_HOUSEKEEPING_S = 3600.0


@dataclass(slots=True)
class Service:
    """A running service. `failed` is set with the reason when a part that must not end has ended."""

    url: str
    metrics: Metrics
    worker: Worker
    incidents: Incidents
    ledger: Ledger
    inbox: Inbox
    door: Door
    failed: "asyncio.Future[str]"


@asynccontextmanager
async def serving(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Service]:
    """Runs the whole service until the block ends. Raises BadConfig or Unavailable(store_down) at the start."""
    clock = clock or SystemClock()
    playbooks = load(settings.playbooks, CHAPTERS, KINDS)
    metrics = Metrics()
    metrics.info.labels(version("paramedic"), settings.mode).set(1)
    async with AsyncExitStack() as stack:
        database = await Database.open(settings.store.url)
        stack.push_async_callback(database.close)
        intake = settings.intake
        inbox = Inbox(
            database,
            clock,
            max_waiting=intake.max_waiting,
            max_dead_letters=intake.max_dead_letters,
        )
        await inbox.open()
        episodes, ledger = Episodes(database), Ledger(database)
        incidents = Incidents(database, KINDS)
        if database.dialect == "sqlite":
            await incidents.release_all()
        sources, writers = await _backends(settings, clock, stack)
        watch = Watchman(ClockWatch(clock), settings, clock)
        work = settings.work
        rooms = Rooms(
            playbooks={p.name: p for p in playbooks},
            kinds=KINDS,
            diagnose=_diagnose(sources, settings, metrics, clock),
            survey=_survey(sources, clock),
            executor=Executor.of(KINDS, writers),
            incidents=incidents,
            ledger=ledger,
            journal=Journal(metrics),
            policy=watch.policy,
            patience=Patience(work.recheck_s, work.escalate_after_s),
            attempts=Attempts(work.attempt_within_s, work.act_within_s, work.unsure_within_s),
            clock=clock,
            chain=CHAIN,
        )
        within_s = 2 * work.diagnose_within_s + work.attempt_within_s + 30.0
        worker = Worker(
            incidents, rooms, metrics, clock, slots=work.workers, step_within_s=within_s
        )
        sorter = Sorter(
            inbox, episodes, playbooks, settings.guard.namespaces, metrics, clock, worker.wake
        )
        failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        keep = timedelta(days=settings.store.keep_days)
        for name, eternal in (
            ("inbox", inbox.run()),
            ("worker", worker.run()),
            ("sorter", sorter.run()),
            ("housekeeping", _housekeeping(inbox, incidents, keep, clock)),
            ("clock", watch.run(incidents, worker)),
        ):
            _ = await stack.enter_async_context(running(name, eternal, partial(_died, failed)))
        door = Door(intake, inbox, metrics)
        api = Api(
            partial(admitted, intake),
            inbox,
            episodes,
            incidents,
            ledger,
            metrics,
            partial(_not_ready, door, inbox, database),
        )
        port = await _listen(intake, door, api, stack)
        scheme = "https" if intake.tls_cert else "http"
        service = Service(
            f"{scheme}://{intake.host}:{port}",
            metrics,
            worker,
            incidents,
            ledger,
            inbox,
            door,
            failed,
        )
        log.info(
            "ready", url=service.url, mode=settings.mode, playbooks=[p.name for p in playbooks]
        )
        yield service
        door.closing = True


@dataclass(slots=True)
class Watchman:
    """The limits over all playbooks as they are now, and whether the wall clock can be trusted."""

    watch: ClockWatch
    settings: Settings
    clock: Clock
    sound_at: datetime | None = None

    def policy(self) -> Policy:
        """What guards go by. A step of the clock counts from the moment it is seen here."""
        self._look()
        guard, intake = self.settings.guard, self.settings.intake
        return Policy(
            ceiling=self.settings.mode,
            namespaces=guard.namespaces,
            overall=guard.overall,
            evidence_max_age_s=guard.evidence_max_age_s,
            heard_within_s=intake.heard_within_s,
            clock_sound_at=self.sound_at,
        )

    async def run(self, incidents: Incidents, worker: Worker) -> None:
        """Looks every second; after a step everything that waits is due, for no instant means what it meant."""
        while True:
            before = self.sound_at
            self._look()
            if self.sound_at != before:
                try:
                    await incidents.wake_all(self.clock.now())
                    worker.wake()
                except Unavailable as error:
                    self.sound_at = before
                    log.error("not woken after a step of the clock", reason=error.reason)
            await asyncio.sleep(1.0)

    def _look(self) -> None:
        step_s = self.watch.step_s()
        if step_s:
            hold = timedelta(seconds=self.settings.guard.clock_hold_s)
            self.sound_at = self.clock.now() + hold
            log.error(
                "the wall clock jumped, actions are held", step_s=step_s, until=str(self.sound_at)
            )


async def _backends(
    settings: Settings, clock: Clock, stack: AsyncExitStack
) -> tuple[Sources, Writers]:
    """The clients of what is configured. None is connected yet: a backend that is away must not stop the start."""
    kubernetes = kafka = clickhouse = prometheus = None
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
    sources = Sources(kubernetes, kafka, clickhouse, prometheus)
    return sources, Writers(clock, writer, acting)


def _diagnose(sources: Sources, settings: Settings, metrics: Metrics, clock: Clock) -> Diagnose:
    async def diagnose(playbook: Playbook, incident: Incident) -> Evidence:
        chapter = CHAPTERS[playbook.diagnose]
        filled = playbook.params_for(incident.target)
        parameters: object = TypeAdapter(chapter.parameters).validate_python(filled)
        deadline = Deadline.after(settings.work.diagnose_within_s)
        look = Look(sources, incident.target, deadline, clock, metrics.probe)
        evidence: Evidence = await chapter.diagnose(look, parameters)
        return evidence

    return diagnose


def _survey(sources: Sources, clock: Clock) -> SurveyWrites:
    async def read(writes: Sequence[Write]) -> Reading[tuple[Survey, ...]]:
        began = clock.monotonic()
        try:
            found: tuple[Survey, ...] = ()
            if writes:
                kubernetes = configured(sources.kubernetes, "Kubernetes")
                found = await survey(kubernetes, writes, deadline=Deadline.after(10.0))
        except ParamedicError as error:
            took_s = clock.monotonic() - began
            return Unknown(error.reason, "kubernetes", clock.now(), took_s, error.detail)
        return Known(found, "kubernetes", clock.now(), clock.monotonic() - began)

    return read


async def _listen(intake: IntakeSettings, door: Door, api: Api, stack: AsyncExitStack) -> int:
    """Opens the port, and the plain one where it is wanted. Returns the port, which 0 lets the system choose."""
    port = await _site(intake, [*door.routes(), *api.routes()], intake.port, _tls(intake), stack)
    if intake.plain_port is not None:
        await _site(intake, api.plain_routes(), intake.plain_port, None, stack)
    return port


async def _site(
    intake: IntakeSettings,
    routes: Sequence[web.RouteDef],
    port: int,
    tls: ssl.SSLContext | None,
    stack: AsyncExitStack,
) -> int:
    app = web.Application(client_max_size=intake.max_body_bytes)
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=75.0, shutdown_timeout=10.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, intake.host, port, ssl_context=tls).start()
    except OSError as error:
        raise BadConfig(
            f"intake: cannot listen on {intake.host}:{port}: {error.strerror}; "
            "choose another with PARAMEDIC_INTAKE__HOST and PARAMEDIC_INTAKE__PORT"
        ) from error
    return int(runner.addresses[0][1])


def _tls(intake: IntakeSettings) -> ssl.SSLContext | None:
    if intake.tls_cert is None or intake.tls_key is None:
        return None
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=intake.tls_client_ca)
        context.load_cert_chain(intake.tls_cert, intake.tls_key)
    except OSError as error:  # ssl.SSLError is one
        files = ", ".join(
            str(f) for f in (intake.tls_cert, intake.tls_key, intake.tls_client_ca) if f
        )
        raise BadConfig(
            f"intake: {files}: {error}; each has to be PEM, and the key that of the certificate"
        ) from error
    if intake.tls_client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def _not_ready(door: Door, inbox: Inbox, database: Database) -> str | None:
    if door.closing:
        return "shutting_down"
    if inbox.full:
        return "store_full"
    if inbox.failed_lately:
        return "store_down"
    try:
        await database.ping()
    except Unavailable as error:
        return error.reason
    return None


async def _housekeeping(inbox: Inbox, incidents: Incidents, keep: timedelta, clock: Clock) -> None:
    while True:
        try:
            await inbox.prune(keep)
            await incidents.prune(clock.now() - keep)
        except Unavailable as error:
            log.error("housekeeping put off", reason=error.reason, detail=error.detail)
        await asyncio.sleep(_HOUSEKEEPING_S)


def _died(failed: "asyncio.Future[str]", name: str, error: BaseException | None) -> None:
    """A part that must run for ever has ended: the service stops, and is started anew where it stands."""
    log.critical("a part of the service ended", part=name, error=repr(error))
    if not failed.done():
        failed.set_result(f"{name}: {error!r}")
