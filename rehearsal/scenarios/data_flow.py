"""2.1: nothing reaches Kafka for a policy drifted; or the Schema Registry hangs while data flow."""

import asyncio

from aiokafka import AIOKafkaProducer

from rehearsal.scenarios.network import blocked, paths, wrong_port
from rehearsal.scenarios.rules import Fired
from rehearsal.scenarios.scenario import Healed, Proposed, Scenario
from rehearsal.scenarios.world import KAFKA, World
from rehearsal.servers.records import create_topic

_TOPICS = ("ingestion.miso.raw.v1", "ingestion.miso.normalized.v1", "ingestion.miso.enriched.v1")
_REGISTRY = "schema-registry"


async def _moving(world: World) -> None:
    """Every topic gets records."""
    for topic in _TOPICS:
        await create_topic(world.bootstrap, topic, 2)
    await world.beside("producer", _produce(world.bootstrap))
    for destination in ("kafka-cluster:9092", "clickhouse:9000", "schema-registry:8081"):
        await world.standin.gate(destination)


async def _produce(bootstrap: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5) as producer:
        while True:
            for topic in _TOPICS:
                await producer.send_and_wait(topic, b'{"market": "MISO"}')
            await asyncio.sleep(0.02)


async def _hangs(world: World) -> None:
    world.standin.hang(_REGISTRY)


async def _silent(world: World) -> bool:
    return not world.standin.answers(_REGISTRY)


POLICY = Scenario(
    name="2.1",
    row="2.1",
    breaks="A network policy drifted: Kafka's pods are ready, no connection reaches them, and no topic moves.",
    does="It finds the blocked path and the policy that differs, and proposes to apply the known-good one.",
    end=Proposed("restore-policies"),
    prepares=paths,
    wrecks=wrong_port,
    fired=Fired("TopicNotMoving", "Deployment/connector-registry", {"topic": _TOPICS[0]}),
    ill=blocked,
)

REGISTRY = Scenario(
    name="2.1-registry",
    row="2.1",
    breaks="The Schema Registry hangs: its pod is ready, and it answers nobody, while Kafka does.",
    does="It restarts the Schema Registry once, and proves that it answers and that every topic moves.",
    end=Healed("restart-schema-registry"),
    prepares=_moving,
    wrecks=_hangs,
    fired=Fired("SchemaRegistryDown", f"Deployment/{_REGISTRY}"),
    ill=_silent,
    servers=frozenset({KAFKA}),
)
