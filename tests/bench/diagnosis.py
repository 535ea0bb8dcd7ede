"""A diagnosis against its slowest probe: all probes wait at the same time,
so the whole takes little longer.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from rehearsal.platform import NAMESPACE, WORKLOAD, platform
from service.clients.kafka import KafkaClient
from service.clients.kubernetes import KubernetesReader
from service.diagnose.chapter import Look
from service.diagnose.chapters.high_latency import HighLatencyParameters, high_latency
from service.diagnose.sources import Sources
from service.kit.clock import SystemClock
from service.kit.deadline import Deadline
from service.model.target import Target, TargetKind
from service.settings import KafkaSettings, KubernetesSettings

ROUNDS = 10


async def run() -> None:
    """Prints the ratio of the whole diagnosis to its slowest probe, on the demo's platform."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            platform(Path(folder), database=False) as world,
            KubernetesReader(KubernetesSettings(kubeconfig=world.kubeconfig)) as kubernetes,
            KafkaClient(KafkaSettings(bootstrap=world.bootstrap)) as kafka,
        ):
            await asyncio.sleep(3)
            ratios, wholes = [], []
            for _ in range(ROUNDS):
                slowest = 0.0

                def observe(name: str, result: str, took_s: float) -> None:
                    nonlocal slowest
                    slowest = max(slowest, took_s)

                began = time.perf_counter()
                look = Look(
                    Sources(kubernetes=kubernetes, kafka=kafka),
                    Target(TargetKind.DEPLOYMENT, NAMESPACE, WORKLOAD),
                    Deadline.after(10),
                    SystemClock(),
                    observe,
                )
                await high_latency(
                    look, HighLatencyParameters(consumer_group=world.load.group, sample_s=0.2)
                )
                wholes.append(time.perf_counter() - began)
                ratios.append(wholes[-1] / slowest)
    print(
        f"diagnosis {statistics.median(wholes):.3f} s, {statistics.median(ratios):.3f} x its slowest probe"
        f" (worst of {ROUNDS}: {max(ratios):.3f})",
        flush=True,
    )
