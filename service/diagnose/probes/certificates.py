"""Certificates and how long they are still valid, as exporters report it to Prometheus.

Never here: the certificates themselves, and any key.
"""

import math
from dataclasses import dataclass

from service.clients.prometheus import PrometheusClient
from service.kit.deadline import Deadline
from service.model.errors import Unavailable
from service.model.reasons import Reason

MOST = 50
EXPIRY = "platform:certificate_expiry:timestamp_seconds - time()"


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate."""

    name: str  # as its exporter names it: an address, a Certificate, a cluster
    namespace: str
    left_s: float  # seconds of validity; negative when it has expired


@dataclass(frozen=True, slots=True)
class Certificates:
    """Those that end soonest first."""

    certificates: tuple[Certificate, ...]  # at most MOST
    first: str  # name of the one that ends soonest
    first_left_s: float  # seconds of its validity; negative when it has expired


async def certificates(
    prometheus: PrometheusClient, promql: str = EXPIRY, *, deadline: Deadline
) -> Certificates:
    """What is reported now; Unavailable(no_data) where no exporter reports any."""
    samples = await prometheus.query(promql, deadline=deadline)
    found = sorted(
        (
            Certificate(
                s.labels.get("certificate", "")[:200], s.labels.get("namespace", ""), s.value
            )
            for s in samples
            if math.isfinite(s.value)
        ),
        key=lambda c: c.left_s,
    )
    if not found:
        raise Unavailable(Reason.NO_DATA, "no exporter reports a certificate")
    return Certificates(tuple(found[:MOST]), found[0].name, found[0].left_s)
