"""What a delivery means: Alertmanager sends at least once, from two replicas, and not always in order."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.model.alert import Alert, AlertStatus
from service.route.episodes import REFIRE_AFTER, Change, Episode, advance
from tests.unit.made import after, alert

FIRES, OVER = alert(), alert(ends_at=after(60))
REFIRE_S = REFIRE_AFTER.total_seconds()


@pytest.mark.parametrize(
    ("known", "told", "now", "change", "status"),
    [
        pytest.param(None, FIRES, after(0), Change.NEW, "firing", id="a first sight"),
        pytest.param(
            None, OVER, after(0), Change.OVER, "resolved", id="a first sight of one that is over"
        ),
        pytest.param(FIRES, FIRES, after(1), Change.REPEAT, "firing", id="a repeat"),
        pytest.param(FIRES, OVER, after(60), Change.RESOLVED, "resolved", id="it resolves"),
        pytest.param(OVER, OVER, after(61), Change.REPEAT, "resolved", id="resolved once more"),
        pytest.param(
            OVER, FIRES, after(61), Change.LATE, "resolved", id="a late firing does not reopen it"
        ),
        pytest.param(
            OVER,
            FIRES,
            after(REFIRE_S - 1),
            Change.LATE,
            "resolved",
            id="nor just before the limit",
        ),
        pytest.param(
            OVER, FIRES, after(REFIRE_S), Change.REFIRED, "firing", id="much later it fires again"
        ),
    ],
)
def test_a_delivery_changes_an_episode(
    known: Alert | None, told: Alert, now: datetime, change: Change, status: str
) -> None:
    before = advance(None, known, after(0))[0] if known else None
    episode, changed = advance(before, told, now)
    assert changed is change
    assert episode.alert.status == status
    assert episode.deliveries == (2 if known else 1)
    assert episode.last_seen_at == now
    assert (episode.resolved_seen_at is None) == (status == "firing")


def test_what_fires_again_belongs_to_no_incident_until_it_is_routed_anew() -> None:
    known = Episode(OVER, 3, after(0), after(60), after(60), "inc-1", None)
    episode, change = advance(known, FIRES, after(10_000))
    assert (change, episode.incident_id, episode.resolved_seen_at) == (Change.REFIRED, None, None)


def test_what_resolves_keeps_its_incident_and_takes_the_end() -> None:
    known = Episode(FIRES, 1, after(0), after(0), None, "inc-1", None)
    episode, _ = advance(known, OVER, after(61))
    assert (episode.incident_id, episode.alert.ends_at, episode.resolved_seen_at) == (
        "inc-1",
        after(60),
        after(61),
    )


@given(
    st.lists(
        st.tuples(st.sampled_from([FIRES, OVER]), st.integers(0, 900)), min_size=1, max_size=30
    )
)
def test_the_counter_counts_every_delivery_and_a_resolved_one_is_never_lost(
    deliveries: list[tuple[Alert, int]],
) -> None:
    episode: Episode | None = None
    now_s = 0
    for told, pause_s in deliveries:
        now_s += pause_s
        before = episode
        episode, change = advance(before, told, after(now_s))
        if told.status is AlertStatus.RESOLVED:
            assert episode.alert.status is AlertStatus.RESOLVED
        if change in (Change.REPEAT, Change.LATE):
            assert before is not None
            assert episode.alert == before.alert
    assert episode is not None
    assert episode.deliveries == len(deliveries)
