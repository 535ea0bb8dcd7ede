"""The health and metrics endpoints of services, asked from here: status,
time to the answer, named metrics.

Never here: which status is too bad, which value too high.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.clients.endpoint import fetch, shown_url
from service.kit.deadline import Deadline
from service.model.errors import ParamedicError, Unavailable
from service.model.reasons import Reason

MOST = 20
PATIENCE_S = 5.0  # for one endpoint


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint."""

    name: str  # as the playbook calls it
    url: str  # without user, password and query
    ok: bool  # it answered with 2xx
    status: int | None  # HTTP status; None where there was no answer
    took_s: float | None  # seconds to the whole answer; None where there was none
    problem: str  # reason word and detail where there was no answer, "" otherwise


@dataclass(frozen=True, slots=True)
class Endpoints:
    """All endpoints that were asked."""

    all_ok: bool
    down: tuple[str, ...]  # names of those without a 2xx answer
    slowest_s: float | None  # of those that answered; None where none did
    endpoints: tuple[Endpoint, ...]
    # Named metrics, summed over their series; one that no endpoint exports is left out.
    metrics: Mapping[str, float]


async def endpoints(
    urls: Mapping[str, str], metrics: Sequence[str] = (), *, deadline: Deadline
) -> Endpoints:
    """All at once. An empty URL is not asked; with none at all: Unavailable(not_configured)."""
    wanted = [(name, url) for name, url in urls.items() if url][:MOST]
    if not wanted:
        raise Unavailable(Reason.NOT_CONFIGURED, "no endpoint is declared for this target")
    found = await asyncio.gather(*(_ask(n, url, metrics, deadline) for n, url in wanted))
    values: dict[str, float] = {}
    for _, read in found:
        for name, value in read.items():
            values[name] = values.get(name, 0.0) + value
    seen = tuple(endpoint for endpoint, _ in found)
    return Endpoints(
        all_ok=all(e.ok for e in seen),
        down=tuple(e.name for e in seen if not e.ok),
        slowest_s=max((e.took_s for e in seen if e.took_s is not None), default=None),
        endpoints=seen,
        metrics=values,
    )


async def _ask(
    name: str, url: str, metrics: Sequence[str], deadline: Deadline
) -> tuple[Endpoint, Mapping[str, float]]:
    shown = shown_url(url)
    try:
        answer = await fetch(url, deadline=deadline.sooner(PATIENCE_S))
    except ParamedicError as error:
        return Endpoint(name, shown, False, None, None, str(error)), {}
    ok = 200 <= answer.status < 300
    read = exposed(answer.body, metrics) if ok and metrics else {}
    return Endpoint(name, shown, ok, answer.status, answer.took_s, ""), read


def exposed(text: str, names: Sequence[str]) -> Mapping[str, float]:
    """Of a Prometheus exposition the named metrics, summed over their series; NaN does not
    count.
    """
    found: dict[str, float] = {}
    for line in text.splitlines():
        metric, _, rest = line.partition("{") if "{" in line else line.partition(" ")
        if metric not in names:
            continue
        number = (rest.rpartition("}")[2] if "{" in line else rest).split()
        try:
            value = float(number[0])
        except (IndexError, ValueError):
            continue
        if math.isfinite(value):
            found[metric] = found.get(metric, 0.0) + value
    return found
