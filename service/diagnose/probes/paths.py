"""Whether declared network paths connect from here: the name is looked up,
a TCP connection opened and closed.

From here means from this process: a policy that tells pods apart may let us through and
others not, or the reverse.
Never here: sending a byte.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from service.diagnose.probes.plain_text import safe
from service.kit.deadline import Deadline
from service.model.errors import BadInput, Unavailable
from service.model.reasons import Reason

MOST = 50
PATIENCE_S = 3.0  # for one path; a policy that drops packets answers nothing at all


@dataclass(frozen=True, slots=True)
class NetworkPath:
    """One destination."""

    destination: str  # host:port as declared
    resolves: bool  # the name has an address
    connects: bool
    took_s: float  # until it was connected or given up
    problem: str  # "" when it connects


@dataclass(frozen=True, slots=True)
class NetworkPaths:
    """All declared paths."""

    paths: tuple[NetworkPath, ...]
    blocked: tuple[str, ...]  # destinations that do not connect
    unresolved: tuple[str, ...]  # of these, those whose name has no address
    first_blocked: str  # "" when all connect
    all_connect: bool


async def paths(
    destinations: Sequence[str], domain: str = "", *, deadline: Deadline
) -> NetworkPaths:
    """All at once; `domain` is put behind names without a dot. None declared:
    Unavailable(not_configured).
    """
    if not destinations:
        raise Unavailable(Reason.NOT_CONFIGURED, "no network path is declared")
    wanted = [_parsed(d) for d in destinations[:MOST]]
    found = await asyncio.gather(*(_try(d, h, p, domain, deadline) for d, h, p in wanted))
    blocked = tuple(p.destination for p in found if not p.connects)
    return NetworkPaths(
        paths=tuple(found),
        blocked=blocked,
        unresolved=tuple(p.destination for p in found if not p.resolves),
        first_blocked=blocked[0] if blocked else "",
        all_connect=not blocked,
    )


def _parsed(destination: str) -> tuple[str, str, int]:
    host, _, port = destination.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise BadInput(Reason.INVALID_REQUEST, f"{destination[:80]!r} is not host:port")
    return destination, host, int(port)


async def _try(
    destination: str, host: str, port: int, domain: str, deadline: Deadline
) -> NetworkPath:
    name = f"{host}.{domain}" if domain and "." not in host else host
    loop, started = asyncio.get_running_loop(), time.monotonic()
    patience_s = min(PATIENCE_S, deadline.remaining_s())

    def ended(*, resolves: bool, connects: bool = False, problem: str = "") -> NetworkPath:
        took_s = time.monotonic() - started
        return NetworkPath(destination, resolves, connects, took_s, safe(problem))

    try:
        async with asyncio.timeout(patience_s):
            addresses = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
        said = str(error) or "no answer of the name server in time"
        return ended(resolves=False, problem=said)
    address = addresses[0][4]
    try:
        async with asyncio.timeout(patience_s):
            _, writer = await asyncio.open_connection(str(address[0]), port)
    except OSError as error:
        said = str(error) or "no answer in time: packets are dropped on the way"
        return ended(resolves=True, problem=said)
    writer.close()
    with contextlib.suppress(OSError):  # a peer that resets the connection has still taken it
        await writer.wait_closed()
    return ended(resolves=True, connects=True)
