"""Sorting: (deliveries, what is known) -> what changes, by the time of receiving and nothing
else.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.model.alert import Alert, EpisodeKey
from service.model.reasons import Reason
from service.route.episodes import Change, EndReason, Episode
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
from tests.unit.made import LABELS, NAMESPACE, after, alert, shipped

HEARD_WITHIN_S = 5 * 3_600
RULES = Rules([shipped()], [NAMESPACE], timedelta(seconds=HEARD_WITHIN_S))


@dataclass
class Memory:
    """What a store would keep between two sortings."""

    episodes: dict[EpisodeKey, Episode] = field(default_factory=dict)
    open: dict[Place, str] = field(default_factory=dict)
    names: "count[int]" = field(default_factory=lambda: count(1))

    def known(self) -> Known:
        ends: dict[str, datetime] = {}
        firing: dict[str, int] = {}
        for key, episode in self.episodes.items():
            end = episode.alert.ends_at
            if end is not None:
                ends[key.fingerprint] = max(end, ends.get(key.fingerprint, end))
            if episode.firing and episode.incident_id:
                firing[episode.incident_id] = firing.get(episode.incident_id, 0) + 1
        return Known(dict(self.episodes), ends, firing)

    def sort(self, deliveries: Sequence[Delivery], now: datetime | None = None) -> Sorted:
        now = now or max(d.received_at for d in deliveries)
        known = self.known()
        going = places(deliveries, known.episodes, RULES)
        before = copy.deepcopy((known, dict(self.open)))
        result = sort(
            deliveries, known, going, self.open, RULES, now, lambda: f"inc-{next(self.names)}"
        )
        assert (known, self.open) == before, "what is handed in is not changed"
        self.episodes |= {e.alert.key: e for e in result.episodes}
        self.open |= {Place(o.playbook, o.target.key): o.incident_id for o in result.opened}
        return result

    def told(self, told: Alert, at_s: float, now_s: float | None = None) -> Sorted:
        return self.sort([Delivery(told, after(at_s))], after(now_s) if now_s is not None else None)

    def firing(self) -> list[EpisodeKey]:
        return sorted(key for key, episode in self.episodes.items() if episode.firing)


def over(fingerprint: str = "f1", starts_s: float = 0, ends_s: float = 60) -> Alert:
    return alert(fingerprint=fingerprint, starts_at=after(starts_s), ends_at=after(ends_s))


def test_alerts_about_one_target_open_one_incident() -> None:
    deliveries = [
        Delivery(alert(fingerprint=f"f{n}", labels={**LABELS, "pod": f"p{n}"}), after(0))
        for n in range(9)
    ]
    result = Memory().sort(deliveries)
    (opening,) = result.opened
    assert {e.incident_id for e in result.episodes} == {opening.incident_id}
    assert result.changes == {Change.NEW: 9}


def test_what_fires_joins_the_incident_that_is_open_there() -> None:
    memory = Memory()
    memory.told(alert(), 0)
    result = memory.told(alert(fingerprint="f2"), 1)
    assert result.opened == []
    assert [e.incident_id for e in result.episodes] == ["inc-1"]


def test_an_incident_is_woken_when_its_last_alert_resolves() -> None:
    memory = Memory()
    memory.sort([Delivery(alert(fingerprint=f), after(0)) for f in ("f1", "f2")])
    assert memory.told(over("f1"), 61).woken == frozenset()
    assert memory.told(over("f2"), 62).woken == {"inc-1"}
    assert memory.told(over("f2"), 63).woken == frozenset()


def test_what_opens_and_ends_within_one_sorting_is_woken_too() -> None:
    result = Memory().sort([Delivery(alert(), after(0)), Delivery(over(), after(61))])
    assert result.woken == {"inc-1"}


# ---------------------------------------------------------------------- stale


def test_what_was_received_long_ago_opens_nothing_and_says_why() -> None:
    memory = Memory()
    result = memory.told(alert(), 0, now_s=4 * 86_400)
    assert result.opened == []
    (episode,) = result.episodes
    assert (episode.unrouted, episode.incident_id) == (Reason.UNHEARD, None)
    assert (episode.first_seen_at, episode.last_seen_at) == (after(0), after(0))
    fresh = memory.told(alert(), 4 * 86_400 + 1)
    assert len(fresh.opened) == 1
    assert fresh.episodes[0].unrouted is None


@pytest.mark.parametrize(("age_s", "opens"), [(HEARD_WITHIN_S, 1), (HEARD_WITHIN_S + 1, 0)])
def test_how_old_a_word_may_be_is_the_settings(age_s: float, opens: int) -> None:
    assert len(Memory().told(alert(), 0, now_s=age_s).opened) == opens


def test_ten_thousand_old_repeats_of_what_has_resolved_change_nothing() -> None:
    memory = Memory()
    memory.told(alert(), 0)
    memory.told(over(), 61)
    result = memory.sort(
        [Delivery(alert(), after(62 + n)) for n in range(10_000)], after(4 * 86_400)
    )
    assert (result.opened, result.changes) == ([], {Change.LATE: 10_000})
    assert memory.firing() == []


# ---------------------------------------------------------------------- two starts of one alert


def test_two_replicas_whose_starts_differ_never_open_anew_what_has_ended() -> None:
    memory = Memory()
    one, other = alert(starts_at=after(0)), alert(starts_at=after(0.4))
    memory.told(one, 1)
    memory.told(over(), 61)
    memory.open.clear()  # the incident closed
    result = memory.told(other, 62)
    assert (result.opened, list(result.episodes)) == ([], [])
    assert result.changes == {Change.LATE: 1}


def test_a_new_start_ends_the_one_before_and_keeps_the_incident() -> None:
    memory = Memory()
    memory.told(alert(), 0)
    result = memory.told(alert(starts_at=after(100)), 101)
    assert result.woken == frozenset()
    assert memory.firing() == [EpisodeKey("f1", after(100))]
    old = memory.episodes[EpisodeKey("f1", after(0))]
    assert (old.end_reason, old.alert.ends_at) == (EndReason.SUPERSEDED, after(100))


def test_what_resolves_has_ended_under_every_start_it_was_told_with() -> None:
    memory = Memory()
    memory.told(alert(starts_at=after(0.4)), 1)
    result = memory.told(over(starts_s=0, ends_s=60), 61)
    assert memory.firing() == []
    assert result.woken == {"inc-1"}


def test_a_late_word_counts_as_a_word_about_what_fires() -> None:
    memory = Memory()
    memory.told(alert(), 0)
    memory.told(alert(starts_at=after(100)), 101)
    memory.told(alert(), 5_000)  # the start that was given up
    assert memory.episodes[EpisodeKey("f1", after(100))].last_seen_at == after(5_000)


def test_a_start_in_2099_pushes_no_end_into_the_future() -> None:
    memory = Memory()
    memory.told(alert(), 0)
    memory.told(alert(starts_at=after(10**9)), 10)
    assert memory.episodes[EpisodeKey("f1", after(0))].alert.ends_at == after(10)
    assert len(memory.told(alert(starts_at=after(20)), 21).episodes) == 1


# ---------------------------------------------------------------------- unheard


def test_what_nobody_tells_of_ends_and_wakes_its_incident() -> None:
    memory = Memory()
    memory.sort([Delivery(alert(fingerprint=f), after(0)) for f in ("f1", "f2")])
    first, second = memory.episodes.values()
    firing = {"inc-1": 2}
    assert end_unheard([first], firing, after(90_000)).woken == frozenset()
    result = end_unheard([first, second], firing, after(90_000))
    assert result.woken == {"inc-1"}
    assert {e.end_reason for e in result.episodes} == {EndReason.UNHEARD}
    assert {e.alert.ends_at for e in result.episodes} == {None}


# ---------------------------------------------------------------------- whatever comes

STARTS = st.sampled_from([0.0, 0.4, 100.0, 100.4, 10**9])


@st.composite
def histories(draw: st.DrawFn) -> list[Delivery]:
    """Deliveries of three alerts in the order of receiving."""
    told: list[Delivery] = []
    at_s = 0.0
    for _ in range(draw(st.integers(1, 25))):
        at_s += draw(st.sampled_from([0.1, 30.0, 200.0]))
        name, start = draw(st.sampled_from(["a", "b", "c"])), draw(STARTS)
        ends = draw(st.none() | st.sampled_from([60.0, 150.0, 2 * 10**9]))
        told.append(
            Delivery(
                alert(
                    fingerprint=name,
                    starts_at=after(start),
                    ends_at=after(ends) if ends is not None else None,
                ),
                after(at_s),
            )
        )
    return told


@given(histories(), st.integers(1, 5))
def test_however_it_is_cut_into_batches_the_same_episodes_stand(
    told: list[Delivery], size: int
) -> None:
    whole, parts = Memory(), Memory()
    whole.sort(told)
    for start in range(0, len(told), size):
        parts.sort(told[start : start + size])
    assert whole.episodes == parts.episodes


@given(histories())
def test_an_alert_that_was_told_to_have_ended_never_opens_under_a_start_before_that(
    told: list[Delivery],
) -> None:
    memory = Memory()
    ends: dict[str, datetime] = {}
    for delivery in told:
        name, start = delivery.alert.fingerprint, delivery.alert.starts_at
        result = memory.sort([delivery])
        if delivery.alert.status == "firing":
            if name in ends and start <= ends[name]:
                assert result.opened == []
                assert EpisodeKey(name, start) not in memory.firing()
        else:
            end = min(delivery.alert.ends_at or delivery.received_at, delivery.received_at)
            ends[name] = max(end, ends.get(name, end))


@given(histories())
def test_no_episode_is_seen_later_than_it_was_received(told: list[Delivery]) -> None:
    memory = Memory()
    memory.sort(told, after(10**10))
    received = {d.received_at for d in told}
    for episode in memory.episodes.values():
        assert {episode.first_seen_at, episode.last_seen_at} <= received
