"""Alertmanager's webhook payload, version 4, decoded. Unknown fields are ignored: later versions add some.

Every string is untrusted: labels and annotations are bounded here, once, for all who read them later.
"""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from service.model.alert import Alert, AlertStatus
from service.model.errors import BadInput
from service.model.reasons import Reason

VERSION = "4"
NAME_LIMIT = 256  # characters of a label's or an annotation's name
LABEL_LIMIT = 2_048  # characters of a label's value
TEXT_LIMIT = 8_192  # characters of an annotation or a URL
MAP_LIMIT = 128  # labels or annotations of one alert


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


class _Loose(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class AlertBody(_Loose):
    """One alert as it comes over the wire."""

    status: AlertStatus
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    starts_at: Instant = Field(alias="startsAt")
    ends_at: Instant | None = Field(None, alias="endsAt")
    generator_url: str = Field("", alias="generatorURL")
    fingerprint: str = Field(min_length=1, max_length=64)


class WebhookBody(_Loose):
    """One webhook as it comes over the wire; only what is used is read."""

    version: str
    alerts: list[AlertBody]
    receiver: str = ""
    group_key: str = Field("", alias="groupKey")
    truncated_alerts: int = Field(0, alias="truncatedAlerts", ge=0)


class Webhook(_Loose):
    """A decoded webhook."""

    receiver: str
    truncated: int
    alerts: tuple[Alert, ...]


def decode(body: bytes) -> Webhook:
    """The webhook in `body`. Raises BadInput(not_json | wrong_version | wrong_shape), with where and what."""
    try:
        webhook = WebhookBody.model_validate_json(body)
    except ValidationError as error:
        raise _bad(error) from error
    if webhook.version != VERSION:
        raise BadInput(
            Reason.WRONG_VERSION,
            f"payload version {webhook.version!r}; this receiver reads version {VERSION!r}",
        )
    alerts = tuple(_alert(alert) for alert in webhook.alerts)
    return Webhook(receiver=webhook.receiver[:NAME_LIMIT], truncated=webhook.truncated_alerts, alerts=alerts)


def _bad(error: ValidationError) -> BadInput:
    mistakes = error.errors(include_url=False, include_input=False)
    first: Any = mistakes[0]
    if first["type"] == "json_invalid":
        return BadInput(Reason.NOT_JSON, str(first["msg"]))
    told = "; ".join(f"{'.'.join(map(str, m['loc'])) or 'body'}: {m['msg']}" for m in mistakes[:5])
    more = f" (and {len(mistakes) - 5} more)" if len(mistakes) > 5 else ""
    hint = ". Is a custom `payload` set in the receiver? Leave it out"
    return BadInput(Reason.WRONG_SHAPE, f"not an Alertmanager webhook: {told}{more}{hint}")


def _alert(body: AlertBody) -> Alert:
    ends_at = body.ends_at
    # Alertmanager writes the zero time for "has not ended"; year 1 overflows on the way to other zones.
    over = ends_at is not None and ends_at.year > 1 and body.status is AlertStatus.RESOLVED
    return Alert(
        fingerprint=body.fingerprint,
        starts_at=_utc(body.starts_at),
        ends_at=_utc(ends_at) if over and ends_at is not None else None,
        status=body.status,
        labels=_bounded(body.labels, LABEL_LIMIT),
        annotations=_bounded(body.annotations, TEXT_LIMIT),
        generator_url=body.generator_url[:TEXT_LIMIT],
    )


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC) if value.year > 1 else datetime(1, 1, 1, tzinfo=UTC)


def _bounded(texts: dict[str, str], limit: int) -> dict[str, str]:
    return {_clean(k)[:NAME_LIMIT]: _clean(v)[:limit] for k, v in list(texts.items())[:MAP_LIMIT]}


def _clean(text: str) -> str:
    # PostgreSQL takes no NUL in a text, and no label needs one.
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
