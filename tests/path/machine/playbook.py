"""Two playbooks for the same targets, their rungs in the modes that a sequence draws."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from service.model.action import Mode
from service.model.playbook import Budget, ConsentPlan, Playbook
from tests.unit.made import GOOD, playbooks_in

PER_TARGET, PER_PLAYBOOK, OVERALL = Budget(2, 600.0), Budget(3, 600.0), Budget(4, 900.0)
ALERTS = ("ConsumerLagHigh", "Other")  # a playbook each, on the same targets
PLAYBOOKS = ("lag", "other")
EXPIRES_S, VETO_S = 900.0, 120.0

LADDER = """\
remedies:
  - name: kill-query
    when: evidence.clickhouse.longest_query_s > 300.0
    do: {kill_query: {query_id: q1, user: analyst, min_elapsed_s: 300}}
    mode: auto
  - name: scale-out
    when: evidence.kafka.lag_growing
    do: {scale: {from: "{{ evidence.pods.desired }}", by: 1, max: 5}}
    mode: auto
    times: 3
    return: not_healed
  - name: ask-somebody
    when: evidence.pods.ready < 1
    do: {human: {say: no pod is ready}}
    mode: auto
healed: evidence.kafka.lag_total < 5000
worse: evidence.pods.ready < before.pods.ready
verify: {settle: 5s, within: 1m, every: 10s, readings: 2}
limits: {per_target: 2/10m, per_playbook: 3/10m, cooldown: 30s}
"""

# How the rungs that act are let: by themselves, or by people.
ALONE = (Mode.AUTO, ConsentPlan(EXPIRES_S, VETO_S))
ASKED = (Mode.APPROVE, ConsentPlan(EXPIRES_S, VETO_S))
ASKED_OF_TWO = (Mode.APPROVE, ConsentPlan(EXPIRES_S, VETO_S, two_people=True))
ANNOUNCED = (Mode.VETO, ConsentPlan(EXPIRES_S, VETO_S))
LETS = (ALONE, ASKED, ASKED_OF_TWO, ANNOUNCED)


@cache
def _loaded() -> tuple[Playbook, ...]:
    one = GOOD[: GOOD.index("remedies:")] + LADDER
    other = one.replace("playbook: lag", "playbook: other").replace(*ALERTS)
    with tempfile.TemporaryDirectory() as folder:
        return playbooks_in(Path(folder), one, other)


def playbooks(lets: Sequence[tuple[Mode, ConsentPlan]]) -> tuple[Playbook, ...]:
    """Both, with one entry of `LETS` for all rungs of each that act."""
    return tuple(
        replace(
            playbook,
            remedies=tuple(
                replace(rung, mode=mode, consent=plan) if rung.name != "ask-somebody" else rung
                for rung in playbook.remedies
            ),
        )
        for playbook, (mode, plan) in zip(_loaded(), lets, strict=True)
    )
