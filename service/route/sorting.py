"""Sorting: (deliveries, what is known) -> what changes. Two steps, both pure.

`places` says where each alert would go, so that the store can be asked for the open
incidents there; `sort` then says what changes. Nothing that is handed in is changed,
and neither function reads a clock.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple, TypeAlias

from service.model.alert import Alert, AlertStatus, EpisodeKey
from service.model.playbook import Playbook
from service.model.reasons import Reason
from service.model.target import Target
from service.route.episodes import Change, EndReason, Episode, advance, ended
from service.route.target import Destination, Unrouted, destination


class Delivery(NamedTuple):
    """One alert of one webhook, and when the webhook was received."""

    alert: Alert
    received_at: datetime


class Place(NamedTuple):
    """Where an incident is: no two open ones are in one place."""

    playbook: str
    target_key: str


@dataclass(frozen=True, slots=True)
class Rules:
    """What routing goes by."""

    playbooks: Sequence[Playbook]
    namespaces: Sequence[str]
    heard_within: timedelta  # an older word opens no incident


@dataclass(frozen=True, slots=True)
class Known:
    """What the store has about the fingerprints of some deliveries."""

    # Of each fingerprint: the episodes that are delivered again, and all that fire.
    episodes: Mapping[EpisodeKey, Episode] = field(default_factory=dict)
    # Of each fingerprint: the latest end that Alertmanager told of.
    ended_at: Mapping[str, datetime] = field(default_factory=dict)
    # Of each incident of these episodes: how many of all its episodes fire.
    firing: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Opening:
    """An incident that is to be opened."""

    incident_id: str
    playbook: str
    target: Target


@dataclass(frozen=True, slots=True)
class Sorted:
    """What some deliveries change."""

    episodes: Sequence[Episode] = ()  # as they are now; each is new or replaces the known one
    opened: Sequence[Opening] = ()
    woken: frozenset[str] = frozenset()  # incidents of which no alert fires any more
    changes: Mapping[Change, int] = field(default_factory=dict)
    unrouted: Sequence[tuple[str, Unrouted]] = ()  # (alert name, why): what was not known before
    refired: bool = False


Places: TypeAlias = Mapping[EpisodeKey, Destination | Unrouted]


def places(
    deliveries: Iterable[Delivery], known: Mapping[EpisodeKey, Episode], rules: Rules
) -> Places:
    """Where each firing alert goes that has no incident yet."""
    found: dict[EpisodeKey, Destination | Unrouted] = {}
    for alert, _ in deliveries:
        key = alert.key
        if alert.status is not AlertStatus.FIRING or key in found:
            continue
        before = known.get(key)
        if before is None or not before.firing or before.incident_id is None:
            found[key] = destination(alert, rules.playbooks, rules.namespaces)
    return found


def sort(
    deliveries: Iterable[Delivery],
    known: Known,
    going: Places,
    open_incidents: Mapping[Place, str],
    rules: Rules,
    now: datetime,
    name: Callable[[], str],
) -> Sorted:
    """What the deliveries change, taken in their order. `going` is what `places` gave for them."""
    book = _Book(known, going, dict(open_incidents), rules, now, name)
    for delivery in deliveries:
        book.take(delivery)
    return book.closed()


def end_unheard(silent: Iterable[Episode], firing: Mapping[str, int], now: datetime) -> Sorted:
    """What changes when nobody tells of these episodes any more. `firing` is as in Known."""
    over = [ended(episode, None, now, EndReason.UNHEARD) for episode in silent if episode.firing]
    fewer = Counter(e.incident_id for e in over if e.incident_id)
    return Sorted(over, woken=_silent(firing, {k: -n for k, n in fewer.items()}))


def _silent(firing: Mapping[str, int], moved: Mapping[str, int]) -> frozenset[str]:
    """The incidents that lost alerts and have none left that fires."""
    return frozenset(i for i, n in moved.items() if n < 0 and firing.get(i, 0) + n <= 0)


def _belonging(episode: Episode, incident_id: str | None, unrouted: str | None) -> Episode:
    # `replace` takes four times as long, and this is done for each new alert of a storm.
    return Episode(
        episode.alert, episode.deliveries, episode.first_seen_at, episode.last_seen_at,
        episode.resolved_seen_at, incident_id, unrouted, episode.end_reason,
    )  # fmt: skip


class _Book:
    """The state between the first delivery and the last; it never leaves this module."""

    def __init__(
        self,
        known: Known,
        going: Places,
        open_incidents: dict[Place, str],
        rules: Rules,
        now: datetime,
        name: Callable[[], str],
    ) -> None:
        self._known = known
        self._going = going
        self._open = open_incidents
        self._rules = rules
        self._now = now
        self._name = name
        self._states: dict[EpisodeKey, Episode] = dict(known.episodes)
        self._ended_at = dict(known.ended_at)
        self._firing: dict[str, set[EpisodeKey]] = {}  # fingerprint -> its episodes that fire
        for key, episode in known.episodes.items():
            if episode.firing:
                self._firing.setdefault(key.fingerprint, set()).add(key)
        self._touched: dict[EpisodeKey, None] = {}
        self._changes: Counter[Change] = Counter()
        self._opened: list[Opening] = []
        self._unrouted: list[tuple[str, Unrouted]] = []

    def take(self, delivery: Delivery) -> None:
        """One delivery."""
        alert, received_at = delivery
        key, fingerprint = alert.key, alert.fingerprint
        before = self._states.get(key)
        after, change = advance(before, alert, received_at, self._ended_at.get(fingerprint))
        self._changes[change] += 1
        if change is Change.LATE:
            self._still_heard(fingerprint, received_at)
        if after is None:
            return
        opens = change in (Change.NEW, Change.REFIRED)
        # What was routed nowhere is routed anew when it is told again:
        # a playbook came, or the word is fresh.
        if opens or (change is Change.REPEAT and after.firing and after.incident_id is None):
            after = self._route(key, after, received_at)
        self._put(key, after)
        if change is Change.NEW:
            self._end_others(key, alert.starts_at, received_at, earlier=True)
        elif alert.status is AlertStatus.RESOLVED and after.alert.ends_at is not None:
            self._end_others(key, alert.ends_at or received_at, received_at, earlier=False)

    def _put(self, key: EpisodeKey, episode: Episode) -> None:
        self._states[key] = episode
        self._touched[key] = None
        firing = self._firing.setdefault(key.fingerprint, set())
        if episode.firing:
            firing.add(key)
            return
        firing.discard(key)
        end = episode.alert.ends_at
        if end is not None:
            latest = self._ended_at.get(key.fingerprint, end)
            self._ended_at[key.fingerprint] = max(latest, end)

    def _still_heard(self, fingerprint: str, received_at: datetime) -> None:
        # A late start is a word about the label set all the same:
        # the episode that fires is still told of.
        for key in self._firing.get(fingerprint, ()):
            episode = self._states[key]
            if received_at > episode.last_seen_at:
                self._states[key] = replace(episode, last_seen_at=received_at)
                self._touched[key] = None

    def _end_others(
        self, key: EpisodeKey, edge: datetime, received_at: datetime, *, earlier: bool
    ) -> None:
        """Ends the episodes of this fingerprint whose own "resolved" never comes.

        An alert that starts anew has ended before, even if its "resolved" was lost on the way.
        And one that has ended has done so under every start it was told with: two Prometheus
        replicas give one label set two starts, and Alertmanager resolves the one that it kept.

        Starts and ends are compared as they were told: they are of one clock,
        which may be hours from ours. Only the end that is kept is capped by ours,
        or a start in 2099 would make all that comes after it late.
        """
        firing = self._firing.get(key.fingerprint, ())
        if not firing or (len(firing) == 1 and key in firing):
            return  # nearly always
        for other in sorted(firing):
            if other == key or (other.starts_at >= edge if earlier else other.starts_at > edge):
                continue
            over = ended(
                self._states[other], min(edge, received_at), received_at, EndReason.SUPERSEDED
            )
            self._put(other, over)

    def _route(self, key: EpisodeKey, episode: Episode, received_at: datetime) -> Episode:
        place = self._going.get(key)
        if place is None:  # it was known with an incident when the places were asked for
            place = destination(episode.alert, self._rules.playbooks, self._rules.namespaces)
        if isinstance(place, Destination) and self._now - received_at > self._rules.heard_within:
            age_s = (self._now - received_at).total_seconds()
            place = Unrouted(
                Reason.UNHEARD, f"last heard of {age_s:.0f} s before it was sorted", place.playbook
            )
        if isinstance(place, Unrouted):
            if place.reason != episode.unrouted:
                self._unrouted.append((episode.alert.name, place))
            return _belonging(episode, None, place.reason.value)
        spot = Place(place.playbook, place.target.key)
        incident_id = self._open.get(spot)
        if incident_id is None:
            incident_id = self._open[spot] = self._name()
            self._opened.append(Opening(incident_id, place.playbook, place.target))
        return _belonging(episode, incident_id, None)

    def closed(self) -> Sorted:
        """What changed, over all deliveries."""
        moved: Counter[str] = Counter()
        for key in self._touched:
            before, after = self._known.episodes.get(key), self._states[key]
            if before is not None and before.firing and before.incident_id:
                moved[before.incident_id] -= 1
            if after.firing and after.incident_id:
                moved[after.incident_id] += 1
        ended_anew = {  # opened and over within one sorting: nobody would look at it otherwise
            o.incident_id for o in self._opened if moved[o.incident_id] <= 0
        }
        return Sorted(
            [self._states[key] for key in self._touched],
            self._opened,
            _silent(self._known.firing, moved) | ended_anew,
            self._changes,
            self._unrouted,
            refired=Change.REFIRED in self._changes,
        )
