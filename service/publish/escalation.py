"""Calls for help: alerts of Paramedic's own, posted to every Alertmanager,
for what waits for a person.

What waits is in the store, so nothing is lost with a process or while a receiver is away:
the journal says when to look, and each look posts what is new and ends what is over.
Alerts end by themselves when nobody renews them; so they are renewed, at each Alertmanager
by itself, for as long as they are open. One Alertmanager that takes a call is enough for
it to count as told: the other one of a pair gets it as soon as it is back.
"""

import asyncio
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from service.clients.alertmanager import AlertmanagerClient, PostedAlert
from service.kit.clock import Clock
from service.kit.deadline import Deadline
from service.model.errors import ParamedicError
from service.model.journal import JournalEntry
from service.publish.calls import Call, Link, call_of
from service.publish.sink import Outlets, Sink, SinkKind
from service.store.escalations import Escalations, Waiting

log = structlog.get_logger()

NAME = "alertmanager"
_ENDS = ("moved", "proposed", "settled")  # steps after which somebody else may be waited for
_PART = 200  # alerts of one request
_MISSED_S = 10.0  # an Alertmanager that did not take a call is asked again after this


class CallForHelp:
    """The sink. `deliver` and `tend` are called by one follower, one after the other."""

    def __init__(
        self,
        alertmanagers: Sequence[AlertmanagerClient],
        escalations: Escalations,
        clock: Clock,
        link: Link,
        keep_firing_s: float,
    ) -> None:
        self._clients = alertmanagers
        self._escalations = escalations
        self._clock = clock
        self._link = link
        self._keep = timedelta(seconds=keep_firing_s)
        self._renew_s = keep_firing_s / 3
        self._standing: dict[str, tuple[Waiting, Call]] = {}  # by incident: what was posted last
        self._due = [clock.monotonic()] * len(alertmanagers)  # when each is told of all again

    @property
    def name(self) -> str:
        return NAME

    async def deliver(self, steps: Sequence[JournalEntry], deadline: Deadline) -> None:
        """Posts what waits for a person since these steps, and ends what does not any more.

        Raises Unavailable or Refused when no Alertmanager has taken it.
        """
        if not any(step.kind in _ENDS for step in steps):
            return
        known = dict(self._standing)
        # What another process may have posted, or this one before it died.
        past = [await self._as_posted(incident_id, was) for incident_id, was in _over(steps)]
        open_now = await self._open_now({step.incident_id for step in steps if step.kind in _ENDS})
        new = [found[1] for i, found in open_now.items() if known.get(i) != found]
        posted = [call for _, call in known.values()] + [call for call in past if call is not None]
        ended = _ended(posted, open_now)
        now = self._clock.now()
        alerts = [*self._firing(new, now), *_resolved(ended, now)]
        if alerts:
            await self._post_anywhere(alerts, deadline)
        self._standing = open_now

    async def tend(self, deadline: Deadline) -> None:
        """Renews all calls at each Alertmanager whose time has come.
        Raises nothing of the model's errors.
        """
        due = [n for n, at in enumerate(self._due) if at <= self._clock.monotonic()]
        if not due:
            return
        open_now, now = await self._open_now(), self._clock.now()
        ended = _ended([call for _, call in self._standing.values()], open_now)
        calls = [call for _, call in open_now.values()]
        alerts = [*self._firing(calls, now), *_resolved(ended, now)]
        taken = await asyncio.gather(*(self._post(n, alerts, deadline) for n in due))
        for n, error in zip(due, taken, strict=True):
            if error is None:
                self._due[n] = self._clock.monotonic() + self._renew_s
        if any(error is None for error in taken):  # or else what has ended is to be told yet
            self._standing = open_now

    async def _open_now(self, moved: Set[str] = frozenset()) -> dict[str, tuple[Waiting, Call]]:
        """What waits now; what was told of an incident is read again only when it stands
        elsewhere, or has `moved`:
        a proposal may have come in the place of another one.
        """
        waiting = await self._escalations.waiting()
        known = {w.incident_id: w for w, _ in self._standing.values()}
        fresh = [
            w.incident_id
            for w in waiting
            if known.get(w.incident_id) != w or w.incident_id in moved
        ]
        told = await self._escalations.told(fresh) if fresh else {}
        return {
            w.incident_id: (w, call_of(w, told[w.incident_id], self._link))
            if w.incident_id in told
            else self._standing[w.incident_id]
            for w in waiting
        }

    async def _as_posted(self, incident_id: str, was: str) -> Call | None:
        """The call of an incident as it stood when it was in that state;
        None where its row is gone.
        """
        found = await self._escalations.named([incident_id])
        if not found:
            return None
        told = (await self._escalations.told([incident_id]))[incident_id]
        then = replace(found[0], state=was, reason="")
        return call_of(then, told, self._link)

    def _firing(self, calls: Sequence[Call], now: datetime) -> list[PostedAlert]:
        return [
            PostedAlert(c.labels, c.annotations, min(c.since, now), now + self._keep, c.link)
            for c in calls
        ]

    async def _post_anywhere(self, alerts: Sequence[PostedAlert], deadline: Deadline) -> None:
        posting = (self._post(n, alerts, deadline) for n in range(len(self._clients)))
        errors = await asyncio.gather(*posting)
        if all(error is not None for error in errors):
            raise next(error for error in errors if error is not None)

    async def _post(
        self, number: int, alerts: Sequence[PostedAlert], deadline: Deadline
    ) -> ParamedicError | None:
        """Tells one Alertmanager. One that did not take it is told of everything again, soon."""
        client, failed = self._clients[number], None
        try:
            for start in range(0, len(alerts), _PART):
                await client.post(alerts[start : start + _PART], deadline=deadline)
        except ParamedicError as error:
            failed = error
            log.warning("call for help not taken", by=client.source, detail=str(error)[:300])
            self._due[number] = self._clock.monotonic() + _MISSED_S
        return failed


def _left(data: Mapping[str, object]) -> bool:
    return data["was"] in ("escalated", "waiting") and data["state"] != data["was"]


def _over(steps: Sequence[JournalEntry]) -> list[tuple[str, str]]:
    """Incidents that have left a state in which they wait for a person, and which state it was.
    A proposal that is taken up leaves no move behind, only its own end.
    """
    left = [
        (s.incident_id, str(s.data["was"])) for s in steps if s.kind == "moved" and _left(s.data)
    ]
    used = [(s.incident_id, "waiting") for s in steps if s.kind == "settled"]
    return list(dict.fromkeys([*left, *used]))


def _ended(posted: Sequence[Call], open_now: Mapping[str, tuple[Waiting, Call]]) -> list[Call]:
    """The calls that stand no more, each once, also where another one has come in their place."""
    now = {_identity(call) for _, call in open_now.values()}
    over = {_identity(call): call for call in posted}
    return [call for identity, call in over.items() if identity not in now]


def _identity(call: Call) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(call.labels.items()))


def _resolved(calls: Sequence[Call], now: datetime) -> list[PostedAlert]:
    return [PostedAlert(c.labels, c.annotations, min(c.since, now), now, c.link) for c in calls]


def _bind(outlets: Outlets) -> Sink | None:
    if not outlets.alertmanagers or outlets.escalations is None:
        return None
    return CallForHelp(
        outlets.alertmanagers,
        outlets.escalations,
        outlets.clock,
        outlets.link,
        outlets.keep_firing_s,
    )


SINK = SinkKind(NAME, _bind)
