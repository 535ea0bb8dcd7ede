"""What two samples of offsets say of a group: lag, growth,
hot and stuck partitions, and what is not known.
"""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.clients.kafka import PartitionOffsets
from service.diagnose.probes.kafka_lag import KafkaLag, Reset, behind, judged

# Committed and end, and the beginning where nothing was committed.
Offsets = Mapping[int, tuple[int | None, int] | tuple[int | None, int, int]]


def lag(
    first: Offsets,
    second: Offsets,
    *,
    reset: Reset | None = None,
    hot_share: float = 0.6,
    elapsed_s: float = 10.0,
) -> KafkaLag:
    was, now = (
        {("t", p): PartitionOffsets(*offsets) for p, offsets in sample.items()}
        for sample in (first, second)
    )
    return judged("g", "Stable", 2, (False, False), was, now, elapsed_s, reset, hot_share)


EVEN = {0: (100, 200), 1: (100, 200), 2: (100, 200)}
EVEN_LATER = {0: (110, 250), 1: (110, 250), 2: (110, 250)}


def test_lag_that_grows_alike_on_all_partitions_grows_evenly() -> None:
    seen = lag(EVEN, EVEN_LATER)
    assert (seen.lag_total, seen.lag_known, seen.lag_max) == (420, 420, 140)
    assert (seen.lag_growing, seen.grows_evenly) == (True, True)
    assert (seen.hot_partition, seen.stuck_partitions) == ("", ())
    assert (seen.produced_per_s, seen.consumed_per_s) == (15.0, 3.0)
    assert seen.hot_share == pytest.approx(1 / 3)


def test_a_partition_that_holds_most_of_the_lag_is_hot() -> None:
    seen = lag({**EVEN, 1: (100, 900)}, {**EVEN_LATER, 1: (110, 950)})
    assert (seen.hot_partition, seen.grows_evenly) == ("t/1", False)
    assert seen.hot_share == pytest.approx(840 / 1120)
    assert lag({**EVEN, 1: (100, 900)}, {**EVEN_LATER, 1: (110, 950)}, hot_share=0.8).grows_evenly


def test_of_two_partitions_none_is_hot() -> None:
    assert lag({0: (0, 9), 1: (9, 9)}, {0: (1, 99), 1: (9, 9)}).hot_partition == ""


@pytest.mark.parametrize(
    ("second", "stuck"),
    [
        pytest.param({0: (100, 450), 1: (110, 250), 2: (110, 250)}, ("t/0",), id="one"),
        pytest.param({0: (100, 450), 1: (100, 900), 2: (110, 250)}, ("t/0", "t/1"), id="two"),
        pytest.param({0: (100, 250), 1: (110, 250), 2: (110, 250)}, (), id="none: it waits for its turn"),
        pytest.param({0: (100, 450), 1: (100, 450), 2: (100, 450)}, (), id="all: nothing is consumed at all"),
        pytest.param({0: (200, 200), 1: (110, 250), 2: (110, 250)}, (), id="none: it has caught up"),
        pytest.param({0: (90, 450), 1: (110, 250), 2: (110, 250)}, ("t/0",), id="one that was set back"),
    ],
)  # fmt: skip
def test_a_partition_that_does_not_move_while_others_do_is_stuck(
    second: Offsets, stuck: tuple[str, ...]
) -> None:
    assert lag(EVEN, second).stuck_partitions == stuck


def test_a_partition_that_had_no_lag_a_moment_ago_is_not_stuck() -> None:
    assert lag({0: (5, 5), 1: (0, 9)}, {0: (5, 9), 1: (5, 9)}).stuck_partitions == ()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({0: (5, 9), 1: (None, 90, 0)}, {0: (5, 9), 1: (None, 90, 0)}, id="no commit"),
        pytest.param({0: (5, 9), 1: (99, 90)}, {0: (5, 9), 1: (99, 90)}, id="committed beyond the end"),
        pytest.param({0: (5, 9), 1: (9, 9)}, {0: (5, 9), 1: (9, 3)}, id="made anew between the samples"),
    ],
)  # fmt: skip
def test_one_unknown_partition_leaves_no_total_and_no_judgement(
    first: Offsets, second: Offsets
) -> None:
    seen = lag(first, second)
    assert seen.unknown_partitions == ("t/1",)
    assert (seen.lag_total, seen.lag_max, seen.lag_growing, seen.grows_evenly) == (None,) * 4
    assert (seen.hot_partition, seen.hot_share) == (None, None)
    assert seen.lag_known == 4


@pytest.mark.parametrize(
    ("now", "reset", "expected"),
    [
        ((3, 10), None, 7),
        ((10, 10), None, 0),
        ((11, 10), None, None),
        ((11, 10), Reset.EARLIEST, None),
        ((None, 10, 4), None, None),
        ((None, 10, 10), None, 0),
        ((None, 0, 0), None, 0),
        ((None, 10, 4), Reset.EARLIEST, 6),
        ((None, 10, None), Reset.EARLIEST, None),
        ((None, 10, 4), Reset.LATEST, 2),
        ((None, 10, None), None, None),
    ],
)
def test_how_far_one_partition_is_behind(
    now: tuple[int | None, int], reset: Reset | None, expected: int | None
) -> None:
    assert behind(PartitionOffsets(None, 8), PartitionOffsets(*now), reset) == expected


_offsets = st.tuples(st.none() | st.integers(0, 50), st.integers(0, 50), st.just(0))


@given(st.dictionaries(st.integers(0, 4), st.tuples(_offsets, _offsets), min_size=1))
def test_a_total_is_never_less_than_what_is_there(
    samples: dict[int, tuple[tuple[int | None, int, int], tuple[int | None, int, int]]],
) -> None:
    first = {p: was for p, (was, _) in samples.items()}
    second = {p: now for p, (_, now) in samples.items()}
    seen = lag(first, second)
    whole = all(
        (c is not None and c <= end) or (end == 0 and c is None) for c, end, _ in second.values()
    )
    assert (seen.lag_total is not None) == whole
    if seen.lag_total is not None:
        assert seen.lag_total == sum(end - c for c, end, _ in second.values() if c is not None)
    assert len(seen.partitions) == seen.partition_count
