"""Do an incident's alerts still fire, and may they be acted on? Every
Alertmanager of a pair is asked.

Alerts are not gossiped between the two, so one that a single Alertmanager holds fires.
Silences are, with a delay, so a silence or an inhibition that a single one knows of counts:
somebody wants to be left in peace.
"""

import asyncio
from collections.abc import Mapping, Sequence

from service.clients.alertmanager import AlertmanagerClient, HeldAlert
from service.kit.deadline import Deadline
from service.model.alert import Alert, Standing
from service.model.errors import ParamedicError

_MOST_QUESTIONS = 20  # an incident's alerts have few names
_ASKED_BY = ("alertname", "namespace")


async def standing(
    alertmanagers: Sequence[AlertmanagerClient], alerts: Sequence[Alert], *, deadline: Deadline
) -> Standing:
    """How the alerts stand. Raises Unavailable or Refused where those that answer do not tell."""
    answers = await asyncio.gather(
        *(_held(client, alerts, deadline) for client in alertmanagers), return_exceptions=True
    )
    away = [answer for answer in answers if isinstance(answer, ParamedicError)]
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, ParamedicError):
            raise answer
    known = [answer for answer in answers if not isinstance(answer, BaseException)]
    found = judged([alert.fingerprint for alert in alerts], known)
    if away and not (found.active or found.silenced or found.inhibited):
        raise away[0]  # what the others do not hold, this one may
    return found


def judged(fingerprints: Sequence[str], answers: Sequence[Mapping[str, HeldAlert]]) -> Standing:
    """The alerts by how they stand, of what every Alertmanager holds. Pure."""
    active = silenced = inhibited = 0
    for fingerprint in dict.fromkeys(fingerprints):
        held = [answer[fingerprint] for answer in answers if fingerprint in answer]
        if any(alert.silenced_by for alert in held):
            silenced += 1
        elif any(alert.inhibited_by for alert in held):
            inhibited += 1
        elif held:
            active += 1
    return Standing(active, silenced, inhibited)


async def _held(
    client: AlertmanagerClient, alerts: Sequence[Alert], deadline: Deadline
) -> Mapping[str, HeldAlert]:
    questions = {
        tuple((name, alert.labels[name]) for name in _ASKED_BY if name in alert.labels)
        for alert in alerts
    }
    # Nothing to ask by: all that it holds is asked for once.
    asked = sorted(questions) if len(questions) <= _MOST_QUESTIONS else [()]
    found: dict[str, HeldAlert] = {}
    for question in asked:
        held = await client.alerts(dict(question), deadline=deadline)
        found |= {alert.fingerprint: alert for alert in held}
    return found
