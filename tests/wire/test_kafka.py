"""The Kafka client and the lag probe: the same answers from noida-db and from Apache Kafka."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from service.clients.kafka import KafkaClient, PartitionOffsets
from service.diagnose.probes.kafka_lag import KafkaLag, Reset, kafka_lag
from service.diagnose.probes.several import kafka_lags
from service.kit.clock import SystemClock
from service.kit.deadline import Deadline
from service.model.errors import Refused, Unavailable
from service.model.reasons import Reason
from service.settings import KafkaSettings
from tests.servers import kafka as servers
from tests.servers import kafka_newer

SERVERS: dict[str, Callable[..., Any]] = {
    "noida": servers.noida,
    "apache kafka": servers.apache_kafka,
}


@pytest_asyncio.fixture(params=list(SERVERS), scope="module", loop_scope="module")
async def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[servers.Broker]:
    async with SERVERS[request.param](tmp_path_factory.mktemp("kafka")) as started:
        yield started


@pytest.fixture
def name() -> str:
    """A topic and group of this test alone."""
    return f"t-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def kafka(broker: servers.Broker) -> AsyncIterator[KafkaClient]:
    async with KafkaClient(KafkaSettings(bootstrap=broker.bootstrap)) as client:
        yield client


def soon(seconds: float = 10.0) -> Deadline:
    return Deadline.after(seconds)


async def _traffic(
    broker: servers.Broker,
    name: str,
    *,
    partitions: int,
    written: dict[int, int],
    committed: dict[int, int],
) -> None:
    await servers.create_topic(broker.bootstrap, name, partitions)
    await servers.produce(broker.bootstrap, name, written)
    await servers.commit(broker.bootstrap, name, {(name, p): o for p, o in committed.items()})


async def test_offsets_of_a_stopped_group_are_read(
    broker: servers.Broker, kafka: KafkaClient, name: str
) -> None:
    await _traffic(broker, name, partitions=3, written={0: 5, 1: 2}, committed={0: 1, 1: 2})
    expected = {
        (name, 0): PartitionOffsets(1, 5),
        (name, 1): PartitionOffsets(2, 2),
        (name, 2): PartitionOffsets(None, 0, 0),
    }
    assert await kafka.offsets(name, [name], deadline=soon()) == expected
    assert await kafka.offsets(name, None, deadline=soon()) == expected
    state = await kafka.group(name, deadline=soon())
    assert (state.state, state.members) == ("Empty", ())


async def test_members_and_their_partitions_of_a_running_group_are_seen(
    broker: servers.Broker, kafka: KafkaClient, name: str
) -> None:
    await _traffic(broker, name, partitions=2, written={0: 3}, committed={0: 0})
    async with servers.consuming(broker.bootstrap, name, name) as consumer:
        await consumer.getone()
        state = await kafka.group(name, deadline=soon())
        assert state.state == "Stable"
        (member,) = state.members
        assert sorted(member.partitions) == [(name, 0), (name, 1)]
        assert member.client_id.startswith("aiokafka")
        assert member.host == "127.0.0.1"


async def test_a_group_of_the_newer_protocol_is_not_taken_for_dead(
    tmp_path: Path, name: str
) -> None:
    async with servers.apache_kafka(tmp_path) as broker:
        await servers.create_topic(broker.bootstrap, name, 2)
        async with KafkaClient(KafkaSettings(bootstrap=broker.bootstrap)) as kafka:
            assert (await kafka.group(name, deadline=soon(20.0))).state == "Dead"
            await kafka_newer.join("127.0.0.1", broker.port, name, name)
            state = await kafka.group(name, deadline=soon())
            assert state.state in ("Stable", "Reconciling", "Assigning")
            (member,) = state.members
            assert (member.client_id, member.host) == ("newer", "127.0.0.1")


async def test_an_unknown_group_is_dead_and_has_no_data(
    broker: servers.Broker, kafka: KafkaClient, name: str
) -> None:
    state = await kafka.group(name, deadline=soon())
    assert (state.state, state.members) == ("Dead", ())
    assert await kafka.offsets(name, None, deadline=soon()) == {}
    with pytest.raises(Unavailable) as unavailable:
        await kafka_lag(kafka, name, [], 0.1, deadline=soon(), clock=SystemClock())
    assert unavailable.value.reason is Reason.NO_DATA


async def test_an_unknown_topic_is_not_found_and_is_not_created(
    broker: servers.Broker, kafka: KafkaClient, name: str
) -> None:
    with pytest.raises(Refused) as refused:
        await kafka.offsets(name, [name], deadline=soon())
    assert refused.value.reason is Reason.NOT_FOUND
    assert name not in await servers.topics(broker.bootstrap)


async def test_a_group_that_committed_nothing_on_a_named_topic_has_only_uncommitted_partitions(
    broker: servers.Broker, kafka: KafkaClient, name: str
) -> None:
    await servers.create_topic(broker.bootstrap, name, 2)
    offsets = await kafka.offsets(name, [name], deadline=soon())
    assert offsets == dict.fromkeys([(name, 0), (name, 1)], PartitionOffsets(None, 0, 0))


async def lag_of(kafka: KafkaClient, name: str, reset: Reset | None = None) -> KafkaLag:
    return await kafka_lag(
        kafka, name, [name], 0.1, reset=reset, deadline=soon(), clock=SystemClock()
    )


async def test_lag_is_summed_over_partitions_and_an_empty_one_has_none(
    broker: servers.Broker, kafka: KafkaClient, name: str
) -> None:
    await _traffic(broker, name, partitions=3, written={0: 5, 1: 2}, committed={0: 1, 1: 2})
    lag = await lag_of(kafka, name)
    assert (lag.group, lag.state, lag.members, lag.partition_count) == (name, "Empty", 0, 3)
    assert (lag.lag_total, lag.lag_known, lag.lag_max, lag.lag_growing) == (4, 4, 4, False)
    assert [(p.name, p.lag, p.end, p.committed) for p in lag.partitions] == [
        (f"{name}/0", 4, 5, 1),
        (f"{name}/1", 0, 2, 2),
        (f"{name}/2", 0, 0, None),
    ]
    assert (lag.uncommitted_partitions, lag.unknown_partitions) == (1, ())
    assert (lag.produced_per_s, lag.consumed_per_s, lag.rebalancing) == (0.0, 0.0, False)


async def test_a_partition_without_a_commit_is_behind_by_nobody_knows_how_much_unless_it_is_written(
    broker: servers.Broker, kafka: KafkaClient, name: str
) -> None:
    await _traffic(broker, name, partitions=2, written={0: 5, 1: 900}, committed={0: 5})
    lag = await lag_of(kafka, name)
    assert (lag.lag_total, lag.lag_max, lag.lag_growing, lag.hot_partition) == (None,) * 4
    assert (lag.lag_known, lag.uncommitted_partitions) == (0, 1)
    assert lag.unknown_partitions == (f"{name}/1",)
    assert (await lag_of(kafka, name, Reset.EARLIEST)).lag_total == 900
    assert (await lag_of(kafka, name, Reset.LATEST)).lag_total == 0


async def test_a_group_that_never_committed_has_lag_where_it_is_written_from_where_it_reads(
    broker: servers.Broker, kafka: KafkaClient, name: str
) -> None:
    await servers.create_topic(broker.bootstrap, name, 1)
    await servers.produce(broker.bootstrap, name, {0: 7})
    with pytest.raises(Unavailable) as unavailable:
        await lag_of(kafka, name)
    assert unavailable.value.reason is Reason.NO_DATA
    assert (await lag_of(kafka, name, Reset.EARLIEST)).lag_total == 7


async def test_a_commit_beyond_the_end_is_no_lag_of_zero(
    broker: servers.Broker, kafka: KafkaClient, name: str
) -> None:
    await _traffic(broker, name, partitions=1, written={0: 5}, committed={0: 50})
    lag = await lag_of(kafka, name, Reset.EARLIEST)
    assert (lag.lag_total, lag.lag_known, lag.unknown_partitions) == (None, 0, (f"{name}/0",))
    assert lag.partitions[0].committed == 50


async def test_growth_and_rates_are_seen_between_the_two_samples(
    broker: servers.Broker, kafka: KafkaClient, name: str
) -> None:
    await _traffic(broker, name, partitions=1, written={0: 10}, committed={0: 0})

    async def meanwhile() -> None:
        await servers.produce(broker.bootstrap, name, {0: 30})
        await servers.commit(broker.bootstrap, name, {(name, 0): 5})

    class Between(SystemClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.gather(meanwhile(), super().sleep(seconds))

    lag = await kafka_lag(kafka, name, [], 1.0, deadline=soon(), clock=Between())
    assert lag.lag_growing
    assert (lag.lag_total, lag.lag_max) == (35, 35)
    assert 5.0 < lag.consumed_per_s * 6 <= lag.produced_per_s * 1.01 <= 31.0


async def test_a_short_deadline_gets_a_short_sample_rather_than_none(
    broker: servers.Broker, kafka: KafkaClient, name: str
) -> None:
    await _traffic(broker, name, partitions=1, written={0: 1}, committed={0: 0})
    lag = await kafka_lag(kafka, name, [], 60.0, deadline=soon(1.0), clock=SystemClock())
    assert lag.lag_total == 1


async def test_several_calls_at_once_share_one_connection_and_do_not_disturb_each_other(
    broker: servers.Broker, kafka: KafkaClient, name: str
) -> None:
    await _traffic(broker, name, partitions=2, written={0: 4}, committed={0: 1})
    offsets, groups = await asyncio.gather(
        asyncio.gather(*(kafka.offsets(name, None, deadline=soon()) for _ in range(8))),
        asyncio.gather(*(kafka.group(f"{name}-{n}", deadline=soon()) for n in range(8))),
    )
    assert all(answer[name, 0] == PartitionOffsets(1, 4) for answer in offsets)
    assert {answer.state for answer in groups} == {"Dead"}


async def test_a_frozen_broker_is_late_at_the_deadline_and_answers_again_when_it_goes_on(
    broker: servers.Broker, kafka: KafkaClient, name: str
) -> None:
    await _traffic(broker, name, partitions=1, written={0: 1}, committed={0: 0})
    assert await kafka.offsets(name, None, deadline=soon())
    async with broker.process.frozen():
        for _ in range(2):
            with pytest.raises(Unavailable) as unavailable:
                await kafka.offsets(name, None, deadline=soon(0.3))
            assert unavailable.value.reason is Reason.LATE
    assert await kafka.offsets(name, None, deadline=soon())


async def test_a_broker_that_was_killed_is_unreachable_and_is_found_again_after_its_restart(
    tmp_path: Path, name: str
) -> None:
    async with (
        servers.noida(tmp_path) as broker,
        KafkaClient(KafkaSettings(bootstrap=broker.bootstrap)) as kafka,
    ):
        await _traffic(broker, name, partitions=1, written={0: 3}, committed={0: 1})
        assert len(await kafka.offsets(name, None, deadline=soon())) == 1
        await broker.process.kill()
        with pytest.raises(Unavailable) as unavailable:
            await kafka.offsets(name, None, deadline=soon())
        assert unavailable.value.reason is Reason.UNREACHABLE
        await broker.start()
        assert (await kafka.group(name, deadline=soon())).members == ()


async def test_a_dead_bootstrap_server_costs_nothing_while_another_lives(
    tmp_path: Path, name: str
) -> None:
    async with servers.noida(tmp_path) as broker:
        dead = KafkaSettings(bootstrap=f"127.0.0.1:1,{broker.bootstrap}")
        async with KafkaClient(dead) as kafka:
            assert (await kafka.group(name, deadline=soon(1.0))).state == "Dead"


async def test_sasl_lets_the_right_password_in_and_tells_a_wrong_one_from_a_dead_broker(
    tmp_path: Path, name: str
) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("secret\n")
    wrong.write_text("guess\n")
    async with servers.apache_kafka(tmp_path / "kafka", users={"watcher": "secret"}) as broker:
        sasl = {
            "bootstrap": broker.bootstrap,
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_user": "watcher",
        }
        async with KafkaClient(KafkaSettings(**sasl, sasl_password_file=right)) as kafka:
            assert (await kafka.group(name, deadline=soon(20.0))).state == "Dead"
        async with KafkaClient(KafkaSettings(**sasl, sasl_password_file=wrong)) as kafka:
            with pytest.raises(Refused) as refused:
                await kafka.group(name, deadline=soon())
            assert refused.value.reason is Reason.UNAUTHORIZED
            assert "guess" not in refused.value.detail


async def test_a_peer_that_floods_is_cut_off_before_it_fills_the_memory() -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with suppress(OSError):
            while True:
                writer.write(
                    b"\x7f" * 65_536
                )  # an answer of two gigabytes, by its first four bytes
                await writer.drain()
                sent += 65_536

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with KafkaClient(KafkaSettings(bootstrap=f"127.0.0.1:{port}")) as client:
        with pytest.raises(Unavailable) as caught:
            await client.group("g", deadline=Deadline.after(5))
    server.close()
    assert caught.value.reason is Reason.CONNECTION_LOST
    assert sent < 64 * 2**20


async def test_of_several_groups_one_that_cannot_be_read_costs_the_others_nothing(
    broker: servers.Broker, kafka: KafkaClient, name: str
) -> None:
    await _traffic(broker, name, partitions=1, written={0: 5}, committed={0: 1})
    seen = await kafka_lags(kafka, [name, "nobody"], 0.1, deadline=soon(), clock=SystemClock())
    assert [(lag.group, lag.lag_total) for lag in seen.groups] == [(name, 4)]
    assert seen.unread == {"nobody": "no_data: group nobody has committed no offset"}
    with pytest.raises(Unavailable) as unavailable:
        await kafka_lags(kafka, ["nobody"], 0.1, deadline=soon(), clock=SystemClock())
    assert unavailable.value.reason is Reason.NO_DATA
