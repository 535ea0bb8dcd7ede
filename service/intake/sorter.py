"""From committed webhooks to episodes and incidents, in one transaction a batch: a crash repeats it harmlessly."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from service.intake.payload import decode
from service.kit.clock import Clock
from service.model.alert import Alert, AlertStatus, EpisodeKey
from service.model.errors import BadInput, Unavailable
from service.model.playbook import Playbook
from service.model.reasons import Reason
from service.model.target import Target
from service.record.metrics import Metrics
from service.route.episodes import Change, Episode, advance
from service.route.target import Unrouted, destination
from service.store.episodes import Episodes, Sorted, alert_of
from service.store.inbox import Inbox, Letter
from service.store.schema import Row

log = structlog.get_logger()

_OPENING = (Change.NEW, Change.REFIRED)
_GIVE_WAY_S = 0.25
_WAKING = (Change.RESOLVED, Change.REFIRED)


class Sorter:
    """Sorts what the inbox holds; `wake` is called when an incident may have become due."""

    def __init__(
        self,
        inbox: Inbox,
        episodes: Episodes,
        playbooks: Sequence[Playbook],
        namespaces: Sequence[str],
        metrics: Metrics,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self._inbox = inbox
        self._episodes = episodes
        self._playbooks = playbooks
        self._namespaces = namespaces
        self._metrics = metrics
        self._clock = clock
        self._wake = wake

    async def run(self) -> None:
        """Sorts for ever. While the store is down it waits and tries again: nothing accepted is dropped."""
        pause_s = 0.5
        while True:
            await self._inbox.arrived.wait()
            self._inbox.arrived.clear()
            try:
                while await self.sort_batch():
                    pause_s = 0.5
                    if self._inbox.waiting:
                        # Under load receiving goes first: Alertmanager waits for an answer, nobody for sorting,
                        # and a later batch is a larger one.
                        await asyncio.sleep(_GIVE_WAY_S)
            except Unavailable as error:
                log.error("sorting waits for the store", reason=error.reason, detail=error.detail)
                self._metrics.faults.labels("sorter").inc()
                self._inbox.arrived.set()
                await self._clock.sleep(pause_s)
                pause_s = min(pause_s * 2, 30.0)

    async def sort_batch(self) -> bool:
        """Sorts some webhooks; False when none wait."""
        letters = await self._inbox.unsorted()
        if not letters:
            return False
        try:
            await self._sort_letters(letters)
        except Unavailable:
            raise
        except (
            Exception
        ):  # a bug of ours: one letter may not hold up all others, now or after a restart
            log.exception("a batch could not be sorted; its letters are sorted one by one")
            for letter in letters:
                await self._sort_alone(letter)
        return True

    async def _sort_alone(self, letter: Letter) -> None:
        try:
            await self._sort_letters([letter])
        except Unavailable:
            raise
        except (
            Exception
        ) as error:  # this is the guilty one: kept for people, counted, out of the way
            log.exception("letter set aside", letter=letter.id)
            self._metrics.faults.labels("sorter").inc()
            detail = f"{type(error).__name__}: {error}"
            await self._inbox.bury(letter.body, len(letter.body), Reason.SORTING_FAILED, detail)
            await self._episodes.absorb([letter.id], [], self._clock.now())
            self._inbox.waiting -= 1

    async def _sort_letters(self, letters: Sequence[Letter]) -> None:
        now = self._clock.now()
        alerts = [alert for letter in letters for alert in await self._alerts(letter)]
        known = await self._episodes.known([a.key for a in alerts])
        items, changes = self._sort(alerts, known, now)
        absorbed = await self._episodes.absorb([letter.id for letter in letters], items, now)
        self._inbox.waiting -= len(letters)
        self._count(items, changes, absorbed.opened)
        if absorbed.opened or any(change in _WAKING for change in changes):
            self._wake()

    async def _alerts(self, letter: Letter) -> Sequence[Alert]:
        try:
            return decode(letter.body)
        except BadInput as error:  # accepted by an older version that read it otherwise
            await self._inbox.bury(letter.body, len(letter.body), error.reason, error.detail)
            return ()

    def _sort(
        self, alerts: Sequence[Alert], known: Mapping[EpisodeKey, Row], now: datetime
    ) -> tuple[list[Sorted], list[Change]]:
        states = {key: _episode(row) for key, row in known.items()}
        opens: dict[EpisodeKey, tuple[str, Target]] = {}
        touched: dict[EpisodeKey, None] = {}
        changes = []
        for alert in alerts:
            episode, change = advance(states.get(alert.key), alert, now)
            changes.append(change)
            # An alert that fired before its playbook was there is routed when it is told again.
            late = (
                change is Change.REPEAT and episode.unrouted and alert.status is AlertStatus.FIRING
            )
            if change in _OPENING or late:
                episode = self._route(episode, opens)
            states[alert.key] = episode
            touched[alert.key] = None
        items = [Sorted(_row(states[key]), key in known, opens.get(key)) for key in touched]
        return items, changes

    def _route(self, episode: Episode, opens: dict[EpisodeKey, tuple[str, Target]]) -> Episode:
        alert = episode.alert
        place = destination(alert, self._playbooks, self._namespaces)
        if isinstance(place, Unrouted) and place.reason == episode.unrouted:
            return episode
        if isinstance(place, Unrouted):
            self._metrics.unrouted.labels(place.reason).inc()
            log.info("alert unrouted", alert=alert.name, reason=place.reason, detail=place.detail)
            return replace(episode, resolved_seen_at=None, incident_id=None, unrouted=place.reason)
        opens[alert.key] = (place.playbook, place.target)
        return replace(episode, unrouted=None)

    def _count(
        self, items: Sequence[Sorted], changes: Sequence[Change], opened: Sequence[str]
    ) -> None:
        for change in changes:
            self._metrics.alerts.labels(change).inc()
        playbook_of = {i.row.get("incident_id"): i.opens[0] for i in items if i.opens}
        for incident_id in opened:
            self._metrics.opened.labels(playbook_of[incident_id]).inc()
            log.info("incident opened", incident=incident_id, playbook=playbook_of[incident_id])


def _episode(row: Row) -> Episode:
    return Episode(
        alert_of(row), row["deliveries"], row["first_seen_at"], row["last_seen_at"], row["resolved_seen_at"],
        row["incident_id"], row["unrouted"],
    )  # fmt: skip


def _row(episode: Episode) -> Row:
    alert = episode.alert
    return {
        "fingerprint": alert.fingerprint, "starts_at": alert.starts_at, "ends_at": alert.ends_at,
        "status": alert.status.value, "labels": dict(alert.labels), "annotations": dict(alert.annotations),
        "generator_url": alert.generator_url, "deliveries": episode.deliveries,
        "first_seen_at": episode.first_seen_at, "last_seen_at": episode.last_seen_at,
        "resolved_seen_at": episode.resolved_seen_at, "incident_id": episode.incident_id,
        "unrouted": episode.unrouted,
    }  # fmt: skip
