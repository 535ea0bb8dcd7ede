"""A diagnosis of a recorded cluster and what the shipped playbook proposes for it:
the way from answers to a rung.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.clients.clickhouse import ClickHouseClient
from service.clients.prometheus import PrometheusClient
from service.decide.ladder import propose
from service.diagnose import CHAPTERS
from service.diagnose.chapter import Look
from service.diagnose.sources import Sources
from service.kit.clock import VirtualClock
from service.kit.deadline import Deadline
from service.model.evidence import Evidence
from service.model.playbook import Playbook
from service.model.ruling import Proposal
from service.model.target import Target, TargetKind
from tests.unit.made import shipped_playbooks
from tests.wire.recorded import NAMESPACE, Recorded, playing

PLAYBOOKS = Path(__file__).resolve().parents[2] / "rules" / "playbooks"
SHIPPED = tuple(shipped_playbooks().values())
RECORDED_AT = datetime(2026, 11, 23, 18, 50, tzinfo=UTC)


def playbook(file: str) -> Playbook:
    """The shipped playbook in this file."""
    return next(p for p in SHIPPED if file in p.source)


def deployment(name: str, namespace: str = NAMESPACE) -> Target:
    return Target(TargetKind.DEPLOYMENT, namespace, name)


def statefulset(name: str, namespace: str = NAMESPACE) -> Target:
    return Target(TargetKind.STATEFULSET, namespace, name)


async def diagnosed(
    cluster: Recorded,
    target: Target,
    of: Playbook,
    folder: Path,
    *,
    prometheus: PrometheusClient | None = None,
    clickhouse: ClickHouseClient | None = None,
    **params: Any,  # Any: each chapter has parameters of its own
) -> Evidence:
    """The evidence that the playbook's chapter gathers; `params` replace those of its `with:`."""
    chapter = CHAPTERS[of.diagnose]
    async with playing(cluster, folder) as (reader, _):
        sources = Sources(kubernetes=reader, prometheus=prometheus, clickhouse=clickhouse)
        clock = VirtualClock(RECORDED_AT)
        look = Look(sources, target, Deadline.after(10.0), clock, lambda *_: None)
        filled = {**of.params_for(target), **params}
        evidence: Evidence = await chapter.diagnose(look, chapter.parameters(**filled))
    return evidence


def proposed(
    evidence: Evidence, target: Target, of: Playbook, tried: Mapping[str, int] | None = None
) -> Proposal:
    """What the ladder proposes."""
    return propose(of, target, evidence, tried or {}, RECORDED_AT)
