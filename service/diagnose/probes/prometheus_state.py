"""Whether Prometheus answers at all. Here its silence is an answer, not the lack of one.

Never here: what it knows.
"""

from dataclasses import dataclass

from service.clients.prometheus import PrometheusClient
from service.kit.deadline import Deadline
from service.model.errors import Unavailable
from service.model.reasons import Reason

PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class PrometheusState:
    """Prometheus as seen from here."""

    reachable: bool  # a connection is taken and a query answered
    problem: str  # why it is not; "" when it is


async def prometheus_state(prometheus: PrometheusClient, *, deadline: Deadline) -> PrometheusState:
    """Its state now. Raises Refused: a Prometheus that says no is reachable and asked wrongly."""
    try:
        await prometheus.query("vector(1)", deadline=deadline.sooner(PATIENCE_S))
    except Unavailable as error:
        if (
            error.reason is Reason.CREDENTIALS_UNREADABLE
        ):  # a file of ours, and no word about Prometheus
            raise
        return PrometheusState(False, str(error))
    return PrometheusState(True, "")
