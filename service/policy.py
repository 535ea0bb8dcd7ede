"""The limits over all playbooks as they are now, and whether the wall clock can be trusted."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from service.guard.question import Policy
from service.kit.clock import Clock, ClockWatch
from service.model.errors import Unavailable
from service.settings import Settings, protected
from service.store.incidents import Incidents
from service.worker import Worker

log = structlog.get_logger()


@dataclass(slots=True)
class Limits:
    """What the settings allow, and since when the clock is sound."""

    watch: ClockWatch
    settings: Settings
    clock: Clock
    sound_at: datetime | None = None
    protected: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.protected = protected(self.settings)

    def policy(self) -> Policy:
        """What guards go by. A step of the clock counts from the moment it is seen here."""
        self._look()
        guard, intake = self.settings.guard, self.settings.intake
        return Policy(
            ceiling=self.settings.mode,
            namespaces=guard.namespaces,
            overall=guard.overall,
            evidence_max_age_s=guard.evidence_max_age_s,
            heard_within_s=intake.heard_within_s,
            clock_sound_at=self.sound_at,
            protected=self.protected,
            in_namespace=guard.in_namespace,
            blast=guard.blast,
            people=guard.people,
            canary=guard.canary,
            breaker=guard.breaker,
            attempts=guard.attempts,
        )

    async def run(self, incidents: Incidents, worker: Worker) -> None:
        """Looks every second; after a step everything that waits is due, for no instant means what it meant."""
        while True:
            before = self.sound_at
            self._look()
            if self.sound_at != before:
                try:
                    await incidents.wake_all(self.clock.now())
                    worker.wake()
                except Unavailable as error:
                    self.sound_at = before
                    log.error("not woken after a step of the clock", reason=error.reason)
            await asyncio.sleep(1.0)

    def _look(self) -> None:
        step_s = self.watch.step_s()
        if step_s:
            hold = timedelta(seconds=self.settings.guard.clock_hold_s)
            self.sound_at = self.clock.now() + hold
            log.error(
                "the wall clock jumped, actions are held", step_s=step_s, until=str(self.sound_at)
            )
