"""What a delivery means: Alertmanager sends at least once, from two replicas,
and not always in order.
"""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.model.alert import Alert, AlertStatus
from service.route.episodes import Change, EndReason, Episode, advance, ended
from tests.unit.made import after, alert

FIRES, OVER = alert(), alert(ends_at=after(60))


def known(told: Alert, seen_s: float = 0) -> Episode:
    """An episode after its first delivery."""
    episode, _ = advance(None, told, after(seen_s))
    assert episode is not None
    return episode


UNHEARD = ended(known(FIRES), None, after(90_000), EndReason.UNHEARD)
SUPERSEDED = ended(known(FIRES), after(50), after(50), EndReason.SUPERSEDED)


@pytest.mark.parametrize(
    ("before", "told", "at_s", "change", "status"),
    [
        pytest.param(None, FIRES, 0, Change.NEW, "firing", id="a first sight"),
        pytest.param(None, OVER, 61, Change.OVER, "resolved", id="a first sight of one that is over"),
        pytest.param(known(FIRES), FIRES, 1, Change.REPEAT, "firing", id="a repeat"),
        pytest.param(known(FIRES), OVER, 60, Change.RESOLVED, "resolved", id="it resolves"),
        pytest.param(known(OVER, 60), OVER, 61, Change.REPEAT, "resolved", id="resolved once more"),
        pytest.param(known(OVER, 60), FIRES, 61, Change.LATE, "resolved", id="a frozen body, retried"),
        pytest.param(
            known(OVER, 60), FIRES, 90_000, Change.LATE, "resolved",
            id="the same start never fires again, however late it is told",
        ),
        pytest.param(
            UNHEARD, FIRES, 90_001, Change.REFIRED, "firing", id="unheard, and told again freshly"
        ),
        pytest.param(UNHEARD, FIRES, 0, Change.LATE, "resolved", id="unheard, and an old word"),
        pytest.param(UNHEARD, OVER, 90_001, Change.REPEAT, "resolved", id="unheard, and it is over"),
        pytest.param(SUPERSEDED, FIRES, 51, Change.LATE, "resolved", id="it has another start by now"),
    ],
)  # fmt: skip
def test_a_delivery_changes_an_episode(
    before: Episode | None, told: Alert, at_s: float, change: Change, status: str
) -> None:
    episode, changed = advance(before, told, after(at_s))
    assert episode is not None
    assert changed is change
    assert episode.alert.status == status
    assert episode.deliveries == (2 if before else 1)
    assert episode.last_seen_at == max(after(at_s), before.last_seen_at if before else after(at_s))
    assert (episode.resolved_seen_at is None) == (status == "firing")


@pytest.mark.parametrize(
    ("starts_s", "late"),
    [
        pytest.param(-10, True, id="before the known one"),
        pytest.param(0.4, True, id="the second Prometheus replica, 0.4 s later"),
        pytest.param(60, True, id="at the end"),
        pytest.param(60.001, False, id="after the end"),
    ],
)
def test_what_starts_up_to_a_known_end_is_late_and_leaves_nothing(
    starts_s: float, late: bool
) -> None:
    told = alert(starts_at=after(starts_s))
    episode, change = advance(None, told, after(61), ended_at=after(60))
    assert change is (Change.LATE if late else Change.NEW)
    assert (episode is None) == late


def test_what_was_unheard_stays_ended_when_an_end_after_its_start_is_known() -> None:
    _, change = advance(UNHEARD, FIRES, after(90_001), ended_at=after(60))
    assert change is Change.LATE


@pytest.mark.parametrize(
    "told_end",
    [
        pytest.param(None, id="no end told"),
        pytest.param(after(10**9), id="an end in the future"),
    ],
)
def test_an_end_is_never_later_than_it_was_told(told_end: datetime | None) -> None:
    over = Alert("f1", after(0), told_end, AlertStatus.RESOLVED, {}, {})
    for before in (None, known(FIRES)):
        episode, _ = advance(before, over, after(70))
        assert episode is not None
        assert episode.alert.ends_at == after(70)


def test_what_resolves_keeps_its_incident_and_takes_the_end() -> None:
    before = Episode(FIRES, 1, after(0), after(0), None, "inc-1", None)
    episode, _ = advance(before, OVER, after(61))
    assert episode is not None
    assert (episode.incident_id, episode.alert.ends_at, episode.resolved_seen_at) == (
        "inc-1",
        after(60),
        after(61),
    )


def test_what_is_told_again_belongs_to_no_incident_until_it_is_routed_anew() -> None:
    before = ended(
        Episode(FIRES, 3, after(0), after(0), None, "inc-1"), None, after(9), EndReason.UNHEARD
    )
    episode, change = advance(before, FIRES, after(10))
    assert change is Change.REFIRED
    assert episode is not None
    assert (episode.incident_id, episode.resolved_seen_at, episode.end_reason) == (None, None, None)


@given(
    st.lists(
        st.tuples(st.sampled_from([FIRES, OVER]), st.integers(-900, 900)), min_size=1, max_size=30
    )
)
def test_every_delivery_counts_and_what_has_ended_stays_ended(
    deliveries: list[tuple[Alert, int]],
) -> None:
    episode: Episode | None = None
    at_s, over = 1_000, False
    for told, pause_s in deliveries:
        at_s += pause_s
        before = episode
        episode, change = advance(before, told, after(at_s))
        assert episode is not None
        over = over or told.status is AlertStatus.RESOLVED
        assert (episode.alert.status is AlertStatus.RESOLVED) == over
        assert episode.first_seen_at <= after(at_s) <= episode.last_seen_at
        if change is Change.LATE:
            assert before is not None
            assert episode.alert == before.alert
    assert episode is not None
    assert episode.deliveries == len(deliveries)
