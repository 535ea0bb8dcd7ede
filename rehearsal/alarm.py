"""Stands in for Prometheus and Alertmanager in the demo, where neither can be installed by pip.

One rule, looked at every second; what it posts is what Alertmanager posts (the e2e
test uses the real two).
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import structlog

log = structlog.get_logger(__name__)

_NEVER = "0001-01-01T00:00:00Z"


@dataclass(slots=True)
class Alarm:
    """Fires `ConsumerLagHigh` while the lag is over `threshold`, after `pending_s`;
    keeps firing `keep_s` longer.
    """

    webhook_url: str
    measure: Callable[[], Awaitable[int]]
    labels: dict[str, str]
    threshold: int
    pending_s: float = 3.0
    keep_s: float = 3.0
    fired_at: datetime | None = None

    async def run(self) -> None:
        """Watches for ever."""
        above_since: float | None = None
        below_since: float | None = None
        loop = asyncio.get_running_loop()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            while True:
                now, lag = loop.time(), await self.measure()
                above_since = (above_since or now) if lag > self.threshold else None
                below_since = (below_since or now) if lag <= self.threshold else None
                if (
                    self.fired_at is None
                    and above_since is not None
                    and now - above_since >= self.pending_s
                ):
                    self.fired_at = datetime.now(UTC)
                    await self._post(session, "firing", lag)
                elif self.fired_at and below_since is not None and now - below_since >= self.keep_s:
                    await self._post(session, "resolved", lag)
                    self.fired_at = None
                await asyncio.sleep(1.0)

    async def _post(self, session: aiohttp.ClientSession, status: str, lag: int) -> None:
        while True:
            try:
                async with session.post(self.webhook_url, json=self._body(status, lag)) as answer:
                    if answer.status < 500:
                        return
            except aiohttp.ClientError as error:
                log.debug("webhook not delivered, again in a second", error=str(error))
            await asyncio.sleep(1.0)

    def _body(self, status: str, lag: int) -> dict[str, object]:
        started = self.fired_at.isoformat() if self.fired_at else ""
        fingerprint = hashlib.sha256(repr(sorted(self.labels.items())).encode()).hexdigest()[:16]
        summary = f"{self.labels['consumergroup']} is {lag:,} messages behind"
        alert = {
            "status": status, "labels": self.labels, "annotations": {"summary": summary},
            "startsAt": started, "endsAt": datetime.now(UTC).isoformat() if status == "resolved" else _NEVER,
            "generatorURL": "", "fingerprint": fingerprint,
        }  # fmt: skip
        return {
            "version": "4", "receiver": "paramedic", "status": status, "alerts": [alert], "groupLabels": {},
            "commonLabels": self.labels, "commonAnnotations": {}, "externalURL": "", "groupKey": "{}:{}",
            "truncatedAlerts": 0,
        }  # fmt: skip
