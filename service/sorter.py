"""The loop from committed webhooks to episodes and incidents.

It reads, lets route/ say what changes, and writes that in the same transaction that
marks the webhooks as sorted:
a crash repeats it harmlessly. What a delivery means is said in route/; nothing here decides it.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import structlog

from service.intake.budget import ByteBudget
from service.intake.payload import PART_ALERTS, WHOLE_BYTES, Bad, Part, decode
from service.kit.clock import Clock
from service.model.alert import Alert, AlertStatus, EpisodeKey
from service.model.errors import BadInput, Unavailable
from service.model.reasons import Reason
from service.record.metrics import Metrics
from service.route.episodes import Change, Episode
from service.route.sorting import (
    Delivery,
    Known,
    Place,
    Rules,
    Sorted,
    end_unheard,
    places,
    sort,
)
from service.route.target import Destination
from service.store import episodes as store
from service.store.database import Database, Transaction
from service.store.episodes import Episodes, KnownRows, alert_of
from service.store.inbox import Inbox, Webhook
from service.store.names import new_id
from service.store.schema import Row

log = structlog.get_logger()

_BATCH_BYTES = 2 * 2**20
_BATCH_WEBHOOKS = 400
_GATHER_S = 0.05  # a later batch is a larger one, and costs less for each webhook
_GIVE_WAY = 0.25  # of a transaction's time, for each webhook that waits for its answer
_MOST_WAY = 2.0  # at most, of a transaction's time: a storm has to be sorted under load too
_UNHEARD_EVERY_S = 60.0
_LOGGED_OPENINGS = 20  # a line each; a storm of thousands is told in one

_WAKING = (Change.RESOLVED, Change.REFIRED)

# The alert that always fires. It comes like any other, so its age is that of the whole way
# from Prometheus to here.
WATCHDOG = "Watchdog"


@dataclass(slots=True)
class _Piece:
    """What one transaction sorts of one webhook."""

    webhook: Webhook
    begun: int  # alerts of it that were sorted before
    alerts: list[Alert] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    count: int = 0  # its alerts in here, good and bad
    last: bool = False  # nothing of it is left after this


class Sorter:
    """Sorts what the inbox holds; `wake` is called when an incident may have become due."""

    def __init__(
        self,
        database: Database,
        inbox: Inbox,
        rules: Rules,
        metrics: Metrics,
        clock: Clock,
        wake: Callable[[], None],
        *,
        budget: ByteBudget,
        unheard_after: timedelta,
    ) -> None:
        self._database = database
        self._inbox = inbox
        self._episodes = Episodes(database)
        self._rules = rules
        self._metrics = metrics
        self._clock = clock
        self._wake = wake
        self._budget = budget
        self._unheard_after = unheard_after
        self._started_at = clock.now()

    async def run(self) -> None:
        """Sorts for ever. While the store is down it waits and tries again:
        nothing accepted is dropped.
        """
        pause_s = 0.5
        unheard_at = self._clock.monotonic() + _UNHEARD_EVERY_S
        while True:
            await self._arrival(unheard_at - self._clock.monotonic())
            try:
                while await self.sort_batch():
                    pause_s = 0.5
                    await self._inbox.trim()
                    if self._inbox.waiting < _BATCH_WEBHOOKS:
                        await asyncio.sleep(_GATHER_S)
                if self._clock.monotonic() >= unheard_at:
                    unheard_at = self._clock.monotonic() + _UNHEARD_EVERY_S
                    await self.end_unheard()
            except Unavailable as error:
                log.error("sorting waits for the store", reason=error.reason, detail=error.detail)
                self._metrics.faults.labels("sorter").inc()
                self._inbox.arrived.set()
                await self._clock.sleep(pause_s)
                pause_s = min(pause_s * 2, 30.0)

    async def _arrival(self, at_most_s: float) -> None:
        # Other replicas' webhooks are announced to them, not to this one: look now and then.
        if self._inbox.waiting or self._database.dialect != "sqlite":
            at_most_s = min(at_most_s, 1.0)
        try:
            async with asyncio.timeout(max(0.0, at_most_s)):
                await self._inbox.arrived.wait()
        except TimeoutError:
            return
        self._inbox.arrived.clear()

    # ------------------------------------------------------------------ webhooks

    async def sort_batch(self) -> bool:
        """Sorts some webhooks; False when none wait, or another replica sorts."""
        size = await self._inbox.sizes(_BATCH_WEBHOOKS, _BATCH_BYTES)
        if not size:
            return False  # found out without a transaction that writes
        async with self._budget.held(size):
            webhooks = await self._inbox.begin(_BATCH_WEBHOOKS, _BATCH_BYTES)
            if not webhooks:
                return False
            try:
                await self._sort(webhooks)
            except asyncio.CancelledError:
                await self._inbox.put_back()
                raise
            except Unavailable:
                raise
            except Exception:  # a bug of ours: one webhook may not hold up all others
                log.exception("a batch could not be sorted; its webhooks are sorted one by one")
                # What was sorted of them is durable: they are asked for anew, with what is left.
                for webhook in await self._inbox.begin(_BATCH_WEBHOOKS, _BATCH_BYTES):
                    await self._sort_alone(webhook)
        if self._database.dialect != "sqlite":
            await self._inbox.recount()  # other replicas sort this one's, and this one theirs
        return True

    async def _sort(self, webhooks: Sequence[Webhook]) -> None:
        """Sorts webhooks in their order, some hundred alerts a transaction,
        with the loop free in between.
        """
        load: list[_Piece] = []
        alerts = 0
        for webhook in webhooks:
            piece = _Piece(webhook, webhook.done)
            load.append(piece)
            parts = decode(webhook.body, webhook.done)
            try:
                while (part := await _next(parts, webhook)) is not None:
                    piece.alerts += part.alerts
                    piece.bad += part.bad
                    piece.count += part.count
                    alerts += part.count
                    if alerts >= PART_ALERTS:
                        await self._commit(load)
                        alerts = 0
                        piece = _Piece(webhook, piece.begun + piece.count)
                        load = [piece]
            except BadInput as error:  # accepted by an older version that read it otherwise
                piece.bad.append(Bad(webhook.body, error.detail, error.reason))
                log.warning("dead letter", reason=error.reason, detail=error.detail)
            piece.last = True
        await self._commit(load)

    async def _sort_alone(self, webhook: Webhook) -> None:
        try:
            await self._sort([webhook])
        except Unavailable:
            raise
        except (
            Exception
        ) as error:  # this is the guilty one: kept for people, counted, out of the way
            log.exception("webhook set aside", webhook=webhook.id)
            self._metrics.faults.labels("sorter").inc()
            row = self._inbox.dead_row(
                webhook.received_at, webhook.body, len(webhook.body), Reason.SORTING_FAILED,
                f"{type(error).__name__}: {error}",
            )  # fmt: skip

            def give_up(tx: Transaction) -> None:
                self._inbox.write_dead(tx, [row])
                self._inbox.finish(tx, [webhook.id])

            await self._database.write(give_up)
            self._inbox.waiting -= 1

    async def _commit(self, load: Sequence[_Piece]) -> None:
        began = self._clock.monotonic()
        result, finished = await self._database.write(partial(self._transaction, load))
        self._inbox.waiting -= finished
        self._tell(result)
        for piece in load:
            if any(_is_watchdog(alert) for alert in piece.alerts):
                self._metrics.watchdog_seen.set(piece.webhook.received_at.timestamp())
        # Receiving goes first: Alertmanager waits for an answer, nobody for sorting.
        took_s = self._clock.monotonic() - began
        await asyncio.sleep(took_s * min(self._inbox.accepting * _GIVE_WAY, _MOST_WAY))

    def _transaction(self, load: Sequence[_Piece], tx: Transaction) -> tuple[Sorted, int]:
        """What the load changes, written. Also how many webhooks are sorted to their end by it."""
        mine = self._inbox.still_mine(tx, {p.webhook.id: p.begun for p in load})
        pieces = [p for p in load if p.webhook.id in mine]
        result = self._sorted(
            tx, [Delivery(alert, p.webhook.received_at) for p in pieces for alert in p.alerts]
        )
        self._write(tx, result)
        dead = [
            self._inbox.dead_row(p.webhook.received_at, b.body, len(b.body), b.reason, b.detail)
            for p in pieces
            for b in p.bad
        ]
        self._inbox.write_dead(tx, dead)
        for piece in pieces:
            if not piece.last:
                self._inbox.advance(tx, piece.webhook.id, piece.begun + piece.count)
        finished = [p.webhook.id for p in pieces if p.last]
        self._inbox.finish(tx, finished)
        return result, len(finished)

    def _sorted(self, tx: Transaction, deliveries: Sequence[Delivery]) -> Sorted:
        now = self._clock.now()
        rows = store.known(tx, {d.alert.key for d in deliveries})
        known = Known(_episodes(rows), rows.ended_at, rows.firing)
        going = places(deliveries, known.episodes, self._rules)
        targets = {p.target.key for p in going.values() if isinstance(p, Destination)}
        found = store.open_incidents(tx, sorted(targets))
        there = {Place(*spot): incident_id for spot, incident_id in found.items()}
        name = partial(new_id, "inc", now)
        return sort(deliveries, known, going, there, self._rules, now, name)

    def _write(self, tx: Transaction, result: Sorted) -> None:
        now = self._clock.now()
        store.open_new(tx, [(o.incident_id, o.playbook, o.target) for o in result.opened], now)
        store.write(tx, [_row(episode) for episode in result.episodes])
        store.wake(tx, sorted(result.woken), now)

    # ------------------------------------------------------------------ what nobody tells of

    async def end_unheard(self, limit: int = 500) -> int:
        """Ends episodes that nobody has told of for too long; how many.

        Not while webhooks wait, which may tell of them, and not until this process has listened for
        as long as Alertmanager may take to repeat itself: whoever was away himself has not heard.
        """
        now = self._clock.now()
        if self._inbox.waiting or now - self._started_at < self._rules.heard_within:
            return 0
        before = now - self._unheard_after
        keys = await self._episodes.unheard(before, limit)
        if not keys:
            return 0

        def transaction(tx: Transaction) -> Sorted:
            rows = store.known(tx, keys)
            silent = [e for e in _episodes(rows).values() if e.firing and e.last_seen_at < before]
            result = end_unheard(silent, rows.firing, now)
            self._write(tx, result)
            return result

        result = await self._database.write(transaction)
        if result.episodes:
            log.warning("alerts ended because nobody tells of them", alerts=len(result.episodes))
        if result.woken:
            self._wake()
        return len(result.episodes)

    # ------------------------------------------------------------------ what is told of it

    def _tell(self, result: Sorted) -> None:
        for change, count in result.changes.items():
            self._metrics.alerts.labels(change).inc(count)
        for alert, why in result.unrouted:
            self._metrics.unrouted.labels(why.reason).inc()
            log.info("alert unrouted", alert=alert, reason=why.reason, detail=why.detail)
        for opening in result.opened:
            self._metrics.opened.labels(opening.playbook).inc()
        for opening in result.opened[:_LOGGED_OPENINGS]:
            log.info("incident opened", incident=opening.incident_id, playbook=opening.playbook)
        if (more := len(result.opened) - _LOGGED_OPENINGS) > 0:
            log.info("more incidents opened", count=more)
        if result.opened or result.woken or any(result.changes.get(c) for c in _WAKING):
            self._wake()


def _is_watchdog(alert: Alert) -> bool:
    return alert.labels.get("alertname") == WATCHDOG and alert.status is AlertStatus.FIRING


async def _next(parts: Iterator[Part], webhook: Webhook) -> Part | None:
    """The next part; those of a large webhook are decoded off the loop."""
    if len(webhook.body) <= WHOLE_BYTES:
        return next(parts, None)
    return await asyncio.to_thread(next, parts, None)


def _episodes(rows: KnownRows) -> Mapping[EpisodeKey, Episode]:
    return {key: _episode(row) for key, row in rows.rows.items()}


def _episode(row: Row) -> Episode:
    return Episode(
        alert_of(row), row["deliveries"], row["first_seen_at"], row["last_seen_at"],
        row["resolved_seen_at"], row["incident_id"], row["unrouted"], row["end_reason"],
    )  # fmt: skip


def _row(episode: Episode) -> Row:
    alert = episode.alert
    return {
        "fingerprint": alert.fingerprint, "starts_at": alert.starts_at, "ends_at": alert.ends_at,
        "status": alert.status.value, "labels": alert.labels, "annotations": alert.annotations,
        "generator_url": alert.generator_url, "deliveries": episode.deliveries,
        "first_seen_at": episode.first_seen_at, "last_seen_at": episode.last_seen_at,
        "resolved_seen_at": episode.resolved_seen_at, "incident_id": episode.incident_id,
        "unrouted": episode.unrouted, "end_reason": episode.end_reason,
    }  # fmt: skip
