"""Paramedic: an alert comes in, is kept, diagnosed, remedied within limits,
and proved healed or escalated.

The data path is the listing of this folder: intake -> route -> diagnose -> decide -> guard -> act
-> verify, with record beside it and store under it. `pipeline.py` tells it as a story.

Glossary, as Alertmanager and Kubernetes use the words:
alert        one label set that a rule says fires; its fingerprint names the label set
episode      one firing of one alert: (fingerprint, startsAt)
webhook      one POST of Alertmanager: a group of alerts
incident     one target under one playbook, from its first alert to its close
playbook     which alerts, which target, how to diagnose, the ladder of remedies, what healed is
rung         one remedy of a ladder
reading      what one probe saw: Known, or Unknown with a reason
ruling       what the guard says to a proposed action
intent       the promise to act once, durable before the action
ledger       every intent with its result and its outcome; budgets are counted from it
"""
