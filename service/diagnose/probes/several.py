"""One question to several of a kind at once: the lag of some groups, the logs of some workloads.

What cannot be read of one costs the others nothing; with none that could be
read the whole is Unknown.
Never here: the question itself.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.clients.kafka import KafkaClient
from service.diagnose.gather import Probe, gather
from service.diagnose.probes.kafka_lag import KafkaLag, kafka_lag
from service.diagnose.probes.logs import Logs, logs
from service.diagnose.probes.snapshot import Snapshot
from service.diagnose.sources import Sources
from service.kit.clock import Clock
from service.kit.deadline import Deadline
from service.model.errors import Unavailable
from service.model.evidence import Known, Unknown
from service.model.target import Target

_SHARE = 0.95  # of the time that is left: what one has read is told before the diagnosis ends


@dataclass(frozen=True, slots=True)
class GroupLags:
    """Consumer groups."""

    groups: tuple[KafkaLag, ...]
    unread: Mapping[str, str]  # group -> reason word and detail


@dataclass(frozen=True, slots=True)
class SeveralLogs:
    """The logs of workloads."""

    workloads: Mapping[str, Logs]  # Kind/name -> its logs
    unread: Mapping[str, str]  # Kind/name -> reason word and detail


async def kafka_lags(
    kafka: KafkaClient, groups: Sequence[str], sample_s: float, *, deadline: Deadline, clock: Clock
) -> GroupLags:
    """The groups now, each on the topics it has committed on.
    Raises Unavailable where none could be read.
    """

    async def ask(group: str, soon: Deadline) -> KafkaLag:
        return await kafka_lag(kafka, group, (), sample_s, deadline=soon, clock=clock)

    found, unread = await _each(groups, ask, deadline, clock)
    return GroupLags(tuple(found.values()), unread)


async def several_logs(
    sources: Sources, targets: Sequence[Target], *, deadline: Deadline, clock: Clock
) -> SeveralLogs:
    """The last lines of each workload. Raises Unavailable where none could be read."""
    named = {f"{target.kind}/{target.name}": target for target in targets}

    async def ask(name: str, soon: Deadline) -> Logs:
        async with Snapshot(sources, named[name], soon) as snapshot:
            return await logs(snapshot, clock.now())

    found, unread = await _each(tuple(named), ask, deadline, clock)
    return SeveralLogs(found, unread)


async def _each(
    names: Sequence[str],
    ask: Callable[[str, Deadline], Awaitable[object]],
    deadline: Deadline,
    clock: Clock,
) -> tuple[dict[str, Any], dict[str, str]]:  # Any: what `ask` gives
    soon = deadline.sooner(deadline.remaining_s() * _SHARE)

    def probe(name: str) -> Probe:
        return Probe(name, lambda: ask(name, soon))

    probes = {name: probe(name) for name in names}
    readings = await gather(probes, deadline=soon, clock=clock, observe=lambda *_: None)
    found = {name: r.value for name, r in readings.items() if isinstance(r, Known)}
    lost = {name: r for name, r in readings.items() if isinstance(r, Unknown)}
    if lost and not found:
        first = next(iter(lost.values()))
        raise Unavailable(first.reason, first.detail)
    return found, {name: f"{r.reason}: {r.detail}" for name, r in lost.items()}
