"""The composition root: builds every room in one exit stack; shutting down is its reverse.

Never here: a decision; this file only says who gets what.
"""

import asyncio
import platform
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version

import structlog

from service import backends
from service.act import KINDS
from service.act.executor import Executor
from service.audit.chainer import Chainer, Place
from service.desk.admission import Admission
from service.desk.api import Api
from service.desk.breaking import BreakerDesk
from service.desk.decisions import Decisions
from service.desk.sagas import Sagas
from service.desk.scraping import Scraping
from service.desk.speaking import Desk
from service.diagnose import CHAPTERS
from service.guard.chain import CHAIN
from service.incident.lifecycle import Patience
from service.intake.budget import ByteBudget
from service.intake.http import Intake
from service.kit.clock import Clock, ClockWatch, SystemClock
from service.kit.tasks import running
from service.model.errors import Unavailable
from service.phases.rooms import Attempts, Rooms
from service.playbooks import causes, quick
from service.playbooks.load import load
from service.policy import Limits
from service.publish import SINKS
from service.publish.follower import followers
from service.record.journal import Journal
from service.record.metrics import Metrics
from service.route.sorting import Rules
from service.settings import Settings, WorkSettings
from service.sorter import Sorter
from service.store.approvals import Approvals
from service.store.audit import AuditStore
from service.store.breaker import Breaker
from service.store.controls import Controls
from service.store.courses import Courses
from service.store.database import Database
from service.store.episodes import Episodes
from service.store.escalations import Escalations
from service.store.figures import Figures
from service.store.inbox import Inbox
from service.store.incidents import Incidents
from service.store.ledger import Ledger
from service.store.outbox import Outbox
from service.store.tallies import Tallies
from service.web.credentials import Credentials
from service.web.server import serving as listening
from service.worker import Worker

log = structlog.get_logger()

_HOUSEKEEPING_S = 3600.0


@dataclass(slots=True)
class Service:
    """A running service. `failed` is set with the reason when a part that must not end has
    ended.
    """

    url: str
    metrics: Metrics
    intake: Intake
    inbox: Inbox
    failed: "asyncio.Future[str]"


@asynccontextmanager
async def serving(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Service]:
    """Runs the whole service until the block ends. Raises BadConfig or
    Unavailable(store_down) at the start.
    """
    clock = clock or SystemClock()
    playbooks = {p.name: p for p in load(settings.playbooks, CHAPTERS, KINDS)}
    explained = causes.beside(settings.playbooks, playbooks)
    quick_parameters = quick.beside(settings.playbooks, CHAPTERS["quick"])
    credentials = Credentials(settings.intake)
    credentials.check()
    metrics = Metrics()
    for guard in CHAIN:  # so that one that is never asked is seen as a series that does not grow
        metrics.guard_answers.labels(guard, "pass")
    metrics.build_info.labels(version("paramedic"), platform.python_version()).set(1)
    intake_settings, work = settings.intake, settings.work
    async with AsyncExitStack() as stack:
        database = await Database.open(settings.store.url)
        stack.push_async_callback(database.close)
        database.timed = metrics.stored
        inbox = Inbox(
            database,
            clock,
            max_waiting=intake_settings.max_waiting,
            max_dead_letters=intake_settings.max_dead_letters,
            keep_body_bytes=settings.store.keep_body_bytes,
        )
        await inbox.open()
        episodes, ledger = Episodes(database), Ledger(database)
        incidents = Incidents(database, KINDS)
        if database.dialect == "sqlite":
            await incidents.release_all()

        sources, writers = await backends.opened(settings, clock, stack)
        alertmanagers = await backends.alertmanagers(settings, stack)
        controls = Controls(database)
        limits = Limits(ClockWatch(clock), settings, clock, controls, metrics)
        await limits.hear()
        rooms = Rooms(
            playbooks=playbooks,
            causes=explained,
            kinds=KINDS,
            diagnose=backends.diagnosing(CHAPTERS, sources, settings, metrics, clock),
            survey=backends.surveying(sources, clock),
            around=backends.looking_around(sources, clock),
            owner=backends.owning(sources, clock),
            settled=backends.settling(sources, clock),
            executor=Executor.of(KINDS, writers),
            incidents=incidents,
            ledger=ledger,
            journal=Journal(metrics),
            policy=limits.policy,
            patience=Patience(work.recheck_s, work.escalate_after_s),
            attempts=Attempts(work.attempt_within_s, work.act_within_s, work.unsure_within_s),
            clock=clock,
            chain=CHAIN,
            standing=backends.asking(alertmanagers, clock),
        )
        worker = Worker(
            incidents,
            rooms,
            metrics,
            clock,
            slots=work.workers,
            step_within_s=_longest_step_s(work),
        )
        budget = ByteBudget(intake_settings.bytes_in_flight)
        heard_within = timedelta(seconds=intake_settings.heard_within_s)
        sorter = Sorter(
            database,
            inbox,
            Rules(tuple(playbooks.values()), settings.guard.namespaces, heard_within),
            metrics,
            clock,
            worker.wake,
            budget=budget,
            unheard_after=timedelta(seconds=intake_settings.unheard_after_s),
        )
        intake = Intake(intake_settings, inbox, budget, metrics)

        breaker_limits = settings.guard.breaker
        breaker = BreakerDesk(
            Breaker(database, breaker_limits), breaker_limits, metrics, clock, worker.wake
        )

        failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        keep = timedelta(days=settings.store.keep_days)
        places = await backends.checkpoint_places(settings, stack)
        chainer = _chainer(settings, database, clock, worker.owner, metrics, places)
        for name, eternal in (
            ("store", database.watch()),
            ("worker", worker.run()),
            ("sorter", sorter.run()),
            ("housekeeping", _housekeeping(inbox, incidents, chainer, keep, clock)),
            ("clock", limits.run(incidents, worker)),
            *([("audit", chainer.run())] if chainer else []),
            ("breaker", breaker.run()),
        ):
            _ = await stack.enter_async_context(running(name, eternal, partial(_died, failed)))
        outbox, tallies = Outbox(database), Tallies(database)
        if database.dialect == "sqlite":
            await outbox.release_all()
        stack.push_async_callback(_let_others_follow, outbox, worker.owner)
        outlets = await backends.outlets(
            settings, clock, tallies, stack, alertmanagers, Escalations(database),
            busy=lambda: database.writing > 0,  # a webhook is committed, or waits behind what is
        )  # fmt: skip
        for follower in followers(SINKS, outlets, outbox, worker.owner, metrics.published):
            following, dying = follower.run(), partial(_died, failed)
            name = f"sink {follower.name}"
            _ = await stack.enter_async_context(running(name, following, dying))
        ready = partial(_not_ready, intake, inbox)
        look = backends.quick_look(settings, sources, quick_parameters, clock)
        allowed = settings.guard.namespaces
        scraping = Scraping(
            metrics, Figures(database), tallies, outbox, inbox, list(playbooks.values()),
            limits.policy, clock,
        )  # fmt: skip
        api = Api(
            credentials, inbox, episodes, incidents, ledger, metrics, ready, look, scraping, allowed
        )
        desk = Desk(controls, Approvals(database), metrics, settings.mode, clock, worker.wake)
        admission = Admission(credentials)
        decisions = Decisions(admission, desk)
        sagas = Sagas(credentials, Courses(database), playbooks, limits.policy, clock, worker.wake)
        routes = [
            *intake.routes(), *api.routes(), *sagas.routes(), *decisions.routes(),
            *breaker.routes(admission),
        ]  # fmt: skip
        url = await stack.enter_async_context(
            listening(intake_settings, routes, api.plain_routes())
        )
        log.info("ready", url=url, mode=settings.mode, playbooks=list(playbooks))
        yield Service(url, metrics, intake, inbox, failed)
        intake.close()


