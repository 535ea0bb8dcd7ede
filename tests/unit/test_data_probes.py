"""What the probes of ClickHouse and Kafka make of rows and answers that a test server
does not give on demand.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from service.clients.kafka_overview import LogDirs, Overview, Partition
from service.diagnose.probes import (
    claims,
    clickhouse_disks,
    clickhouse_memory,
    clickhouse_parts,
    clickhouse_replicas,
    kafka_brokers,
    kafka_storage,
)
from service.diagnose.probes.operator import chosen
from service.diagnose.probes.volumes import Claim
from service.model.errors import Unavailable

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
TABLE = "db.t"


def partition(newest: date, size: int = 1, table: str = "t") -> dict[str, Any]:
    return {
        "database": "db", "table": table, "partition_id": f"{newest}", "partition": f"{newest}", "parts": 2,
        "rows": 5, "bytes": size, "newest": newest,
    }  # fmt: skip


def parts(*rows: dict[str, Any], allowed: tuple[str, ...] = (TABLE,)) -> clickhouse_parts.Parts:
    return clickhouse_parts.summary(rows, allowed, 90, NOW)


def test_a_partition_expires_when_its_newest_day_is_older_than_the_retention() -> None:
    edge = NOW.date() - timedelta(days=90)
    seen = parts(
        partition(NOW.date(), 100), partition(edge, 10), partition(edge - timedelta(days=1), 1)
    )
    assert (seen.expired_table, seen.expired_partitions, seen.expired_bytes) == (TABLE, 1, 1)


def test_a_table_never_loses_all_of_its_partitions() -> None:
    old = NOW.date() - timedelta(days=400)
    seen = parts(partition(old, 10), partition(old - timedelta(days=40), 5))
    assert seen.expired_partitions == 1
    assert parts(partition(old)).expired_table == ""


def test_partitions_without_a_date_and_tables_that_are_not_allowed_never_expire() -> None:
    old = NOW.date() - timedelta(days=400)
    undated = date(1970, 1, 1)
    assert parts(partition(undated), partition(undated)).expired_table == ""
    assert parts(partition(undated)).oldest_partition is None
    seen = parts(partition(NOW.date()), partition(old), allowed=())
    assert (seen.expired_table, seen.expired_partitions) == ("", 0)
    assert seen.oldest_partition is not None


def test_no_parts_at_all_are_an_answer() -> None:
    seen = parts()
    assert (seen.max_in_partition, seen.worst, seen.largest_table) == (0, None, "")


def disk(name: str, free: int, total: int, kept: int = 0) -> dict[str, Any]:
    return {
        "name": name, "path": "/", "free_space": free, "total_space": total, "keep_free_space": kept,
    }  # fmt: skip


def test_what_the_server_keeps_free_is_not_free() -> None:
    seen = clickhouse_disks.summary([disk("a", 30, 100), disk("b", 40, 100, 35)])
    assert seen.fullest == "b"
    assert seen.free_ratio == pytest.approx(5 / 65)
    assert clickhouse_disks.summary([disk("a", 10, 100, 50)]).free_ratio == 0.0


def test_a_disk_without_an_end_is_no_disk_that_fills() -> None:
    seen = clickhouse_disks.summary([disk("s3", 2**63, 2**63), disk("a", 30, 100)])
    assert [d.name for d in seen.disks] == ["a"]
    with pytest.raises(Unavailable):
        clickhouse_disks.summary([disk("s3", 2**63, 2**63)])


def running(user: str, memory: int, plain: bool = True) -> dict[str, Any]:
    return {
        "query_id": user, "user": user, "elapsed": 9.0, "memory_usage": memory, "query": "SELECT 'secret'",
        "plain_select": plain,
    }  # fmt: skip


def test_a_backup_or_an_insert_is_never_the_hog() -> None:
    rows = [running("backup", 900, plain=False), running("system", 500), running("ann", 100)]
    seen = clickhouse_memory.summary(2000, 4000, rows, ("system",))
    assert (seen.hog_user, seen.hog_bytes, seen.hog_share) == ("ann", 100, 0.05)
    assert "secret" not in seen.hog_text
    assert seen.used_ratio == 0.5
    none = clickhouse_memory.summary(0, 0, [], ())
    assert (none.used_ratio, none.limit_bytes, none.hog_share) == (None, None, 0.0)


def test_a_readonly_replica_is_named_with_what_zookeeper_says() -> None:
    row = {
        "database": "db", "table": "t", "is_readonly": 1, "is_session_expired": 1, "absolute_delay": 40,
        "queue_size": 3, "total_replicas": 2, "active_replicas": 1, "exception": "Session expired",
    }  # fmt: skip
    well = {**row, "table": "u", "is_readonly": 0, "is_session_expired": 0, "exception": ""}
    seen = clickhouse_replicas.summary([row, well])
    assert (seen.count, seen.readonly, seen.readonly_tables) == (2, 1, ("db.t",))
    assert (seen.session_expired, seen.zookeeper_problem) == (True, "Session expired")


def overview(*partitions: Partition, controller: int = 1) -> Overview:
    return Overview((1, 2), controller, ("t",), (), partitions)


def test_the_broker_that_most_partitions_miss_is_the_suspect() -> None:
    seen = kafka_brokers.summary(
        overview(
            Partition("t", 0, 1, (1, 2, 3), (1, 2)),
            Partition("t", 1, 2, (1, 2, 3), (2,)),
            Partition("t", 2, -1, (3,), (3,)),
        )
    )
    assert (seen.suspect, seen.suspect_share, seen.absent) == (3, 1.0, (3,))
    assert (seen.only_copy, seen.offline_names) == ((2,), ("t/2",))
    assert not seen.healthy


def test_a_cluster_without_a_controller_is_not_healthy() -> None:
    whole = Partition("t", 0, 1, (1, 2), (1, 2))
    assert kafka_brokers.summary(overview(whole)).healthy
    assert not kafka_brokers.summary(overview(whole, controller=-1)).healthy


def test_brokers_that_do_not_know_their_log_dirs_are_unknown_and_not_empty() -> None:
    with pytest.raises(Unavailable):
        kafka_storage.summary(LogDirs((), (), (), (1, 2)))
    failed = kafka_storage.summary(LogDirs((), ("1: /data",), (2,), ()))
    assert (failed.failed_dirs, failed.silent, failed.largest_topic) == (("1: /data",), (2,), "")


def claim(name: str, *, phase: str = "Bound", used: float | None = None) -> Claim:
    volume = "Bound" if phase == "Bound" else None
    full_in_s = None if used is None else 7200.0
    return Claim(name, phase, False, "", "v", volume, 100, used, 10, full_in_s)


def test_only_the_claims_of_the_workload_count() -> None:
    found = (claim("data-kafka-0", used=0.6), claim("data-clickhouse-0", used=0.99))
    seen = claims.summary("data-kafka-", (*found, claim("data-kafka-1", phase="Lost")))
    assert (seen.count, seen.unbound) == (2, ("data-kafka-1",))
    assert (seen.fullest, seen.fullest_ratio, seen.full_in_hours) == ("data-kafka-0", 0.6, 2.0)
    unmeasured = claims.summary("data-kafka-", (claim("data-kafka-0"),))
    assert (unmeasured.fullest, unmeasured.fullest_ratio) == ("", None)


def podset(name: str, cluster: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"strimzi.io/cluster": cluster}}}


def test_one_pod_set_of_a_cluster_is_chosen_and_of_several_none() -> None:
    sets: list[Any] = [podset("carbon-broker", "carbon"), podset("carbon-controller", "carbon")]
    assert chosen(sets, "carbon") is None
    assert chosen(sets, "carbon-broker") == sets[0]
    assert chosen([podset("kafka-kafka", "kafka"), *sets], "kafka") == podset(
        "kafka-kafka", "kafka"
    )
    assert chosen([podset("pool", "carbon")], "carbon") == podset("pool", "carbon")
