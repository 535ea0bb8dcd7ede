"""Chapters 7.1, 7.2, 7.3 and 0 on recorded clusters: dependencies first,
backups before volumes, the worst first.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from service.desk.quick import WIDTH, Weight, as_json, as_text, quick
from service.diagnose.chapter import Look
from service.diagnose.chapters.quick import CHAPTER as QUICK
from service.diagnose.chapters.quick import QuickEvidence, QuickParameters
from service.diagnose.probes.backups import Backups, summary
from service.diagnose.probes.database_rows import DatabaseRows
from service.diagnose.probes.endpoints import Endpoints
from service.diagnose.probes.outage import Outage
from service.diagnose.probes.volumes import Volumes
from service.diagnose.sources import Sources
from service.kit.clock import VirtualClock
from service.kit.deadline import Deadline
from service.model.evidence import Evidence, Known, Unknown
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from tests.servers.faults import Asked
from tests.wire.diagnosing import (
    RECORDED_AT,
    deployment,
    diagnosed,
    playbook,
    proposed,
    statefulset,
)
from tests.wire.recorded import NAMESPACE, Recorded, playing

OUTAGE, PERSISTENCE = playbook("7.1-service-outage.yaml"), playbook("7.2-data-loss-prevention.yaml")
CLAIM = playbook("7.2-claim-at-risk.yaml")
ABSENT, RECOVERY = playbook("7.2-backup-absent.yaml"), playbook("7.3-complete-recovery.yaml")
SERVICES = ("normalization-service", "enrichment-service", "aggregation-service")
TARGET, CLICKHOUSE = deployment("normalization-service"), statefulset("clickhouse")

Change = Callable[[Recorded], None]


def known(evidence: Evidence, **values: object) -> Evidence:
    readings = {n: Known(v, n, RECORDED_AT, 0.01) for n, v in values.items()}
    return replace(evidence, **readings)  # type: ignore[arg-type] # readings of this evidence


def all_crash(cluster: Recorded) -> None:
    """None of the three services has a ready pod, and each crash-loops."""
    for service in SERVICES:
        status = cluster.collection("deployments")[service]["status"]
        status |= {"readyReplicas": 0, "availableReplicas": 0}
    for pod in cluster.collection("pods").values():
        if not pod["metadata"]["name"].startswith(SERVICES):
            continue
        for condition in pod["status"]["conditions"]:
            condition["status"] = "False" if condition["type"] == "Ready" else condition["status"]
        pod["status"]["containerStatuses"][0] |= {
            "ready": False,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        }


def kafka_too(cluster: Recorded) -> None:
    all_crash(cluster)
    cluster.collection("statefulsets")["kafka"]["status"]["readyReplicas"] = 0


def config_gone(cluster: Recorded) -> None:
    all_crash(cluster)
    del cluster.collection("configmaps")["carbon-ingestion-config"]


def nothing(cluster: Recorded) -> None:
    """As it was recorded."""


ANSWER, SILENCE = Endpoints(True, (), 0.1, (), {}), Endpoints(False, SERVICES, None, (), {})


@pytest.mark.parametrize(
    ("change", "health", "tried", "rung", "says"),
    [
        pytest.param(all_crash, SILENCE, {}, "restart-in-order", "restart in order normalization-service, ",
                     id="all down and what they need is well: restarted in order"),
        pytest.param(all_crash, SILENCE, {"restart-in-order": 1}, "still-down",
                     "normalization-service is still down", id="once, then a person"),
        pytest.param(kafka_too, SILENCE, {}, "dependency-down", "StatefulSet/kafka has no ready pod",
                     id="Kafka is down too: not restarted"),
        pytest.param(config_gone, SILENCE, {}, "cause-that-no-restart-mends",
                     "ConfigMap carbon-ingestion-config does not exist", id="what no restart mends: a person"),
        pytest.param(nothing, SILENCE, {}, "endpoints-silent", "normalization-service does not answer",
                     id="ready pods behind silent endpoints: a person"),
        pytest.param(nothing, ANSWER, {}, None, "", id="healthy: nothing to do"),
    ],
)  # fmt: skip
async def test_a_cause_of_chapter_7_1_leads_to_its_rung(
    change: Change,
    health: Endpoints,
    tried: Mapping[str, int],
    rung: str | None,
    says: str,
    tmp_path: Path,
) -> None:
    cluster = Recorded()
    change(cluster)
    evidence = await diagnosed(cluster, TARGET, OUTAGE, tmp_path, endpoints={})
    proposal = proposed(known(evidence, health=health), TARGET, OUTAGE, tried)
    assert proposal.rung == rung, [(c.rung, c.reason, c.detail) for c in proposal.considered]
    request = proposal.request
    assert says in f"{request} {getattr(request, 'commands', '')}"


async def test_services_that_are_stopped_on_purpose_are_no_outage(tmp_path: Path) -> None:
    cluster = Recorded()
    for service in SERVICES:
        cluster.collection("deployments")[service]["spec"]["replicas"] = 0
        cluster.collection("deployments")[service]["status"]["readyReplicas"] = 0
    evidence = await diagnosed(cluster, TARGET, OUTAGE, tmp_path, endpoints={})
    seen: Outage = evidence.readings()["services"].value  # type: ignore[union-attr,assignment]
    assert (seen.down, seen.stopped, seen.all_down) == ((), SERVICES, False)
    assert proposed(known(evidence, health=SILENCE), TARGET, OUTAGE).rung is None


# ---------------------------------------------------------------------- 7.2, 7.3

DISK = [{"free_space": 900, "total_space": 1000}]


def row(status: str, hours_ago: float, *, size: int = 100, error: str = "") -> dict[str, Any]:
    ended = int((RECORDED_AT - timedelta(hours=hours_ago)).timestamp())
    return {
        "id": f"b{hours_ago}", "name": f"Disk('backups', '{hours_ago}')", "status": status,
        "ended": 0 if status == "CREATING_BACKUP" else ended, "total_size": size, "error": error,
    }  # fmt: skip


def known_backups(*rows: dict[str, Any], disk: bool = True) -> Backups:
    return summary(rows, "backups", DISK if disk else [], 0, RECORDED_AT)


YOUNG, OLD = known_backups(row("BACKUP_CREATED", 1)), known_backups(row("BACKUP_CREATED", 30))


def test_the_newest_good_backup_is_the_newest_that_ended_well_and_has_a_size() -> None:
    seen = known_backups(
        row("CREATING_BACKUP", 0), row("BACKUP_FAILED", 1, error="disk full, password='hunter2'"),
        row("BACKUP_CREATED", 2, size=0), row("BACKUP_CREATED", 3), row("BACKUP_FAILED", 4),
    )  # fmt: skip
    assert (seen.newest_good, seen.newest_good_age_s, seen.newest_good_bytes) == (
        "Disk('backups', '3')",
        10_800.0,
        100,
    )
    assert (seen.running, seen.good, seen.failed_since, seen.disk_free_bytes) == (1, 1, 1, 900)
    assert "disk full" in seen.last_error
    assert "hunter2" not in str(seen)


def test_no_backup_is_no_age() -> None:
    seen = known_backups()
    assert (seen.good, seen.newest_good_age_s, seen.newest_good_at, seen.newest_good) == (
        0,
        None,
        None,
        "",
    )


def claims(scenario_until: str) -> Recorded:
    """The claims of recording 13i3, moved into the platform's namespace."""
    recorded = Recorded("13i3_volume_phases", scenario_until)
    moved = recorded.collection("persistentvolumeclaims", "carbon-volumes")
    recorded.collection("persistentvolumeclaims").clear()
    recorded.collection("persistentvolumeclaims").update(moved)
    return recorded


