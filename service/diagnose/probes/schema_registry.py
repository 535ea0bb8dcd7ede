"""The Schema Registry: whether it answers, its subjects, and the versions of
those that a playbook names.

Its silence is an answer here, not the lack of one.
Never here: a schema's text.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from service.clients.schema_registry import SchemaRegistryClient
from service.diagnose.probes.plain_text import safe
from service.kit.deadline import Deadline
from service.model.errors import Refused, Unavailable
from service.model.reasons import Reason

PATIENCE_S = 5.0
MOST_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Subject:
    """One of the named subjects that exists."""

    name: str
    versions: int
    latest: int  # number of its newest version
    compatibility: str  # of its own, or else the global one: BACKWARD, FULL, NONE ...


@dataclass(frozen=True, slots=True)
class SchemaRegistry:
    """The registry as seen from here. Without an answer all but the first three fields are
    empty.
    """

    answers: bool  # it lists its subjects, within PATIENCE_S
    latency_s: float | None  # of that list; None without an answer
    problem: str  # why it does not answer; "" when it does; bounded, redacted
    subjects: int | None  # None without an answer
    compatibility: str | None  # the global one; None without an answer
    missing: tuple[str, ...]  # named subjects that are not there
    unchecked: tuple[str, ...]  # named subjects whose compatibility is NONE: anything goes
    several: tuple[str, ...]  # named subjects with more than one version
    named: tuple[Subject, ...]  # at most MOST_SHOWN
    names: tuple[str, ...]  # of all subjects, at most MOST_SHOWN


async def schema_registry(
    registry: SchemaRegistryClient, named: Sequence[str], *, deadline: Deadline
) -> SchemaRegistry:
    """The registry now. Raises Refused: one that says no is up, and asked wrongly.

    A server error of the registry is its own trouble, and no answer.
    """
    started = time.monotonic()
    within = deadline.sooner(PATIENCE_S)
    try:
        names = await registry.subjects(deadline=within)
        took_s = time.monotonic() - started
        level = await registry.compatibility(deadline=within) or ""
        there = [name for name in named if name in set(names)][:MOST_SHOWN]
        asked = await asyncio.gather(*(_subject(registry, s, level, within) for s in there))
    except Unavailable as error:
        if error.reason is Reason.CREDENTIALS_UNREADABLE:  # a file of ours, and no word about it
            raise
        return SchemaRegistry(False, None, safe(str(error)), None, None, (), (), (), (), ())
    found = tuple(subject for subject in asked if subject is not None)
    known = {subject.name for subject in found}
    return SchemaRegistry(
        answers=True,
        latency_s=took_s,
        problem="",
        subjects=len(names),
        compatibility=level,
        missing=tuple(name for name in named if name not in known),
        unchecked=tuple(s.name for s in found if s.compatibility == "NONE"),
        several=tuple(s.name for s in found if s.versions > 1),
        named=found,
        names=names[:MOST_SHOWN],
    )


async def _subject(
    registry: SchemaRegistryClient, name: str, level: str, deadline: Deadline
) -> Subject | None:
    """The subject, or None for one that went away meanwhile."""
    try:
        versions = await registry.versions(name, deadline=deadline)
    except Refused as error:
        if error.reason is Reason.NOT_FOUND:
            return None
        raise
    own = await registry.compatibility(name, deadline=deadline)
    return Subject(name, len(versions), max(versions, default=0), own or level)
