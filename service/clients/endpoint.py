"""The wire to the platform's own HTTP endpoints: one GET, bounded in time and bytes.

A connection is opened for each question and closed after it:
what is asked is whether the endpoint takes one.
Never here: which endpoint, or what its answer means; a request that changes something.
"""

import time
from dataclasses import dataclass

import aiohttp
from yarl import URL

from service.clients import http
from service.kit.deadline import Deadline
from service.model.errors import Refused
from service.model.reasons import Reason

MOST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. A redirect is an answer like any other: it is not followed."""

    status: int
    body: str  # at most the asked number of bytes; what is not UTF-8 is replaced
    whole: bool  # the body ended within that number
    took_s: float


async def fetch(url: str, *, most_bytes: int = MOST_BYTES, deadline: Deadline) -> Answer:
    """GET of an http or https URL. Raises Unavailable (no answer), Refused (not such a URL)."""
    try:
        parsed = URL(url)
    except ValueError as error:
        raise Refused(Reason.INVALID_REQUEST, "the address is not a URL", 400) from error
    shown = shown_url(parsed)
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise Refused(Reason.INVALID_REQUEST, f"{shown!r} is not an http or https address", 400)
    started = time.monotonic()
    async with deadline.enforced(shown):
        try:
            async with (
                aiohttp.ClientSession(timeout=http.timeout(deadline)) as session,
                session.get(parsed, allow_redirects=False) as response,
            ):
                body = await _read(response, most_bytes + 1)
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise http.from_transport(error, shown) from error
    took_s = time.monotonic() - started
    text = body[:most_bytes].decode(errors="replace")
    return Answer(status, text, len(body) <= most_bytes, took_s)


def shown_url(url: URL | str) -> str:
    """The address as people may see it: without user, password, query and fragment."""
    try:
        parsed = URL(url)
    except ValueError:
        return "(not a URL)"
    return (
        str(parsed.with_user(None).with_query(None).with_fragment(None))
        if parsed.host
        else str(parsed.path)
    )


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_chunked(64 * 1024):
        body += piece
        if len(body) >= most:
            break
    return bytes(body[:most])