@pytest.mark.parametrize(
    ("cluster", "backups", "tried", "rung", "says"),
    [
        pytest.param(Recorded(), OLD, {}, "back-up", "carbon_ingestion", id="the newest backup is old: one is made"),
        pytest.param(Recorded(), known_backups(), {}, "back-up", "carbon_ingestion", id="none is known: one is made"),
        pytest.param(Recorded(), known_backups(row("CREATING_BACKUP", 0)), {}, "backup-running", "under way",
                     id="one runs: no second one"),
        pytest.param(Recorded(), known_backups(disk=False), {}, "backup-disk-missing", "no disk backups",
                     id="no disk for backups: a person"),
        pytest.param(claims("pvc-lost"), YOUNG, {}, "back-up", "", id="a claim is lost: first the rest is saved"),
        pytest.param(claims("pvc-lost"), YOUNG, {"back-up": 1}, "claim-lost", "data-kafka-0 has lost its volume",
                     id="a claim is lost, and saved is what could be: a person"),
        pytest.param(claims("pvc-pending"), YOUNG, {"back-up": 1}, "claim-pending", "data-kafka-0 gets no volume",
                     id="a claim that gets no volume: a person"),
        pytest.param(claims("pvc-terminating"), YOUNG, {"back-up": 1}, "claim-pending", "gets no volume",
                     id="a claim of a class that is not there: a person"),
        pytest.param(Recorded(), YOUNG, {}, None, "", id="healthy: nothing to do"),
    ],
)  # fmt: skip
async def test_a_cause_of_chapter_7_2_leads_to_its_rung(
    cluster: Recorded,
    backups: Backups,
    tried: Mapping[str, int],
    rung: str | None,
    says: str,
    tmp_path: Path,
) -> None:
    evidence = await diagnosed(cluster, CLICKHOUSE, PERSISTENCE, tmp_path)
    proposal = proposed(known(evidence, backups=backups), CLICKHOUSE, PERSISTENCE, tried)
    assert proposal.rung == rung, [(c.rung, c.reason, c.detail) for c in proposal.considered]
    assert says in str(proposal.request or "")