def _longest_step_s(work: WorkSettings) -> float:
    """All deadlines of one step together, and some time for the store."""
    return work.diagnose_within_s + work.attempt_within_s + 45.0


async def _let_others_follow(outbox: Outbox, owner: str) -> None:
    """When the followers have ended. Not done, another process waits for the lease
    to run out, and no more.
    """
    try:
        await outbox.release(owner)
    except Unavailable as error:
        log.error("sinks not released", reason=error.reason, detail=error.detail)


async def _not_ready(intake: Intake, inbox: Inbox) -> str | None:
    """Why a webhook would not be taken now, by taking one."""
    if intake.closing:
        return "shutting_down"
    try:
        await inbox.ready()
    except Unavailable as error:
        return error.reason
    return None


def _chainer(
    settings: Settings,
    database: Database,
    clock: Clock,
    owner: str,
    metrics: Metrics,
    places: Sequence[Place],
) -> Chainer | None:
    """Who chains the journal, when there is a key. Raises BadConfig or Unavailable for
    one that cannot be used.
    """
    key = settings.audit.key_file
    if key is None:
        return None
    store = AuditStore(database)
    for place in places:  # so that one that is never reached is seen as a series that grows
        metrics.audit_kept.labels(place.name, "kept")
        metrics.audit_kept.labels(place.name, "failed")
    made = Chainer(store, clock, owner, key, places, metrics.audited, metrics.checkpoint_kept)
    made.open()
    return made


async def _housekeeping(
    inbox: Inbox, incidents: Incidents, chainer: Chainer | None, keep: timedelta, clock: Clock
) -> None:
    while True:
        try:
            await inbox.prune(keep)
            await incidents.prune(clock.now() - keep, with_steps=chainer is None)
            if chainer is not None:
                await chainer.prune(clock.now() - keep)
        except Unavailable as error:
            log.error("housekeeping put off", reason=error.reason, detail=error.detail)
        await asyncio.sleep(_HOUSEKEEPING_S)


def _died(failed: "asyncio.Future[str]", name: str, error: BaseException | None) -> None:
    """A part that must run for ever has ended: the service stops,
    and is started anew where it stands.
    """
    log.critical("a part of the service ended", part=name, error=repr(error))
    if not failed.done():
        failed.set_result(f"{name}: {error!r}")
