"""Errors, sorted by whose fault they are.

    ParamedicError
    ├── BadInput        the sender's: a webhook or a question that can never be answered
    ├── BadConfig       the operator's: refuse to start, say file, line and what to write instead
    ├── Unavailable     nobody's for long: a backend is away, slow or shedding load; asked again
    ├── Refused         the backend's word: 400, 401, 403, 404, 409, 422; asking again is no use
    └── Indeterminate   a write was sent and its reply lost: read back before anything else

Not healed, denied and Unknown are values, not errors.
Anything else that is raised is a bug of ours.
"""

from service.model.reasons import Reason


class ParamedicError(Exception):
    """Base of all errors this project raises on purpose; carries a reason of the closed list."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class BadInput(ParamedicError):
    """What was sent cannot become valid by sending it again."""


class BadConfig(Exception):
    """A setting or a playbook is wrong. The message says where, what, why and what to do."""


class Unavailable(ParamedicError):
    """A backend gave no usable answer in time. `retry_after_s` is its own wish, where it had
    one.
    """

    def __init__(self, reason: Reason, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason, detail)
        self.retry_after_s = retry_after_s


class Refused(ParamedicError):
    """A backend understood the request and said no. `status` is its code
    (HTTP status or error code).
    """

    def __init__(self, reason: Reason, detail: str, status: int) -> None:
        super().__init__(reason, detail)
        self.status = status


class Indeterminate(ParamedicError):
    """A write left this process and no reply came back: it may or may not have been done."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.INDETERMINATE, detail)