@pytest.mark.parametrize(
    ("changes", "rung", "says"),
    [
        ({"failed_volumes": ("pv-13-a",)}, "volume-failed", "pv-13-a"),
        ({"healthy": False}, "claim-deleting", "deleted"),
    ],
)
async def test_a_volume_in_trouble_is_named_once_a_backup_was_made(
    changes: Mapping[str, Any], rung: str, says: str, tmp_path: Path
) -> None:
    evidence = await diagnosed(Recorded(), CLICKHOUSE, PERSISTENCE, tmp_path)
    volumes: Volumes = evidence.readings()["volumes"].value  # type: ignore[union-attr,assignment]
    troubled = replace(volumes, **{"healthy": False, **changes})
    seen = known(evidence, backups=YOUNG, volumes=troubled)
    proposal = proposed(seen, CLICKHOUSE, PERSISTENCE, {"back-up": 1})
    assert proposal.rung == rung, [(c.rung, c.reason, c.detail) for c in proposal.considered]
    assert says in str(proposal.request)


@pytest.mark.parametrize(
    ("until", "phases", "released"),
    [
        ("pv-bound", {"data-kafka-0": ("Bound", "Bound", False)}, ()),
        ("pvc-terminating", {"data-kafka-0": ("Bound", "Bound", True)}, ()),
        ("pv-released", {}, ("pv-13-a",)),
        ("pvc-lost", {"data-kafka-0": ("Lost", "Missing", False)}, ()),
    ],
)
async def test_a_recorded_volume_is_seen_in_its_phase(
    until: str,
    phases: Mapping[str, tuple[str, str, bool]],
    released: tuple[str, ...],
    tmp_path: Path,
) -> None:
    target = statefulset("clickhouse", "carbon-volumes")
    cluster = Recorded("13i3_volume_phases", until)
    if until == "pvc-lost":
        cluster.objects["/api/v1/persistentvolumes"].pop("pv-13-a", None)
    evidence = await diagnosed(cluster, target, PERSISTENCE, tmp_path)
    seen: Volumes = evidence.readings()["volumes"].value  # type: ignore[union-attr,assignment]
    found = {c.name: (c.phase, c.volume_phase, c.deleting) for c in seen.claims if c.name in phases}
    assert found == phases
    assert seen.released_volumes == released


