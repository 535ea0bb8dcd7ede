"""Alertmanager's webhook payload, version 4, decoded. Unknown fields are ignored: later versions add some.

Every string is untrusted: labels and annotations are bounded here, once, for all who read them later.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, NotRequired

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    FailFast,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
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


def _instant(value: object) -> object:
    # Go writes 0 to 9 digits of a second; Python reads microseconds, so the rest is cut, not rounded.
    if isinstance(value, str) and "." in value:
        head, _, rest = value.partition(".")
        digits = rest.rstrip("Zz+-:0123456789")
        if not digits:
            fraction = rest[: len(rest) - len(rest.lstrip("0123456789"))]
            return f"{head}.{fraction[:6]}{rest[len(fraction) :]}"
    return value


Instant = Annotated[AwareDatetime, BeforeValidator(_instant)]
# An error of each item, kept until all are told, takes 600 times the room of the body: the first one is enough.
Texts = Annotated[dict[str, str], FailFast()]


class AlertBody(TypedDict):
    """One alert as it comes over the wire; only what is used is read."""

    status: AlertStatus
    labels: Texts
    annotations: NotRequired[Texts]
    startsAt: Instant
    endsAt: NotRequired[Instant | None]
    generatorURL: NotRequired[str]
    fingerprint: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class WebhookBody(TypedDict):
    """One webhook as it comes over the wire; only what is used is read."""

    version: str
    alerts: Annotated[list[AlertBody], FailFast()]
    receiver: NotRequired[str]
    truncatedAlerts: NotRequired[Annotated[int, Field(ge=0, le=COUNT_LIMIT)]]


_WEBHOOK: TypeAdapter[WebhookBody] = TypeAdapter(WebhookBody)


def check(body: bytes) -> WebhookBody:
    """The webhook in `body`. Raises BadInput(not_json | wrong_version | wrong_shape), with where and what."""
    try:
        webhook: WebhookBody = _WEBHOOK.validate_json(body)
    except ValidationError as error:
        raise _bad(error) from error
    if webhook["version"] != VERSION:
        raise BadInput(
            Reason.WRONG_VERSION,
            f"payload version {webhook['version']!r}; this receiver reads version {VERSION!r}",
        )
    return webhook


def decode(body: bytes) -> tuple[Alert, ...]:
    """The alerts in `body`, bounded and cleaned. Raises BadInput as `check` does."""
    return tuple(_alert(alert) for alert in check(body)["alerts"])


def _bad(error: ValidationError) -> BadInput:
    mistakes = error.errors(include_url=False, include_input=False)
    first: Any = mistakes[0]
    if first["type"] == "json_invalid":
        return BadInput(Reason.NOT_JSON, str(first["msg"]))
    told = "; ".join(f"{'.'.join(map(str, m['loc'])) or 'body'}: {m['msg']}" for m in mistakes[:5])
    more = f" (and {len(mistakes) - 5} more)" if len(mistakes) > 5 else ""
    hint = ". Is a custom `payload` set in the receiver? Leave it out"
    told = _clean(told)[:TOLD_LIMIT]
    return BadInput(Reason.WRONG_SHAPE, f"not an Alertmanager webhook: {told}{more}{hint}")


def _alert(body: AlertBody) -> Alert:
    ends_at = body.get("endsAt")
    # Alertmanager writes the zero time for "has not ended"; year 1 overflows on the way to other zones.
    over = ends_at is not None and ends_at.year > 1 and body["status"] is AlertStatus.RESOLVED
    return Alert(
        fingerprint=_clean(body["fingerprint"]),
        starts_at=_utc(body["startsAt"]),
        ends_at=_utc(ends_at) if over and ends_at is not None else None,
        status=body["status"],
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
    return {_clean(k)[:NAME_LIMIT]: _clean(v)[:limit] for k, v in list(texts.items())[:MAP_LIMIT]}


def _clean(text: str) -> str:
    # PostgreSQL takes no NUL in a text, and no label needs one.
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
