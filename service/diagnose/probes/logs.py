"""The last lines of the workload's containers, of now and of before the last restart:
counted, bounded, redacted.

Never here: what a line calls for.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.diagnose.probes.plain_text import safe
from service.diagnose.probes.pods import PodState, details
from service.diagnose.probes.snapshot import Snapshot, instant
from service.model.errors import Refused

TAIL = 100  # lines of each log
MOST_LOGS = 12  # at most 12 * 256 KiB at once
_READ = 1_000  # characters of a line that are looked at
MOST_KEPT = 10  # lines that are kept of each log
PATTERNS: Mapping[str, re.Pattern[str]] = {
    "validation_error": re.compile(r"(?i)validation[_ ]error"),
    "batch_size": re.compile(r"(?i)batch[_ ]size"),
    "connection_refused": re.compile(r"(?i)connection refused|no ?brokers? ?available|unreachable"),
    "out_of_memory": re.compile(r"(?i)out ?of ?memory|MemoryError|OutOfMemory|oom"),
    "unauthorized": re.compile(r"(?i)\b(?:401|403)\b|unauthorized|forbidden|authentication failed"),
}
_LEVEL = re.compile(r"\b(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL)\b", re.I)
_BAD = ("ERROR", "FATAL", "CRITICAL")
_TRACE = re.compile(r"^(?:Traceback |panic: |Exception in thread )")
# The last line of a stack trace names the error: `kafka.errors.NoBrokersAvailable:
# ...`, `ValueError: ...`.
_RAISED = re.compile(r"^(?:[A-Za-z_]\w*\.)+[A-Z]\w*(?::|$)|^[A-Z]\w*(?:Error|Exception)(?::|$)")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?")
_BATCH = re.compile(r"(?i)batch[_ ]?size[\"']?\s*[=:]\s*(\d{1,9})")


@dataclass(frozen=True, slots=True)
class ContainerLog:
    """The last TAIL lines of one container of one pod."""

    pod: str
    container: str
    previous: bool  # of before the last restart
    lines: int
    errors: int  # lines of level ERROR and above, begin and end of stack traces
    last_at: datetime | None  # written in the last line that has a time; None where none has
    tail: tuple[str, ...]  # the last lines, at most MOST_KEPT; redacted


@dataclass(frozen=True, slots=True)
class Logs:
    """The last lines of the workload's worst pods, together and for each log."""

    lines: int
    errors: int  # lines of level ERROR and above, begin and end of stack traces
    levels: Mapping[str, int]  # level -> lines that say it
    patterns: Mapping[str, int]  # name of PATTERNS -> lines that match; 0 is written out
    validation_errors: int  # lines that say validation_error
    batch_size_max: int | None  # the largest batch_size that a line says; None where none does
    json_share: (
        float | None
    )  # of lines that are JSON objects, 0.0 to 1.0; None where there is no line
    last_age_s: float | None  # seconds since the newest line that has a time; None where none has
    examples: tuple[str, ...]  # newest error lines, at most MOST_KEPT; redacted
    silent: int  # logs without a line
    unreadable: int  # containers that have no log yet, or whose pod is gone
    logs: tuple[ContainerLog, ...]


async def logs(snapshot: Snapshot, now: datetime) -> Logs:
    """The logs of the worst pods, all at once. Raises what the reader raises,
    unless it is about one log only.
    """
    found = await snapshot.pods()
    worst = details(snapshot.target.kind, await snapshot.workload(), found).pods
    wanted = list(_wanted(worst))[:MOST_LOGS]
    texts = await asyncio.gather(*(_read(snapshot, *one) for one in wanted))
    read = [(*one, text) for one, text in zip(wanted, texts, strict=True) if text is not None]
    # Twelve logs of long lines are a second of patterns: off the loop.
    return await asyncio.to_thread(
        summary, read, unreadable=sum(text is None for text in texts), now=now
    )


def _wanted(worst: Sequence[PodState]) -> Iterable[tuple[str, str, bool]]:
    """(pod, container, previous): what was before a restart first, for it says why."""
    for pod in worst[:3]:
        for container in pod.containers:
            if container.restarts:
                yield pod.name, container.name, True
            yield pod.name, container.name, False


async def _read(snapshot: Snapshot, pod: str, container: str, previous: bool) -> str | None:
    try:
        return await snapshot.kubernetes.log(
            snapshot.target.namespace,
            pod,
            container,
            previous=previous,
            tail=TAIL,
            deadline=snapshot.deadline,
        )
    except Refused as error:
        # 400: the container waits to start, or was not restarted; 404: the pod went away meanwhile.
        if error.status in (400, 404):
            return None
        raise


def summary(read: Sequence[tuple[str, str, bool, str]], *, unreadable: int, now: datetime) -> Logs:
    """The same from the texts, as (pod, container, previous, text), without waiting."""
    lines, levels, patterns = 0, Counter[str](), Counter[str]()
    as_json, sizes, errors, each = 0, [0], [], []
    for pod, container, previous, text in read:
        seen = [line[:_READ] for line in text.splitlines()[-TAIL:]]
        bad = [line for line in seen if _is_bad(line)]
        times = [at for line in reversed(seen) if (at := written_at(line))]
        lines += len(seen)
        levels.update(level for line in seen if (level := level_of(line)))
        patterns.update(n for n, p in PATTERNS.items() for line in seen if p.search(line))
        as_json += sum(_is_json(line) for line in seen)
        sizes += [int(size) for line in seen for size in _BATCH.findall(line)]
        errors += bad[-MOST_KEPT:]
        tail = tuple(safe(line) for line in seen[-MOST_KEPT:])
        each.append(
            ContainerLog(
                pod, container, previous, len(seen), len(bad), max(times, default=None), tail
            )
        )
    newest = max((log.last_at for log in each if log.last_at), default=None)
    return Logs(
        lines=lines,
        errors=sum(log.errors for log in each),
        levels=dict(levels),
        patterns={name: patterns[name] for name in PATTERNS},
        validation_errors=patterns["validation_error"],
        batch_size_max=max(sizes) or None,
        json_share=as_json / lines if lines else None,
        last_age_s=(now - newest).total_seconds() if newest else None,
        examples=tuple(safe(line) for line in errors[-MOST_KEPT:]),
        silent=sum(log.lines == 0 for log in each),
        unreadable=unreadable,
        logs=tuple(each),
    )


def level_of(line: str) -> str:
    """The level that a line says, in capitals, WARN as WARNING; "" where it says none."""
    found = _LEVEL.search(line[:200])
    level = found[1].upper() if found else ""
    return "WARNING" if level == "WARN" else level


def written_at(line: str) -> datetime | None:
    """The instant that a line begins with or has near its beginning;
    one without a zone is taken for UTC.
    """
    found = _TIME.search(line[:200])
    if found is None:
        return None
    text = found[0].replace(",", ".")
    return instant(text) or instant(f"{text}+00:00") or None


def _is_bad(line: str) -> bool:
    return level_of(line) in _BAD or any(pattern.match(line) for pattern in (_TRACE, _RAISED))


def _is_json(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
