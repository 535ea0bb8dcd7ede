"""The limits over all playbooks as they are now, and whether the wall clock can be trusted."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from service.guard.question import Policy
from service.guard.recurrence import closes
from service.guard.switch import paused
from service.kit.clock import Clock, ClockWatch
from service.model.control import NOTHING_SAID, Control
from service.model.errors import Unavailable
from service.record.metrics import Metrics
from service.settings import Settings, protected
from service.store.controls import Controls
from service.store.incidents import Incidents
from service.worker import Worker

_EVERY_S = 0.5  # what people say is heard within a second

log = structlog.get_logger()


@dataclass(slots=True)
class Limits:
    """What the settings and people allow, and since when the clock is sound."""

    watch: ClockWatch
    settings: Settings
    clock: Clock
    controls: Controls
    metrics: Metrics
    sound_at: datetime | None = None
    control: Control = NOTHING_SAID
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
            persons=guard.persons,
            canary=guard.canary,
            breaker=guard.breaker,
            attempts=guard.attempts,
            people=intake.people_file is not None,
            expires_s=guard.approval_expires_s,
            veto_s=guard.veto_s,
        ).under(self.control)

    async def hear(self) -> None:
        """What people have said by now. What is about to be written is asked for once
        more in the store itself.
        """
        try:
            self.control = await self.controls.standing(self.clock.now())
        except Unavailable as error:  # nothing is admitted or confirmed without the store either
            log.error("not known what people have said", reason=error.reason)
            return
        now = self.clock.now()
        self.metrics.paused.set(paused(self.control, now) is not None)
        open_now = [w for w in self.control.windows if closes(w.when, now) is not None]
        self.metrics.windows.set(len(open_now))

    async def run(self, incidents: Incidents, worker: Worker) -> None:
        """Looks twice a second; after a step everything that waits is due,
        for no instant means what it meant.
        """
        while True:
            before = self.sound_at
            await self.hear()
            self._look()
            if self.sound_at != before:
                try:
                    await incidents.wake_all(self.clock.now())
                    worker.wake()
                except Unavailable as error:
                    self.sound_at = before
                    log.error("not woken after a step of the clock", reason=error.reason)
            await asyncio.sleep(_EVERY_S)

    def _look(self) -> None:
        step_s = self.watch.step_s()
        if step_s:
            hold = timedelta(seconds=self.settings.guard.clock_hold_s)
            self.sound_at = self.clock.now() + hold
            log.error(
                "the wall clock jumped, actions are held", step_s=step_s, until=str(self.sound_at)
            )
