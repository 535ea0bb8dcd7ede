"""What Prometheus scrapes of the workload, whether it gets an answer, and what it last failed with.

`up` comes by query. The text of the last scrape error is only in Prometheus' page of targets:
with its address given, that is read too, and bounded: it holds every target of the installation.
Never here: whether a target should exist.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.clients.endpoint import fetch
from service.clients.prometheus import PrometheusClient, Sample
from service.diagnose.probes.plain_text import safe
from service.kit.deadline import Deadline
from service.model.errors import ParamedicError

MOST = 50
MOST_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ScrapeTarget:
    """One target."""

    job: str
    instance: str
    up: bool
    error: (
        str  # of the last scrape; "" when it was good or the page of targets was not read; redacted
    )


@dataclass(frozen=True, slots=True)
class ScrapeTargets:
    """The workload's targets."""

    targets: tuple[ScrapeTarget, ...]  # those that are down first, at most MOST
    known: int  # targets that Prometheus has of this workload; 0: discovery does not find it
    down: int
    first_error: str  # of a target that is down; "" where there is none or it is not known
    all_up: bool  # at least one is known and none is down


async def targets(
    prometheus: PrometheusClient, promql: str, page: str = "", *, deadline: Deadline
) -> ScrapeTargets:
    """The targets now: `promql` gives `up` of each, `page` is the address of
    /api/v1/targets, "" to leave it out.
    """
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(prometheus.query(promql, deadline=deadline))
        errors = tasks.create_task(_errors(page, deadline))
    return joined(asked.result(), errors.result())


def joined(samples: Sequence[Sample], errors: Mapping[tuple[str, str], str]) -> ScrapeTargets:
    """`up` of each target with its last error."""
    found = sorted((_target(s, errors) for s in samples), key=lambda t: (t.up, t.job, t.instance))
    down = [t for t in found if not t.up]
    return ScrapeTargets(
        targets=tuple(found[:MOST]),
        known=len(found),
        down=len(down),
        first_error=next((t.error for t in down if t.error), ""),
        all_up=bool(found) and not down,
    )


def _target(sample: Sample, errors: Mapping[tuple[str, str], str]) -> ScrapeTarget:
    key = sample.labels.get("job", ""), sample.labels.get("instance", "")
    return ScrapeTarget(key[0][:200], key[1][:200], sample.value == 1.0, errors.get(key, ""))


async def _errors(page: str, deadline: Deadline) -> Mapping[tuple[str, str], str]:
    """(job, instance) -> last error; nothing where the page cannot be read:
    `up` is known all the same.
    """
    if not page:
        return {}
    try:
        answer = await fetch(page, most_bytes=MOST_BYTES, deadline=deadline)
    except ParamedicError:
        return {}
    if answer.status != 200 or not answer.whole:
        return {}
    return await asyncio.to_thread(last_errors, answer.body)  # megabytes of JSON, off the loop


def last_errors(text: str) -> Mapping[tuple[str, str], str]:
    """Of the answer of /api/v1/targets the last error of each active target that has one."""
    try:
        active = json.loads(text)["data"]["activeTargets"]
        return {
            (str(t["labels"].get("job", "")), str(t["labels"].get("instance", ""))): safe(
                str(t["lastError"])
            )
            for t in active
            if t.get("lastError")
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
