"""The wire to one Alertmanager: what it holds of an alert,
and Paramedic's own alerts posted to it (API v2).

Never here: what an alert's state means, or which alerts are Paramedic's own.
"""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
from yarl import URL

from service.clients import http
from service.clients.http_client import HttpClient
from service.kit.deadline import Deadline
from service.model.errors import Unavailable
from service.model.reasons import Reason
from service.settings import AlertmanagerSettings, secret

_MOST_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class HeldAlert:
    """An alert that has not resolved, as an Alertmanager holds it: ids of silences,
    fingerprints of inhibitors.
    """

    fingerprint: str
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PostedAlert:
    """An alert of Paramedic's own. `ends_at` in the past resolves it."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime
    generator_url: str = ""


class AlertmanagerClient(HttpClient):
    """One Alertmanager. Errors: Unavailable, Refused."""

    def __init__(self, url: str, settings: AlertmanagerSettings) -> None:
        self._url = URL(f"{url}/api/v2/alerts")
        self._bearer_file = settings.bearer_file
        self._ca_file = settings.ca_file
        self.source = f"alertmanager at {url}"

    async def alerts(self, labels: Mapping[str, str], *, deadline: Deadline) -> Sequence[HeldAlert]:
        """The alerts with these labels that have not resolved, the silenced and the inhibited
        too.
        """
        wanted = [("filter", f"{name}={_quoted(value)}") for name, value in labels.items()]
        body = await self._asked("GET", deadline, params=wanted)
        try:
            return [_held(item) for item in _list(http.parsed_any(body, self.source))]
        except (KeyError, TypeError) as error:
            raise Unavailable(
                Reason.WRONG_ANSWER, f"{self.source}: not a list of alerts"
            ) from error

    async def post(self, alerts: Sequence[PostedAlert], *, deadline: Deadline) -> None:
        """Tells of alerts. Doing it again changes nothing but their end."""
        await self._asked("POST", deadline, json=[_as_json(alert) for alert in alerts])

    def _connector(self) -> aiohttp.BaseConnector:
        cafile = str(self._ca_file) if self._ca_file else None
        context = ssl.create_default_context(cafile=cafile) if cafile else True
        return aiohttp.TCPConnector(ssl=context)

    async def _asked(self, method: str, deadline: Deadline, **what: Any) -> bytes:  # Any: aiohttp's
        token = secret(self._bearer_file)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with deadline.enforced(self.source):
            try:
                async with self._opened().request(
                    method,
                    self._url,
                    headers=headers,
                    timeout=http.timeout(deadline),
                    allow_redirects=False,  # a POST would come back as a GET, and look taken
                    **what,
                ) as response:
                    body = bytearray()
                    async for chunk in response.content.iter_any():
                        body += chunk
                        if len(body) > _MOST_BYTES:
                            told = f"{self.source}: more than {_MOST_BYTES} bytes"
                            raise Unavailable(Reason.WRONG_ANSWER, told)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise http.from_transport(error, self.source) from error
        if response.status >= 300:
            told = body[: http.MAX_DETAIL].decode(errors="replace")
            raise http.from_status(response.status, told, response.headers.get("Retry-After"))
        return bytes(body)


def _quoted(value: str) -> str:
    """A value as a matcher takes it; a label is a stranger's text."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _list(value: object) -> list[Any]:  # Any: JSON
    if not isinstance(value, list):
        raise TypeError(f"a {type(value).__name__}")
    return value


def _held(item: Any) -> HeldAlert:  # Any: JSON
    status = item["status"]
    return HeldAlert(
        str(item["fingerprint"]),
        tuple(map(str, status.get("silencedBy") or ())),
        tuple(map(str, status.get("inhibitedBy") or ())),
    )


def _as_json(alert: PostedAlert) -> dict[str, Any]:  # Any: JSON
    return {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "startsAt": _instant(alert.starts_at),
        "endsAt": _instant(alert.ends_at),
        "generatorURL": alert.generator_url,
    }


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