async def test_backups_that_fail_and_backups_that_never_were_are_told_apart(tmp_path: Path) -> None:
    evidence = await diagnosed(Recorded(), CLICKHOUSE, ABSENT, tmp_path)
    failing = known(evidence, backups=known_backups(row("BACKUP_FAILED", 1, error="no space left")))
    proposal = proposed(failing, CLICKHOUSE, ABSENT)
    assert (proposal.rung, "no space left" in str(proposal.request)) == ("backup-fails", True)
    never = proposed(known(evidence, backups=known_backups()), CLICKHOUSE, ABSENT)
    assert never.rung == "no-backup"


def gone(cluster: Recorded) -> None:
    """The recording deletes the volume without reading it once more."""
    cluster.objects["/api/v1/persistentvolumes"].pop("pv-13-a", None)


def failed(cluster: Recorded) -> None:
    """No recording has a volume that failed."""
    cluster.objects["/api/v1/persistentvolumes"]["pv-13-a"]["status"]["phase"] = "Failed"


@pytest.mark.parametrize(
    ("until", "change", "rung", "says"),
    [
        pytest.param("pvc-lost", gone, "claim-lost", "has lost its volume pv-13-a",
                     id="its volume is gone: a person, with the names of both"),
        pytest.param("pv-bound", failed, "volume-failed", "Volume pv-13-a of claim data-kafka-0 has failed",
                     id="its volume failed: a person, with the patch that keeps it"),
        pytest.param("pvc-terminating", nothing, "claim-deleting", "Claim data-kafka-0 is being deleted",
                     id="it is being deleted: a person, with the patch that keeps its volume"),
        pytest.param("pvc-pending-events", nothing, "claim-pending", "no persistent volumes available",
                     id="it gets no volume: a person, with what Kubernetes says"),
        pytest.param("pv-bound", nothing, None, "", id="bound: nothing to say"),
    ],
)  # fmt: skip
async def test_a_claim_that_no_workload_mounts_goes_to_a_person_with_its_name(
    until: str, change: Change, rung: str | None, says: str, tmp_path: Path
) -> None:
    target = Target(TargetKind.PERSISTENT_VOLUME_CLAIM, "carbon-volumes", "data-kafka-0")
    cluster = Recorded("13i3_volume_phases", until)
    change(cluster)
    evidence = await diagnosed(cluster, target, CLAIM, tmp_path)
    proposal = proposed(evidence, target, CLAIM)
    assert proposal.rung == rung, [(c.rung, c.reason, c.detail) for c in proposal.considered]
    assert says in str(proposal.request or "")
    assert proposal.request is None or "data-kafka-0" in str(proposal.request)


class OneNamespace(Recorded):
    """As a role for one namespace sees it: volumes, which have none, are not for it."""

    def answer(self, asked: Asked) -> web.Response:
        if asked.path.startswith("/api/v1/persistentvolumes"):
            return web.json_response({"message": "persistentvolumes is forbidden"}, status=403)
        return super().answer(asked)


async def test_a_volume_that_may_not_be_read_is_named_all_the_same(tmp_path: Path) -> None:
    target = Target(TargetKind.PERSISTENT_VOLUME_CLAIM, "carbon-volumes", "data-kafka-0")
    cluster = OneNamespace("13i3_volume_phases", "pv-bound")
    evidence = await diagnosed(cluster, target, CLAIM, tmp_path)
    proposal = proposed(evidence, target, CLAIM)
    assert proposal.rung == "volume-not-readable"
    assert "volume pv-13-a" in str(proposal.request)


async def test_a_claim_that_is_gone_is_in_no_danger_any_more(tmp_path: Path) -> None:
    target = Target(TargetKind.PERSISTENT_VOLUME_CLAIM, "carbon-volumes", "data-nobody")
    evidence = await diagnosed(Recorded(), target, CLAIM, tmp_path)
    proposal = proposed(evidence, target, CLAIM)
    assert (proposal.rung, proposal.reason) == (None, Reason.TARGET_MISSING)


