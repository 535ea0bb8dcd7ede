"""What an error of ClickHouse or of asynch means in our words.

Never here: connections.
"""

import struct

from asynch.errors import NetworkError, OperationalError, ServerException

from service.model.errors import Indeterminate, ParamedicError, Refused, Unavailable
from service.model.reasons import Reason

MAX_DETAIL = 300
READONLY = 164
_REFUSED = {
    192: Reason.UNAUTHORIZED,
    193: Reason.UNAUTHORIZED,
    194: Reason.UNAUTHORIZED,
    516: Reason.UNAUTHORIZED,
    READONLY: Reason.FORBIDDEN,
    291: Reason.FORBIDDEN,
    392: Reason.FORBIDDEN,
    497: Reason.FORBIDDEN,
    60: Reason.NOT_FOUND,
    81: Reason.NOT_FOUND,
    36: Reason.INVALID_REQUEST,
    42: Reason.INVALID_REQUEST,
    43: Reason.INVALID_REQUEST,
    46: Reason.INVALID_REQUEST,
    47: Reason.INVALID_REQUEST,
    53: Reason.INVALID_REQUEST,
    62: Reason.INVALID_REQUEST,
    115: Reason.INVALID_REQUEST,
}
_UNAVAILABLE = {
    159: Reason.LATE,
    160: Reason.LATE,
    209: Reason.LATE,
    201: Reason.THROTTLED,
    202: Reason.THROTTLED,
    241: Reason.THROTTLED,
    439: Reason.THROTTLED,
    210: Reason.CONNECTION_LOST,
}


def translated(error: Exception, source: str, *, lost: bool) -> ParamedicError:
    """Our error; `lost`: the statement was a write and was sent,
    so that no reply means nobody knows.
    """
    if isinstance(error, ServerException):
        # Its first line; what follows can be a stack trace,
        # and the query itself stands in syntax errors.
        code = error.code or 0
        said = f"{code}: {next(iter((error.message or '').strip().splitlines()), '')}"[:MAX_DETAIL]
        if (reason := _REFUSED.get(code)) is not None:
            return Refused(reason, said, code)
        return Unavailable(_UNAVAILABLE.get(code, Reason.SERVER_ERROR), said)
    if isinstance(error, ParamedicError) and not isinstance(error, Unavailable):
        return error
    if lost:
        return Indeterminate(f"{source}: no reply: {str(error)[:MAX_DETAIL]}")
    if isinstance(error, Unavailable):
        return error
    return Unavailable(
        _reason(error), f"{source}: {str(error)[:MAX_DETAIL] or type(error).__name__}"
    )


def _reason(error: Exception) -> Reason:
    cause = error.__cause__ or error if isinstance(error, NetworkError) else error
    if isinstance(cause, TimeoutError):
        return Reason.LATE
    if isinstance(cause, ConnectionRefusedError | NetworkError):
        return Reason.UNREACHABLE
    if isinstance(cause, OperationalError | ConnectionError | EOFError):
        return Reason.CONNECTION_LOST
    if isinstance(cause, OSError):
        return Reason.UNREACHABLE  # no route, no such name, TLS failed
    if isinstance(cause, struct.error):
        return Reason.CONNECTION_LOST  # asynch: the stream ended in the middle of a number
    return Reason.WRONG_ANSWER
