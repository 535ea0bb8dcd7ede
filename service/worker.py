"""Claims due incidents and takes each a round further; one incident at a time per target.

Called by: app. The claim is a lease in the store, renewed while the work goes on; a process that dies loses it,
and the incident is claimed anew where its last durable step left it.
"""

import asyncio
import os
import secrets
from datetime import timedelta

import structlog

from service.kit.clock import Clock
from service.kit.tasks import running
from service.model.errors import BadInput, Unavailable
from service.model.incident import Incident
from service.model.reasons import Reason
from service.pipeline import remediate
from service.stages import Stages
from service.store.incidents import Incidents

LEASE_S = 60.0
_LONGEST_NAP_S = 30.0
_STORE_PAUSE_S = 5.0

log = structlog.get_logger()


class Worker:
    """Runs up to `slots` incidents at a time."""

    def __init__(self, incidents: Incidents, stages: Stages, clock: Clock, slots: int) -> None:
        self._incidents = incidents
        self._stages = stages
        self._clock = clock
        self._slots = asyncio.Semaphore(slots)
        self._woken = asyncio.Event()
        self._busy: set[str] = set()
        self.owner = f"{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(3)}"

    def wake(self) -> None:
        """An incident may have become due."""
        self._woken.set()

    async def run(self) -> None:
        """Works for ever. Cancelled, it stops where each incident stands; the next start goes on from there."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._slots.acquire()
                try:
                    incident = await self._claim()
                except Unavailable as error:
                    self._stages.metrics.faults.labels("worker").inc()
                    log.error(
                        "no claim, the store is away", reason=error.reason, detail=error.detail
                    )
                    self._slots.release()
                    await self._clock.sleep(_STORE_PAUSE_S)
                    continue
                if incident is None:
                    self._slots.release()
                    await self._nap()
                else:
                    self._busy.add(incident.target.key)
                    tasks.create_task(self._work(incident), name=f"incident {incident.id}")

    async def _claim(self) -> Incident | None:
        now, lease = self._clock.now(), timedelta(seconds=LEASE_S)
        return await self._incidents.claim(self.owner, now, lease, tuple(self._busy))

    async def _nap(self) -> None:
        """Until something wakes the worker or the next incident is due."""
        try:
            due = await self._incidents.next_due(self.owner, self._clock.now(), tuple(self._busy))
        except Unavailable:
            due = None  # the next claim tells of it
        nap_s = _LONGEST_NAP_S
        if due is not None:
            nap_s = min(nap_s, max(0.05, (due - self._clock.now()).total_seconds()))
        try:
            async with asyncio.timeout(nap_s):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()

    async def _work(self, incident: Incident) -> None:
        with structlog.contextvars.bound_contextvars(
            playbook=incident.playbook, target=incident.target.key
        ):
            try:
                async with running("lease", self._keep(incident), self._lost):
                    await self._round(incident)
                await self._incidents.release(incident, self.owner)
            except Unavailable as error:
                # The store is away. What is durable stays, the lease runs out, and the incident is due again.
                self._stages.metrics.faults.labels("worker").inc()
                log.error(
                    "round broken off",
                    incident=incident.id,
                    reason=error.reason,
                    detail=error.detail,
                )
                await self._clock.sleep(1.0)
            finally:
                self._busy.discard(incident.target.key)
                self._slots.release()
                self.wake()

    async def _round(self, incident: Incident) -> None:
        if incident.playbook not in self._stages.playbooks:
            detail = f"the playbook {incident.playbook} is no longer loaded"
            return await self._stages.set_aside(incident, Reason.NO_PLAYBOOK, detail)
        try:
            return await remediate(incident, self._stages)
        except Unavailable:
            raise
        except (
            BadInput
        ) as error:  # the playbook has no parameters for this target: its word, not a bug
            return await self._stages.set_aside(incident, error.reason, error.detail[:500])
        except Exception as error:  # a bug of ours: this incident goes to a person, others go on
            self._stages.metrics.faults.labels("pipeline").inc()
            log.exception("pipeline failed", incident=incident.id)
            detail = f"{type(error).__name__}: {error}"
            return await self._stages.set_aside(incident, Reason.PIPELINE_FAILED, detail[:500])

    async def _keep(self, incident: Incident) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 3)
            until = self._clock.now() + timedelta(seconds=LEASE_S)
            try:
                renewed = await self._incidents.renew(incident, self.owner, until)
            except Unavailable as error:
                log.warning(
                    "claim not renewed, trying again", reason=error.reason, detail=error.detail
                )
                continue
            if not renewed:
                raise RuntimeError(f"the claim on {incident.target} went to another worker")

    def _lost(self, name: str, error: BaseException | None) -> None:
        # Intents are durable and writes guard themselves, so going on is safe; a second worker reads back first.
        self._stages.metrics.faults.labels("lease").inc()
        log.error("claim not renewed", task=name, error=str(error))