@pytest.mark.parametrize(
    ("backups", "rows", "rung"),
    [
        pytest.param(YOUNG, 0, "recover", id="a good backup, and nothing in the way"),
        pytest.param(known_backups(), 0, "no-backup", id="no backup"),
        pytest.param(YOUNG, 7, "data-in-the-way", id="data that a restore would not write over"),
    ],
)
async def test_a_recovery_needs_a_good_backup(
    backups: Backups, rows: int, rung: str, tmp_path: Path
) -> None:
    cluster = Recorded()
    all_crash(cluster)
    evidence = await diagnosed(cluster, CLICKHOUSE, RECOVERY, tmp_path, endpoints={})
    data = DatabaseRows("carbon_ingestion", 2, rows)
    seen = known(evidence, backups=backups, health=SILENCE, data=data)
    assert proposed(seen, CLICKHOUSE, RECOVERY).rung == rung
    replicas = evidence.readings()["workloads"].value.replicas  # type: ignore[union-attr]
    assert [replicas[f"Deployment/{s}"] for s in SERVICES] == [3, 2, 2]


# ---------------------------------------------------------------------- 0


async def looked(cluster: Recorded, target: Target, folder: Path) -> QuickEvidence:
    async with playing(cluster, folder) as (reader, _):
        clock = VirtualClock(RECORDED_AT)
        sources = Sources(kubernetes=reader)
        look = Look(sources, target, Deadline.after(10.0), clock, lambda *_: None)
        return await QUICK.diagnose(look, QuickParameters())


async def test_quick_diagnostics_of_a_healthy_platform_find_nothing(tmp_path: Path) -> None:
    cluster = Recorded()
    cluster.logs = dict.fromkeys(cluster.logs, (200, ""))
    seen = await looked(cluster, TARGET, tmp_path)
    answer = quick(seen, NAMESPACE, RECORDED_AT)
    assert answer.findings == ()
    assert "nothing is wrong" in as_text(answer)


async def test_quick_diagnostics_name_what_is_wrong_first_and_what_nobody_could_tell_last(
    tmp_path: Path,
) -> None:
    cluster = Recorded("02k_many_failures_at_once")
    for name in ("kafka", "normalization-service"):
        kind = "statefulsets" if name == "kafka" else "deployments"
        cluster.collection(kind)[name]["status"] |= {"readyReplicas": 0}
    seen = await looked(cluster, TARGET, tmp_path)
    late = Unknown(Reason.LATE, "kafka", RECORDED_AT, 5.0, "no answer in time")
    answer = quick(replace(seen, kafka=late), NAMESPACE, RECORDED_AT)
    told = [f.what for f in answer.findings]
    assert told[0] == "StatefulSet/kafka is down: 0 of 3 ready"
    assert any("connector-registry" in t and "CreateContainerConfigError" in t for t in told)
    assert any("ImagePullBackOff" in t for t in told)
    assert any("was killed for its memory" in t for t in told)
    assert told[-1] == "kafka could not be read, late: no answer in time"
    assert [f.weight for f in answer.findings] == sorted(
        (f.weight for f in answer.findings), key=list(Weight).index
    )
    text = as_text(answer)
    assert "look first: StatefulSet/kafka is down" in text
    assert max(len(line) for line in text.splitlines() if "$ kubectl" not in line) <= WIDTH


async def test_a_node_that_is_lost_comes_before_all_that_it_took_with_it(tmp_path: Path) -> None:
    seen = await looked(Recorded("02j_node_not_ready", "list-nodes"), TARGET, tmp_path)
    answer = quick(seen, NAMESPACE, RECORDED_AT)
    assert answer.findings[0].what.startswith("node carbon-node-")
    assert answer.findings[0].what.endswith("is not ready")


async def test_quick_diagnostics_as_json_hold_all_that_was_seen(tmp_path: Path) -> None:
    seen = await looked(Recorded("02k_many_failures_at_once"), TARGET, tmp_path)
    answer = quick(seen, NAMESPACE, datetime(2026, 1, 1, tzinfo=UTC))
    told = json.loads(json.dumps(as_json(answer, seen), allow_nan=False))
    assert set(told["evidence"]) == set(QuickEvidence.groups())
    assert told["evidence"]["kafka"]["unknown"] == "not_configured"
    assert told["evidence"]["nodes"]["value"]["total"] == 3
