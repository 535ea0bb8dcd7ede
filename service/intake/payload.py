"""Alertmanager's webhook payload, version 4, decoded. Unknown fields are ignored:
later versions add some.

Every string is untrusted: labels and annotations are bounded here, once,
for all who read them later.

What is valid is said once, by `AlertBody` and `Envelope`. A large body is read
in parts by the same two: its array of alerts is cut at commas between alerts,
so that every part is JSON exactly when the whole is.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple, NotRequired

from pydantic import AwareDatetime, FailFast, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import to_json
from typing_extensions import TypedDict

from service.model.alert import Alert, AlertStatus
from service.model.errors import BadInput
from service.model.reasons import Reason

VERSION = "4"
NAME_LIMIT = 256  # characters of a label's or an annotation's name
LABEL_LIMIT = 2_048  # characters of a label's value
TEXT_LIMIT = 8_192  # characters of an annotation or a URL
MAP_LIMIT = 128  # labels or annotations of one alert
COUNT_LIMIT = 2**53  # of alerts cut off; beyond it a metric's float counts no more
TOLD_LIMIT = 1_000  # characters of what is said about a bad body
PART_ALERTS = 200  # handed on at a time
WHOLE_BYTES = 256 * 1024  # a body up to this is decoded at once, within some milliseconds
PART_BYTES = 128 * 1024  # of a larger one at a time, or one alert where that is larger
PIECE_LIMIT = (
    2 * 2**20
)  # bytes of one alert, or of all beside the alerts: decoded they take ten times as much

# An error of each item, kept until all are told, takes 600 times the room of the body:
# the first one is enough.
Texts = Annotated[dict[str, str], FailFast()]


class AlertBody(TypedDict):
    """One alert as it comes over the wire; only what is used is read."""

    status: AlertStatus
    labels: Texts
    annotations: NotRequired[Texts]
    startsAt: AwareDatetime
    endsAt: NotRequired[AwareDatetime | None]
    generatorURL: NotRequired[str]
    fingerprint: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class Envelope(TypedDict):
    """A webhook but for its alerts, of which only the list is wanted here;
    only what is used is read.
    """

    version: str
    alerts: list[Any]  # Any: whatever stands there, judged one by one
    receiver: NotRequired[str]
    truncatedAlerts: NotRequired[Annotated[int, Field(ge=0, le=COUNT_LIMIT)]]


class WebhookBody(Envelope):
    """One webhook with its alerts."""

    alerts: Annotated[list[AlertBody], FailFast()]


class Cut(NamedTuple):
    """From which size on a body is read in parts, and of which size they are. Bytes."""

    whole: int = WHOLE_BYTES
    part: int = PART_BYTES


_CUT = Cut()


class Checked(NamedTuple):
    """What is told of a webhook that is accepted."""

    good: int
    bad: int
    truncated: int  # alerts that Alertmanager cut off
    receiver: str


class Bad(NamedTuple):
    """One alert that can never be taken: its JSON, and why."""

    body: bytes
    detail: str
    reason: Reason = Reason.WRONG_SHAPE


@dataclass(frozen=True, slots=True)
class Part:
    """Some alerts of a webhook, in its order. `count` is how many of its
    alerts they are, good and bad.
    """

    alerts: Sequence[Alert]
    bad: Sequence[Bad]
    count: int


_ALERT: TypeAdapter[AlertBody] = TypeAdapter(AlertBody)
_ALERTS: TypeAdapter[list[AlertBody]] = TypeAdapter(Annotated[list[AlertBody], FailFast()])
_ITEMS: TypeAdapter[list[Any]] = TypeAdapter(list[Any])
_ENVELOPE: TypeAdapter[Envelope] = TypeAdapter(Envelope)
_WEBHOOK: TypeAdapter[WebhookBody] = TypeAdapter(WebhookBody)


def check(body: bytes | bytearray, cut: Cut = _CUT) -> Checked:
    """What is in `body`. Raises BadInput(not_json | wrong_version | wrong_shape),
    with where and what, when there is no webhook in it or no good alert. For a body
    over WHOLE_BYTES it takes long: call it off the event loop.
    """
    if len(body) <= cut.whole:
        try:
            webhook = _WEBHOOK.validate_json(body)
        except ValidationError:
            pass  # perhaps only some alerts of it are bad
        else:
            _check_version(webhook["version"])
            return _told(webhook, len(webhook["alerts"]), 0)
    envelope, parts = _opened(body, cut)
    good = bad = 0
    first: str | None = None
    for part in parts:
        bodies, wrong = _judged(part, good + bad)
        good, bad = good + len(bodies), bad + len(wrong)
        first = first or (wrong[0].detail if wrong else None)
    if bad and not good:
        raise BadInput(Reason.WRONG_SHAPE, f"not an Alertmanager webhook: {first}{_HINT}")
    return _told(envelope, good, bad)


def decode(body: bytes | bytearray, skip: int = 0, cut: Cut = _CUT) -> Iterator[Part]:
    """The alerts in `body` but for the first `skip`, bounded and cleaned, in parts.
    Raises BadInput as `check` does.

    Each part takes some milliseconds.
    """
    if len(body) <= cut.whole:
        try:
            webhook = _WEBHOOK.validate_json(body)
        except ValidationError:
            pass
        else:
            _check_version(webhook["version"])
            items = webhook["alerts"]
            for start in range(skip, len(items), PART_ALERTS):
                some = items[start : start + PART_ALERTS]
                yield Part([_alert(item) for item in some], (), len(some))
            return
    _, parts = _opened(body, cut)
    at = 0
    for part in parts:
        text = part
        if at < skip:
            items_of_part = _ITEMS.validate_json(part)
            left = items_of_part[skip - at :]
            at += len(items_of_part) - len(left)
            if not left:
                continue
            text = to_json(left)  # the rest of it
        bodies, bad = _judged(text, at)
        at += len(bodies) + len(bad)
        yield Part([_alert(item) for item in bodies], bad, len(bodies) + len(bad))


def _told(envelope: Envelope, good: int, bad: int) -> Checked:
    receiver = envelope.get("receiver", "")[:NAME_LIMIT]
    return Checked(good, bad, envelope.get("truncatedAlerts", 0), receiver)


def _check_version(version: str) -> None:
    if version != VERSION:
        raise BadInput(
            Reason.WRONG_VERSION,
            f"payload version {version[:32]!r}; this receiver reads version {VERSION!r}",
        )


def _judged(part: bytes, begins_at: int) -> tuple[list[AlertBody], list[Bad]]:
    """The good alerts and the bad ones of a JSON array, whose first is the
    `begins_at`th of its webhook.

    Raises BadInput(not_json).
    """
    try:
        return _ALERTS.validate_json(part), []
    except ValidationError as error:
        if error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid":
            raise _bad(error) from error
    good: list[AlertBody] = []
    bad: list[Bad] = []
    for place, item in enumerate(_ITEMS.validate_json(part), begins_at):
        text = to_json(item)
        try:
            good.append(_ALERT.validate_json(text))
        except ValidationError as error:
            bad.append(Bad(text, _mistakes(error, f"alerts.{place}")))
    return good, bad


# ---------------------------------------------------------------------- in parts


def _opened(body: bytes | bytearray, cut: Cut) -> tuple[Envelope, Iterator[bytes]]:
    """The envelope, and the alerts as JSON arrays of some alerts each.
    Raises BadInput; so does the iterator.
    """
    span = _alerts_span(body) if len(body) > cut.whole else None
    if span is None and len(body) > PIECE_LIMIT:
        raise BadInput(Reason.WRONG_SHAPE, f"a large body without one array of alerts{_HINT}")
    if span is None:
        envelope = _envelope(body)
        return envelope, iter([to_json(envelope["alerts"])] if envelope["alerts"] else [])
    start, end = span
    if start + len(body) - end > PIECE_LIMIT:
        raise BadInput(Reason.TOO_LARGE, f"over {PIECE_LIMIT} bytes beside its alerts")
    return _envelope(body[:start] + body[end:]), _arrays(body, start, end, cut.part)


def _envelope(text: bytes | bytearray) -> Envelope:
    try:
        envelope = _ENVELOPE.validate_json(text)
    except ValidationError as error:
        raise _bad(error) from error
    _check_version(envelope["version"])
    return envelope


# Everything up to the next bracket outside of a string.
_BRACKET = re.compile(rb'[^"\[\]{}]*+(?:"(?:[^"\\]++|\\.)*+"[^"\[\]{}]*+)*+([\[\]{}])', re.DOTALL)
_KEY_ROOM = 64  # bytes in which `"alerts": [` ends, blanks and escapes included


def _alerts_span(body: bytes | bytearray) -> tuple[int, int] | None:
    """Where the items of the top level's `alerts` stand; None where that cannot be
    told, as in what is no JSON.
    """
    depth, at = 0, 0
    start: int | None = None
    span: tuple[int, int] | None = None
    while found := _BRACKET.match(body, at):
        at = found.end()
        bracket = found[1]
        if bracket in b"{[":
            depth += 1
            if (
                depth == 2
                and bracket == b"["
                and _names_alerts(bytes(body[max(0, at - _KEY_ROOM) : at]))
            ):
                if span is not None:
                    return None  # twice: the last would count
                start = at
        else:
            if depth == 2 and start is not None:
                span, start = (start, at - 1), None
            depth -= 1
    return span if depth == 0 else None


def _names_alerts(text: bytes) -> bool:
    found = re.search(rb'"[^"]*"\s*:\s*\[\Z', text)
    if not found:
        return False
    key = found[0][: found[0].rindex(b":")].strip()
    try:
        return bool(json.loads(key) == "alerts")
    except ValueError:  # the end of a longer key
        return False


def _arrays(body: bytes | bytearray, start: int, end: int, size: int) -> Iterator[bytes]:
    """The items between `start` and `end`, as JSON arrays of about `size` bytes."""
    depth, at, begun = 0, start, start
    while at < end and (found := _BRACKET.match(body, at, end)):
        at = found.end()
        depth += 1 if found[1] in b"{[" else -1
        if depth == 0 and at - begun >= size:
            comma = _COMMA.match(body, at, end)
            if comma:
                yield _array(body, begun, at)
                begun = at = comma.end()
    if bytes(body[begun:end]).strip() or begun != start:
        yield _array(body, begun, end)


_COMMA = re.compile(rb"\s*+,")


def _array(body: bytes | bytearray, start: int, end: int) -> bytes:
    if end - start > PIECE_LIMIT:
        raise BadInput(Reason.TOO_LARGE, f"one alert of over {PIECE_LIMIT} bytes")
    text = b"[%b]" % bytes(body[start:end])
    if not text[1:-1].strip():  # `[...,]`: an array of its own, and no JSON in the whole
        raise BadInput(Reason.NOT_JSON, "a comma without an alert behind it")
    return text


# ---------------------------------------------------------------------- errors and bounds

_HINT = ". Is a custom `payload` set in the receiver? Leave it out"


def _bad(error: ValidationError) -> BadInput:
    first: Any = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return BadInput(Reason.NOT_JSON, str(first["msg"]))
    return BadInput(Reason.WRONG_SHAPE, f"not an Alertmanager webhook: {_mistakes(error)}{_HINT}")


def _mistakes(error: ValidationError, where: str = "") -> str:
    mistakes = error.errors(include_url=False, include_input=False)
    places = [".".join(map(str, (*([where] if where else []), *m["loc"]))) for m in mistakes[:5]]
    told = "; ".join(
        f"{place or 'body'}: {m['msg']}" for place, m in zip(places, mistakes, strict=False)
    )
    more = f" (and {len(mistakes) - 5} more)" if len(mistakes) > 5 else ""
    return _clean(told)[:TOLD_LIMIT] + more


def _alert(body: AlertBody) -> Alert:
    ends_at = body.get("endsAt")
    status = body["status"]
    # Alertmanager writes the zero time for "has not ended";
    # year 1 overflows on the way to other zones.
    over = ends_at is not None and ends_at.year > 1 and status is AlertStatus.RESOLVED
    return Alert(
        fingerprint=_clean(body["fingerprint"]),
        starts_at=_utc(body["startsAt"]),
        ends_at=_utc(ends_at) if over and ends_at is not None else None,
        status=status,
        labels=_bounded(body["labels"], LABEL_LIMIT),
        annotations=_bounded(body.get("annotations", {}), TEXT_LIMIT),
        generator_url=_clean(body.get("generatorURL", ""))[:TEXT_LIMIT],
    )


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC) if value.year > 1 else datetime(1, 1, 1, tzinfo=UTC)
    except OverflowError:  # the last hours of year 9999, written in a zone west of Greenwich
        return datetime.max.replace(tzinfo=UTC)


def _bounded(texts: dict[str, str], limit: int) -> dict[str, str]:
    # Nearly always there is nothing to bound, and this is read a thousand times a second.
    if (
        len(texts) <= MAP_LIMIT
        and max(map(len, texts), default=0) <= NAME_LIMIT
        and max(map(len, texts.values()), default=0) <= limit
        and "\x00" not in "".join(texts)
        and "\x00" not in "".join(texts.values())
    ):
        return texts
    return {_clean(k)[:NAME_LIMIT]: _clean(v)[:limit] for k, v in list(texts.items())[:MAP_LIMIT]}


def _clean(text: str) -> str:
    # PostgreSQL takes no NUL in a text, and no label needs one.
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}") if "\x00" in text else text
