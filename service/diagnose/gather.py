"""All probes of a diagnosis at once, under one deadline; each becomes a
reading, none outlives the call.

Never here: what a probe asks.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import structlog

from service.kit.clock import Clock
from service.kit.deadline import Deadline
from service.model.errors import ParamedicError
from service.model.evidence import Known, Reading, Unknown
from service.model.reasons import Reason

# Hears of each probe as it ends: its name, "known" or the reason, and the seconds it took.
Observe: TypeAlias = Callable[[str, str, float], None]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Probe:
    """One question to one backend. `ask` is called once; its coroutine gives the value or
    raises.
    """

    source: str
    ask: Callable[[], Awaitable[object]]


async def gather(
    probes: Mapping[str, Probe], *, deadline: Deadline, clock: Clock, observe: Observe
) -> Mapping[str, Reading[Any]]:
    """A reading for every probe, by the deadline. Raises nothing but the caller's own cancellation.

    A probe that has not answered by the deadline is Unknown(late); one that raises something which
    is no ParamedicError has a bug: Unknown(probe_failed), and the error in the log.
    """
    tasks = {
        name: asyncio.create_task(_read(name, probe, clock), name=f"probe {name}")
        for name, probe in probes.items()
    }
    names = {task: name for name, task in tasks.items()}
    waiting = set(names)

    def tell(ended: Iterable[asyncio.Task[Reading[Any]]]) -> None:
        for task in ended:
            reading = task.result()
            outcome = reading.reason if isinstance(reading, Unknown) else "known"
            observe(names[task], outcome, reading.took_s)

    try:
        while waiting:
            ended, waiting = await asyncio.wait(
                waiting,
                timeout=deadline.remaining_s(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not ended:
                break
            tell(ended)
    finally:
        for task in names:
            task.cancel()
        if names:
            await asyncio.wait(names)
    tell(waiting)
    return {name: task.result() for name, task in tasks.items()}


async def _read(name: str, probe: Probe, clock: Clock) -> Reading[Any]:
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        value = await probe.ask()
    except asyncio.CancelledError:
        # Only `gather` cancels: at its deadline, or on its own way out, where nobody reads this.
        return Unknown(
            Reason.LATE, probe.source, clock.now(), loop.time() - started, "no answer in time"
        )
    except Exception as raised:
        took_s = loop.time() - started
        error = _root(raised)
        if isinstance(error, ParamedicError):
            return Unknown(error.reason, probe.source, clock.now(), took_s, error.detail)
        # A bug in one probe may not cost the other readings.
        log.exception("probe failed", probe=name, source=probe.source)
        detail = f"{type(error).__name__}: {error}"[:300]
        return Unknown(Reason.PROBE_FAILED, probe.source, clock.now(), took_s, detail)
    return Known(value, probe.source, clock.now(), loop.time() - started)


def _root(error: Exception) -> Exception:
    """The error itself; of a TaskGroup's several the one that shows a bug, or else the first."""
    leaves = [error]
    while any(isinstance(leaf, ExceptionGroup) for leaf in leaves):
        nested = [
            leaf.exceptions if isinstance(leaf, ExceptionGroup) else (leaf,) for leaf in leaves
        ]
        leaves = [leaf for group in nested for leaf in group]
    return next((leaf for leaf in leaves if not isinstance(leaf, ParamedicError)), leaves[0])
