"""One guard decision with all guards over 100,000 lines of the ledger:
the history is read and every guard asked.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from service.guard.chain import CHAIN, rule
from service.guard.question import Question
from service.kit.clock import VirtualClock
from service.model.action import Mode
from service.model.evidence import Known
from service.model.incident import Incident
from service.model.objects import Surroundings, Survey
from service.model.ruling import Proposal
from service.store.codec import plain
from service.store.history import Scopes, history
from service.store.schema import ledger
from tests.bench.results import Figure, save
from tests.path.world import World, world
from tests.unit.made import SCALE, TARGET

LINES, ROUNDS = 100_000, 300


def _insert(rows: Sequence[Mapping[str, object]], tx: sa.Connection) -> int:
    return tx.execute(sa.insert(ledger), rows).rowcount


async def _filled(made: World, incident: Incident) -> None:
    """A week of actions: a tenth on the incident's own target and playbook,
    a few without an outcome.
    """
    now = made.clock.now()

    def line(n: int) -> dict[str, object]:
        at = now - timedelta(seconds=6 * n + 1)
        mine = n % 10 == 0
        return {
            "action_id": f"act-{n}", "incident_id": incident.id,
            "playbook": incident.playbook if mine else f"playbook-{n % 20}",
            "target_key": TARGET.key if mine else f"Deployment/carbon-ingestion/service-{n % 500}",
            "namespace": TARGET.namespace, "rung": f"rung-{n % 3}", "kind": "scale",
            "request": plain(SCALE), "uids": {}, "mode": Mode.AUTO, "intended_at": at, "before": {},
            "progress": {}, "applied": "done", "applied_reason": "done", "applied_detail": "",
            "applied_at": at, "outcome": None if n in (3, 7) else "healed",
            "settled_at": None if n in (3, 7) else at,
        }  # fmt: skip

    for first in range(0, LINES, 10_000):
        rows = [line(n) for n in range(first, first + 10_000)]
        await made.database.write(partial(_insert, rows))


async def decisions(folder: Path) -> list[float]:
    """Milliseconds of each decision, on SQLite, within one transaction as `admit` has it.

    Of the thread's own time: what else runs on the machine is no part of a decision.
    """
    async with world(f"sqlite:///{folder}/paramedic.db", VirtualClock()) as made:
        await made.fires()
        incident = await made.only()
        await _filled(made, incident)
        playbook, policy, now = made.playbooks[0], made.policy(), made.clock.now()
        assert TARGET.ref is not None
        surveys = Known((Survey(TARGET.ref, "uid-1"),), "kubernetes", now, 0.0)
        around = Known(Surroundings(100, 3, 3), "kubernetes", now, 0.0)
        proposal = Proposal((), None, "rung-0", "scale", SCALE, Mode.AUTO, now)
        scopes = Scopes(
            playbook.limits, policy.in_namespace, policy.overall, policy.breaker, policy.attempts,
            "rung-0", ("kafka",),
        )  # fmt: skip

        def decide(tx: sa.Connection) -> list[float]:
            took: list[float] = []
            for _ in range(ROUNDS):
                began = time.thread_time()
                past = history(tx, incident, scopes, now)
                question = Question(
                    proposal, TARGET, playbook.limits, policy.under(past.control), past, "uid-1",
                    surveys, now, around=around, playbook=playbook.name,
                )  # fmt: skip
                ruling = rule(question)
                took.append((time.thread_time() - began) * 1_000)
                assert len(ruling.answers) == len(CHAIN)
            return took

        return await made.database.write(decide)


async def run() -> None:
    """Prints and saves the figures."""
    with tempfile.TemporaryDirectory() as folder:
        took = await decisions(Path(folder))
    figures = [
        Figure(
            f"a guard decision over {LINES:,} ledger lines (median)",
            "ms",
            [statistics.median(took)],
        ),
        Figure("the same, p99", "ms", [statistics.quantiles(took, n=100)[98]]),
    ]
    for figure in figures:
        print(figure, flush=True)
    save(figures)
