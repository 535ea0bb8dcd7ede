"""The value now of each Prometheus query that a playbook declares.

Never here: the queries themselves.
"""

import asyncio
import math
import sys
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from service.clients.prometheus import PrometheusClient, Sample
from service.kit.deadline import Deadline
from service.model.errors import Refused, Unavailable
from service.model.reasons import Reason

# The value of each declared query, by the name that the playbook gives it under `with.series`.
Series: TypeAlias = Mapping[str, float]


async def series(
    prometheus: PrometheusClient, queries: Mapping[str, str], *, deadline: Deadline
) -> Series:
    """All queries at once. One without a sample is left out; all without one: no_data.

    A query that gives several samples is refused (invalid_request):
    which one is meant nobody can tell.
    """
    async with asyncio.TaskGroup() as tasks:
        asked = {
            name: tasks.create_task(prometheus.query(promql, deadline=deadline))
            for name, promql in queries.items()
        }
    values = {name: _value(name, task.result()) for name, task in asked.items()}
    known = {name: value for name, value in values.items() if value is not None}
    if not known:
        raise Unavailable(Reason.NO_DATA, "no declared query has a sample")
    return known


def _value(name: str, samples: Sequence[Sample]) -> float | None:
    if len(samples) > 1:
        detail = (
            f"series {name} gives {len(samples)} samples: aggregate it to one, with sum() or max()"
        )
        raise Refused(Reason.INVALID_REQUEST, detail, 200)
    if not samples or math.isnan(samples[0].value):
        return None  # NaN is 0/0: nothing happened, so nothing was measured
    # Infinity (a quantile beyond the last bucket) stays larger than all else,
    # in a form that JSON can hold.
    return max(-sys.float_info.max, min(sys.float_info.max, samples[0].value))
