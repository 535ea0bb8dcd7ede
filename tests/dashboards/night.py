"""A rehearsed night: the whole service over a scripted platform on a virtual clock,
and its metrics each minute.

Eight hours: an incident that one action heals, one that takes two, one that nothing heals,
one that cannot be seen.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from service.audit.chainer import Chainer
from service.desk.scraping import Scraping
from service.guard.chain import CHAIN
from service.incident.lifecycle import Patience
from service.intake.budget import ByteBudget
from service.intake.http import PATH, Intake
from service.kit.clock import VirtualClock
from service.model.evidence import Evidence, Known
from service.model.playbook import Playbook
from service.publish import SINKS
from service.publish.follower import Follower, followers
from service.publish.sink import Outlets
from service.settings import IntakeSettings
from service.store.audit import AuditStore
from service.store.figures import Figures
from service.store.outbox import Outbox
from service.store.tallies import Tallies
from tests.path.world import LEASE, World, world
from tests.unit.made import LABELS, body, evidence, item

STARTS_AT = datetime(2026, 11, 23, 22, 0, tzinfo=UTC)
HOURS = 8.0
_WATCHDOG = item("w0", labels={"alertname": "Watchdog", "severity": "none"})


@dataclass
class Night:
    """A service under way. `samples`: for each minute the whole of /metrics, and what fires."""

    made: World
    client: "TestClient[web.Request, web.Application]"
    chainer: Chainer
    follower: Follower  # of the totals
    scraping: Scraping
    minutes: list[tuple[datetime, list[tuple[str, dict[str, str], float]]]] = field(
        default_factory=list
    )
    firing: dict[str, dict[str, str]] = field(default_factory=dict)
    blind: bool = False

    def see(self, made: World, playbook: Playbook) -> Evidence:
        """What the scripted platform shows, counted as the probes count it."""
        seen = made.as_it_is()
        if self.blind:
            seen = evidence(made.clock.now(), unknown=["kafka", "clickhouse", "pods", "series"])
        for name, reading in seen.readings().items():
            known = isinstance(reading, Known)
            made.metrics.probe(name, "known" if known else reading.reason, 0.04)  # type: ignore[union-attr]
        return seen

    async def post(self, *items: dict[str, Any], raw: bytes | None = None) -> None:
        """A webhook over HTTP, sorted at once."""
        content = raw if raw is not None else json.dumps(body(items)).encode()
        headers = {"Content-Type": "application/json"}
        async with self.client.post(PATH, data=content, headers=headers) as answer:
            assert answer.status == 200
        while await self.made.sorter.sort_batch():
            pass

    async def fires(self, fingerprint: str, **labels: str) -> None:
        """An alert fires."""
        told = {**LABELS, **labels}
        self.firing[fingerprint] = told
        at = f"{self.made.clock.now():%Y-%m-%dT%H:%M:%SZ}"
        await self.post(item(fingerprint, labels=told, starts_at=at))

    async def resolves(self, fingerprint: str) -> None:
        """It ends."""
        told = self.firing.pop(fingerprint)
        at = f"{self.made.clock.now():%Y-%m-%dT%H:%M:%SZ}"
        await self.post(item(fingerprint, labels=told, status="resolved", ends_at=at))

    async def until(self, at: datetime) -> None:
        """Works on until a time, and looks at its own metrics each minute."""
        clock = self.made.clock
        while (now := clock.now()) < at:
            if await self.made.round():
                continue
            due = await self.made.incidents.next_due(now, LEASE)
            minute = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
            soon = min(at, minute, due if due is not None and due > now else minute)
            clock.advance((soon - now).total_seconds())
            if soon == minute:
                await self._minute()

    async def _minute(self) -> None:
        if self.made.clock.now().minute % 2 == 0:
            await self.post(_WATCHDOG)
        while await self.chainer.chain():
            pass
        await self.chainer.checkpoint()
        while await self.follower.follow():
            pass
        await self.scraping.refresh(None)
        self.minutes.append((self.made.clock.now(), list(self._samples())))

    def _samples(self) -> Iterator[tuple[str, dict[str, str], float]]:
        for family in self.made.metrics.registry.collect():
            for sample in family.samples:
                if sample.name.startswith("paramedic_"):
                    yield sample.name, sample.labels, sample.value
        for labels in self.firing.values():
            yield "ALERTS", {**labels, "alertstate": "firing"}, 1.0


Scene = tuple[float, Callable[[Night], Any]]


def _see(night: Night, *, runaway: bool, replicas: int, blind: bool = False) -> None:
    made = night.made
    made.runaway_matters, made.replicas_needed, night.blind = runaway, replicas, blind
    made.platform.replicas = 2
    made.platform.queries = {"q1"}


async def _scene(night: Night, fingerprint: str, minutes: float, **seen: Any) -> None:
    _see(night, **seen)
    other = {"workload": "enrichment-service"} if seen.get("blind") else {}
    await night.fires(fingerprint, **other)
    await night.until(night.made.clock.now() + timedelta(minutes=minutes))
    await night.resolves(fingerprint)


async def play(night: Night, hours: float = HOURS) -> None:
    """The night, from its first minute to its last."""
    ends_at = night.made.clock.now() + timedelta(hours=hours)
    part = hours / HOURS
    await night.until(night.made.clock.now() + timedelta(minutes=40 * part))
    await _scene(night, "one", 20, runaway=False, replicas=3)
    await night.until(night.made.clock.now() + timedelta(minutes=80 * part))
    await _scene(night, "two", 30, runaway=True, replicas=3)
    await night.post(raw=b"no JSON")
    await night.until(night.made.clock.now() + timedelta(minutes=70 * part))
    await _scene(night, "three", 60, runaway=True, replicas=99)
    await night.until(night.made.clock.now() + timedelta(minutes=30 * part))
    await _scene(night, "four", 45, runaway=False, replicas=3, blind=True)
    await night.until(max(ends_at, night.made.clock.now() + timedelta(minutes=1)))


@asynccontextmanager
async def night(folder: Path) -> AsyncIterator[Night]:
    """A service at the evening, nothing played yet."""
    url = f"sqlite:///{folder / 'night.db'}"
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "key"
    key.write_text("k" * 40)
    clock = VirtualClock(STARTS_AT)
    async with world(url, clock, patience=Patience(60.0, 900.0)) as made:
        intake = Intake(IntakeSettings(), made.inbox, ByteBudget(2**26), made.metrics)
        app = web.Application()
        app.add_routes(intake.routes())
        made.metrics.build_info.labels("rehearsed", "3.11").set(1)
        made.database.timed = made.metrics.stored
        for guard in CHAIN:
            made.metrics.guard_answers.labels(guard, "pass")
        store, tallies, outbox = (
            AuditStore(made.database), Tallies(made.database), Outbox(made.database),
        )  # fmt: skip
        chainer = Chainer(
            store, clock, "w1", key, (), made.metrics.audited, made.metrics.checkpoint_kept
        )
        async with TestClient(TestServer(app)) as client:
            (follower,) = followers(SINKS, Outlets(clock, tallies=tallies), outbox, "w1")
            scraping = Scraping(
                made.metrics, Figures(made.database), tallies, outbox, made.inbox, made.playbooks,
                made.policy, clock,
            )  # fmt: skip
            begun = Night(made, client, chainer, follower, scraping)
            made.see = begun.see
            yield begun


def openmetrics(minutes: Sequence[tuple[datetime, list[tuple[str, dict[str, str], float]]]]) -> str:
    """The samples as text that promtool makes blocks of: series by series,
    each in the order of time.
    """
    series: dict[str, list[str]] = {}
    for at, samples in minutes:
        for name, labels, value in samples:
            told = ",".join(
                f'{k}="{_quoted(v)}"' for k, v in {**labels, "job": "paramedic"}.items()
            )
            line = f"{name}{{{told}}}"
            series.setdefault(line, []).append(f"{line} {value!r} {at.timestamp():.0f}")
    lines = [line for name in sorted(series) for line in series[name]]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _quoted(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
