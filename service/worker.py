"""Claims due incidents and takes one short step of each; at most one step of an
incident at a time, anywhere.

A claim is a lease of seconds in the store, renewed while its step goes on. A process
that dies loses it, and the incident is claimed anew where its last durable step left it;
one that was only paused finds its claim lost.
"""

import asyncio
import os
import secrets
from datetime import timedelta

import structlog

from service.kit.clock import Clock
from service.kit.tasks import running
from service.model.errors import BadInput, ParamedicError, Refused, Unavailable
from service.model.incident import Held
from service.model.reasons import Reason
from service.phases.rooms import Rooms
from service.pipeline import set_aside, step
from service.record.metrics import Metrics
from service.store.incidents import Incidents

LEASE_S = 10.0
_LONGEST_NAP_S = (
    LEASE_S / 2
)  # the work of a replica that dies now is not in what was looked up before
_STORE_PAUSE_S = 5.0

log = structlog.get_logger()


class Worker:
    """Takes up to `slots` steps at a time. One that takes longer than
    `step_within_s` has hung: given up.
    """

    def __init__(
        self,
        incidents: Incidents,
        rooms: Rooms,
        metrics: Metrics,
        clock: Clock,
        *,
        slots: int,
        step_within_s: float,
        lease_s: float = LEASE_S,
    ) -> None:
        self._incidents = incidents
        self._rooms = rooms
        self._metrics = metrics
        self._clock = clock
        self._slots = slots
        self._step_within_s = step_within_s
        self._lease = timedelta(seconds=lease_s)
        self._woken = asyncio.Event()
        self._busy: dict[str, Held] = {}
        self.owner = f"{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(3)}"

    def wake(self) -> None:
        """An incident may have become due."""
        self._woken.set()

    async def run(self) -> None:
        """Works for ever. Cancelled, it stops where each incident stands;
        the next start goes on from there.
        """
        async with running("claims", self._keep(), self._lost), asyncio.TaskGroup() as tasks:
            while True:
                try:
                    claimed = await self.claim()
                except Unavailable as error:
                    self._metrics.faults.labels("worker").inc()
                    log.error(
                        "no claim, the store is away", reason=error.reason, detail=error.detail
                    )
                    await self._clock.sleep(_STORE_PAUSE_S)
                    continue
                for held in claimed:
                    tasks.create_task(self._work(held), name=f"incident {held.incident.id}")
                if not claimed or len(self._busy) >= self._slots:
                    await self._nap()

    async def claim(self) -> list[Held]:
        """As many due incidents as there are free slots."""
        free = self._slots - len(self._busy)
        if free <= 0:
            return []
        now = self._clock.now()
        claimed = await self._incidents.claim(self.owner, now, self._lease, free, tuple(self._busy))
        for held in claimed:
            self._busy[held.incident.id] = held
        return claimed

    async def _nap(self) -> None:
        """Until something wakes the worker, a slot is free again, or the next incident is due."""
        nap_s = _LONGEST_NAP_S
        if len(self._busy) < self._slots:
            now = self._clock.now()
            try:
                due = await self._incidents.next_due(now, self._lease, tuple(self._busy))
            except Unavailable:
                due = None  # the next claim tells of it
            if due is not None:
                nap_s = min(nap_s, max(0.02, (due - self._clock.now()).total_seconds()))
        try:
            async with asyncio.timeout(nap_s):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()

    async def _work(self, held: Held) -> None:
        try:
            await self.take_step(held)
        finally:
            self._busy.pop(held.incident.id, None)
            self.wake()

    async def take_step(self, held: Held) -> None:
        """One step. Whatever goes wrong in it stays with this incident."""
        incident = held.incident
        try:
            await self._step(held)
        except Refused as error:
            if error.reason is not Reason.CLAIM_LOST:
                raise
            # Nothing was written: another process goes on from the last durable step.
            self._metrics.faults.labels("claim_lost").inc()
            log.warning("claim lost", incident=incident.id, detail=error.detail)
        except Unavailable as error:
            # The store is away. What is durable stays, the claim runs out,
            # and the incident is due again.
            self._metrics.faults.labels("worker").inc()
            log.error(
                "step broken off", incident=incident.id, reason=error.reason, detail=error.detail
            )

    async def _step(self, held: Held) -> None:
        incident = held.incident
        if incident.playbook not in self._rooms.playbooks:
            detail = f"the playbook {incident.playbook} is no longer loaded"
            return await set_aside(held, Reason.NO_PLAYBOOK, detail, self._rooms)
        scope = asyncio.timeout(self._step_within_s)
        try:
            async with scope:
                return await step(held, self._rooms)
        except (
            BadInput
        ) as error:  # the playbook has no parameters for this target: its word, not a bug
            return await set_aside(held, error.reason, error.detail[:500], self._rooms)
        except ParamedicError:
            raise
        except Exception as error:  # a bug of ours: this incident is escalated, others go on
            hung = isinstance(error, TimeoutError) and scope.expired()
            reason = Reason.STEP_STUCK if hung else Reason.PIPELINE_FAILED
            detail = (
                f"not done in {self._step_within_s:g} s"
                if hung
                else f"{type(error).__name__}: {error}"
            )
            self._metrics.faults.labels("pipeline").inc()
            log.exception("step failed", incident=incident.id)
            return await set_aside(held, reason, detail[:500], self._rooms)

    async def _keep(self) -> None:
        """Renews the claims of the steps that go on."""
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 3)
            until = self._clock.now() + self._lease
            try:
                await self._incidents.renew([held.claim for held in self._busy.values()], until)
            except Unavailable as error:
                log.warning("claims not renewed", reason=error.reason, detail=error.detail)

    def _lost(self, name: str, error: BaseException | None) -> None:
        # Writes are confirmed and intents durable, so going on is safe;
        # another process reads back first.
        self._metrics.faults.labels("worker").inc()
        log.error("claims are no longer renewed", task=name, error=str(error))
