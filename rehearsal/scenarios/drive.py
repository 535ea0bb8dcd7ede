"""Drives a scenario against a running service: breaks the world, posts its alert or lets people
ask, and follows the incident to its end.

The demo and the tests both come through here. Never here: how it is shown; starting the service.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp

from rehearsal.scenarios.rules import Fired
from rehearsal.scenarios.scenario import Scenario
from rehearsal.scenarios.world import World
from service.intake.http import PATH

_NEVER = "0001-01-01T00:00:00Z"
_OVER = ("closed", "escalated")

Record = dict[str, Any]  # Any: JSON of the API


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended. `record` is the incident's, empty where none was opened in time."""

    came: bool  # the end that the scenario says
    record: Record


async def drive(
    scenario: Scenario,
    world: World,
    url: str,
    *,
    within_s: float,
    tell: Callable[[Record], None] = lambda _: None,
) -> Ended:
    """The scenario from the break to its end, at most `within_s` seconds. ValueError for one that
    nothing begins: no alert fires, and nobody speaks."""
    if scenario.fired is None and scenario.speaks is None:
        raise ValueError(f"scenario {scenario.name} fires no alert, and nobody asks for anything")
    await scenario.wrecks(world)
    record: Record = {}
    async with aiohttp.ClientSession(base_url=url, headers=world.headers) as session:
        alarm = Alarm(session, scenario.fired) if scenario.fired else None
        if alarm is not None:
            await alarm.post("firing")
        try:
            async with asyncio.timeout(within_s):
                while True:
                    if scenario.speaks is not None:
                        await scenario.speaks(url, world)
                    record = await _incident(session)
                    if record:
                        tell(record)
                        if scenario.end.came(record):
                            return Ended(True, record)
                        if record["state"] in _OVER:
                            return Ended(False, record)
                        # A shipped rule keeps firing for longer than a verification takes.
                        if alarm and record["state"] == "healed" and not await scenario.ill(world):
                            await alarm.post("resolved")
                    await asyncio.sleep(min(0.3, 0.3 * world.pace_s))
        except TimeoutError:
            return Ended(False, record)


async def _incident(session: aiohttp.ClientSession) -> Record:
    async with session.get("/api/v1/incidents") as answer:
        incidents = await answer.json()
    if not incidents:
        return {}
    async with session.get(f"/api/v1/incidents/{incidents[-1]['id']}") as answer:
        record: Record = await answer.json()
    return record


@dataclass(slots=True)
class Alarm:
    """Posts one alert as Alertmanager would."""

    session: aiohttp.ClientSession
    fired: Fired
    starts_at: datetime | None = None

    async def post(self, status: str) -> None:
        """`firing` or `resolved`. RuntimeError when the webhook is not taken."""
        self.starts_at = self.starts_at or datetime.now(UTC)
        body = _body(self.fired, status, self.starts_at, datetime.now(UTC))
        async with self.session.post(PATH, json=body) as answer:
            if answer.status != 200:
                raise RuntimeError(f"the webhook was answered with {answer.status}")


def _body(fired: Fired, status: str, starts_at: datetime, now: datetime) -> Record:
    labels = fired.all_labels()
    fingerprint = hashlib.sha256(repr(sorted(labels.items())).encode()).hexdigest()[:16]
    alert = {
        "status": status, "labels": labels, "annotations": fired.annotations(),
        "startsAt": starts_at.isoformat(), "endsAt": now.isoformat() if status == "resolved" else _NEVER,
        "generatorURL": "", "fingerprint": fingerprint,
    }  # fmt: skip
    return {
        "version": "4", "receiver": "paramedic", "status": status, "alerts": [alert], "groupLabels": {},
        "commonLabels": labels, "commonAnnotations": {}, "externalURL": "", "groupKey": f"{{}}:{fingerprint}",
        "truncatedAlerts": 0,
    }  # fmt: skip
