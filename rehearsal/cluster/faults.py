"""A server in trouble, on demand: rules that answer, delay, cut or garble single requests.
The store knows nothing.

Never here: anything that changes an object.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType

from rehearsal.cluster.objects import Object


class Cut(Enum):
    """How a connection ends without a proper answer."""

    RESET = "the connection is reset before any byte of an answer"
    HANG = "no answer ever comes"
    TRUNCATE = "the head and half of the body, then a reset"


@dataclass(slots=True)
class Fault:
    """One rule. `method` and `path` are regular expressions that must match whole.

    By default it strikes before anything is done. With `after_commit` the request is carried
    out first and its answer is then lost or replaced: what a client must call indeterminate.
    A bare `delay_s` only slows the true answer.
    """

    method: str = ".*"
    path: str = ".*"
    status: int | None = None
    body: Object | str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    cut: Cut | None = None
    after_commit: bool = False
    times: int | None = None  # how many requests it strikes; None: all of them
    hits: int = 0

    def matches(self, method: str, path: str) -> bool:
        spent = self.times is not None and self.hits >= self.times
        return not spent and bool(
            re.fullmatch(self.method, method) and re.fullmatch(self.path, path)
        )


def too_many_requests(method: str = ".*", path: str = ".*", *, times: int | None = None) -> Fault:
    """429 of priority and fairness: text, Retry-After, nothing was done."""
    return Fault(
        method,
        path,
        status=429,
        body="Too many requests, please try again later.\n",
        headers={"Retry-After": "1"},
        times=times,
    )


class Faults:
    """The rules in force, first match first."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []

    def strike(self, method: str, path: str) -> Fault | None:
        for rule in self._rules:
            if rule.matches(method, path):
                rule.hits += 1
                return rule
        return None

    def inject(self, fault: Fault) -> "Injected":
        self._rules.append(fault)
        return Injected(self, fault)

    def remove(self, fault: Fault) -> None:
        self._rules = [rule for rule in self._rules if rule is not fault]

    def clear(self) -> None:
        self._rules.clear()


class Injected:
    """A rule in force: leaving the `with` block, or `remove()`, takes it away."""

    def __init__(self, faults: Faults, fault: Fault) -> None:
        self._faults = faults
        self.fault = fault

    def remove(self) -> None:
        self._faults.remove(self.fault)

    def __enter__(self) -> Fault:
        return self.fault

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()
