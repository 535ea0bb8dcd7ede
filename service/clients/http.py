"""What an HTTP answer, or the lack of one, means in our errors: for Kubernetes,
Prometheus and Grafana alike.

Never here: sending anything.
"""

import json
import re

import aiohttp

from service.kit.deadline import Deadline
from service.model.errors import ParamedicError, Refused, Unavailable
from service.model.reasons import Reason

MAX_DETAIL = 300  # a Status message can quote a whole object, of a Secret even its data
# To the last @ before the path: a password may hold one, and an @ of a path is nobody's secret.
_AUTHORITY = re.compile(r"://([^/?#\s'\"<>]*+)")

_REFUSED = {
    400: Reason.INVALID_REQUEST,
    401: Reason.UNAUTHORIZED,
    403: Reason.FORBIDDEN,
    404: Reason.NOT_FOUND,
    409: Reason.CONFLICT,
    415: Reason.INVALID_REQUEST,
    422: Reason.INVALID_REQUEST,
}


def timeout(deadline: Deadline) -> aiohttp.ClientTimeout:
    """All of the time that is left, of which connecting may take half:
    then nothing was sent for sure.
    """
    left_s = max(deadline.remaining_s(), 0.001)
    return aiohttp.ClientTimeout(total=left_s, sock_connect=min(5.0, left_s / 2))


def without_userinfo(text: str) -> str:
    """The text with user and password taken out of every URL in it."""
    return _AUTHORITY.sub(lambda found: f"://{found[1].rpartition('@')[2]}", text)


def bounded(text: str) -> str:
    """One line of at most MAX_DETAIL characters, without the credentials of URLs."""
    line = " ".join(without_userinfo(text).split())
    return line if len(line) <= MAX_DETAIL else line[: MAX_DETAIL - 1] + "…"


def from_status(status: int, detail: str, retry_after: str | None = None) -> ParamedicError:
    """The error of an answer that is not 2xx; `detail` is bounded here."""
    detail = f"{status}: {bounded(detail)}"
    if (reason := _REFUSED.get(status)) is not None:
        return Refused(reason, detail, status)
    reason = Reason.THROTTLED if status == 429 else Reason.SERVER_ERROR
    if 300 <= status < 400:
        reason = Reason.WRONG_ANSWER
    return Unavailable(reason, detail, _seconds(retry_after))


def _seconds(retry_after: str | None) -> float | None:
    # The other form, a date, is used by no server we ask.
    return float(retry_after) if retry_after and retry_after.isdecimal() else None


def from_transport(error: aiohttp.ClientError | OSError | TimeoutError, what: str) -> Unavailable:
    """The error of a request that got no whole answer."""
    said = bounded(f"{what}: {str(error) or type(error).__name__}")
    if never_sent(error):
        return Unavailable(Reason.UNREACHABLE, said)
    if isinstance(error, TimeoutError):
        return Unavailable(Reason.LATE, f"{what}: no answer in time")
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.TooManyRedirects):
        return Unavailable(Reason.WRONG_ANSWER, said)
    return Unavailable(Reason.CONNECTION_LOST, said)


def never_sent(error: BaseException) -> bool:
    """True when there was no connection, so that the request cannot have arrived."""
    return isinstance(
        error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.InvalidURL
    )


def parsed_any(body: bytes, what: str) -> object:
    """The JSON value of a body, or Unavailable(wrong_answer)."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unavailable(Reason.WRONG_ANSWER, f"{what}: the answer is not valid JSON") from error


def parsed(body: bytes, what: str) -> dict[str, object]:
    """The JSON object of a body, or Unavailable(wrong_answer)."""
    value = parsed_any(body, what)
    if not isinstance(value, dict):
        raise Unavailable(Reason.WRONG_ANSWER, f"{what}: the answer is not a JSON object")
    return value
