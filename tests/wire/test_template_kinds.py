"""Kinds that change a workload on the emulated cluster: their whole life, and what they refuse."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rehearsal.cluster import Cut, Fault
from service.act import KINDS
from service.act.executor import NotYet, Unsure
from service.act.pod_template import ACTION
from service.model.action import Applied
from service.model.reasons import Reason
from tests.wire.acting import (
    ALREADY,
    CONFIG,
    DONE,
    DRY,
    GOING_ON,
    SERVICE,
    Stage,
    dry,
    failed,
    intent,
    planned,
    platform,
    staged,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEPLOYMENT = f"/apis/apps/v1/namespaces/{SERVICE.namespace}/deployments/{SERVICE.name}"
CONFIG_MAP = f"/api/v1/namespaces/{SERVICE.namespace}/configmaps/{CONFIG}"


@pytest_asyncio.fixture(loop_scope="module")
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    seeds = platform(SERVICE.name, "enrichment-service", CONFIG, "schema-registry", "api-keys")
    async with staged(tmp_path, seeds) as made:
        yield made


def container(stage: Stage) -> Any:
    found = stage.get("deployments", SERVICE.name)
    return found["spec"]["template"]["spec"]["containers"][0]


def annotation(stage: Stage, key: str, name: str = SERVICE.name) -> Any:
    found = stage.get("deployments", name)["spec"]["template"]["metadata"]
    return (found.get("annotations") or {}).get(key)


@dataclass(frozen=True)
class Life:
    """A kind's request, what it writes to, and how one sees that it was done."""

    kind: str
    arguments: dict[str, Any]
    path: str
    see: Callable[[Stage], Any]
    before: Any
    after: Any
    writes: int = 1

    def request(self) -> Any:
        return planned(self.kind, SERVICE, **self.arguments)


LIVES = [
    Life(
        "patch_memory_limit",
        {"container": SERVICE.name, "from_": "1024Mi", "ceiling": "4Gi"},
        DEPLOYMENT,
        lambda s: container(s)["resources"]["limits"]["memory"],
        "1Gi",
        "2Gi",
    ),
    Life(
        "patch_probe_delay",
        {"container": SERVICE.name, "probe": "liveness", "from_s": 10, "to_s": 60},
        DEPLOYMENT,
        lambda s: container(s)["livenessProbe"]["initialDelaySeconds"],
        10,
        60,
    ),
    Life(
        "patch_pod_annotations",
        {"annotations": {"prometheus.io/scrape": "true"}},
        DEPLOYMENT,
        lambda s: annotation(s, "prometheus.io/scrape"),
        None,
        "true",
    ),
    Life(
        "patch_config",
        {"config_map": CONFIG, "key": "PARALLELISM", "from_": 4, "to": 8},
        CONFIG_MAP,
        lambda s: s.get("configmaps", CONFIG)["data"]["PARALLELISM"],
        "4",
        "8",
        writes=2,
    ),
    Life(
        "rollout_restart",
        {"workload": "schema-registry"},
        DEPLOYMENT.replace(SERVICE.name, "schema-registry"),
        lambda s: annotation(s, ACTION, "schema-registry"),
        None,
        "act-1",
    ),
]
ALL = pytest.mark.parametrize("life", LIVES, ids=[life.kind for life in LIVES])


@ALL
async def test_a_dry_run_is_checked_by_the_server_and_changes_nothing(
    stage: Stage, life: Life
) -> None:
    assert await stage.said(dry(intent(life.kind, life.request()))) == DRY
    assert (life.see(stage), stage.writes) == (life.before, [])


@ALL
async def test_it_is_done_once_however_often_it_is_asked_for(stage: Stage, life: Life) -> None:
    intended = intent(life.kind, life.request())
    assert await stage.said(intended) == DONE
    assert life.see(stage) == life.after
    assert await stage.said(intended) == ALREADY
    assert await stage.said(intended, look_first=True) == DONE  # read back after a crash
    assert len(stage.writes) == life.writes
    assert stage.confirmed


@ALL
async def test_a_reply_that_is_lost_after_the_write_is_read_back(stage: Stage, life: Life) -> None:
    intended = intent(life.kind, life.request())
    # Dry runs come first where there are several writes: only the last write of all is to be lost.
    skip = 0 if life.writes == 1 else life.writes + life.writes - 1
    for _ in range(skip):
        stage.cluster.inject(Fault("PATCH", delay_s=0.001, times=1))
    stage.cluster.inject(Fault("PATCH", cut=Cut.RESET, after_commit=True, times=1))
    assert await stage.said(intended) == DONE
    assert life.see(stage) == life.after
    assert len(stage.writes) == life.writes


@ALL
async def test_a_reply_that_is_lost_before_the_write_is_sent_again_later(
    stage: Stage, life: Life
) -> None:
    intended = intent(life.kind, life.request())
    stage.cluster.inject(Fault("PATCH", cut=Cut.RESET, times=1))
    assert isinstance(await stage.attempt(intended), Unsure)
    assert life.see(stage) == life.before
    assert await stage.said(intended, look_first=True) == DONE
    assert life.see(stage) == life.after


@ALL
async def test_another_object_under_the_same_name_is_left_alone(stage: Stage, life: Life) -> None:
    uids = {life.path: "another-uid"}
    assert await stage.said(intent(life.kind, life.request(), uids=uids)) == failed(
        Reason.TARGET_REPLACED
    )
    assert (life.see(stage), stage.writes) == (life.before, [])


@ALL
async def test_a_conflict_every_time_is_given_up_for_now(stage: Stage, life: Life) -> None:
    refused = {"kind": "Status", "message": "the object has been modified", "code": 409}
    stage.cluster.inject(Fault("PATCH", status=409, body=refused))
    attempt = await stage.attempt(intent(life.kind, life.request()))
    assert isinstance(attempt, NotYet)
    assert attempt.reason is Reason.CONFLICT
    assert life.see(stage) == life.before


@pytest.mark.parametrize("life", LIVES[:4], ids=[life.kind for life in LIVES[:4]])
async def test_its_inverse_takes_it_back(stage: Stage, life: Life) -> None:
    request = life.request()
    assert await stage.said(intent(life.kind, request)) == DONE
    back = KINDS[life.kind].inverse(request)
    assert await stage.said(intent(life.kind, back, action_id="act-2")) == DONE
    assert life.see(stage) == life.before


def other(found: Any) -> None:
    if "data" in found:
        found["data"]["PARALLELISM"] = "6"
        return
    template = found["spec"]["template"]
    template["metadata"].setdefault("annotations", {})["prometheus.io/scrape"] = "false"
    first = template["spec"]["containers"][0]
    first["resources"]["limits"]["memory"] = "3Gi"
    first["livenessProbe"]["initialDelaySeconds"] = 45


@pytest.mark.parametrize("life", LIVES[:4], ids=[life.kind for life in LIVES[:4]])
async def test_what_somebody_else_has_set_in_between_stays(stage: Stage, life: Life) -> None:
    plural, name = life.path.split("/")[-2:]
    stage.cluster.edit(plural, SERVICE.namespace, name, other)
    theirs = life.see(stage)
    assert await stage.said(intent(life.kind, life.request())) == failed(Reason.TARGET_CHANGED)
    assert (life.see(stage), stage.writes) == (theirs, [])


@ALL
async def test_an_object_that_is_made_anew_in_between_is_not_written_to(
    stage: Stage, life: Life
) -> None:
    plural, name = life.path.split("/")[-2:]
    stage.writer.race = lambda: stage.replace(plural, name)
    attempt = await stage.attempt(intent(life.kind, life.request(), uids=seen(stage, life)))
    assert getattr(attempt, "applied", None) in (None, Applied.FAILED)
    assert life.see(stage) == life.before


def seen(stage: Stage, life: Life) -> dict[str, str]:
    plural, name = life.path.split("/")[-2:]
    return {life.path: stage.get(plural, name)["metadata"]["uid"]}


@pytest.mark.parametrize("life", LIVES[:4], ids=[life.kind for life in LIVES[:4]])
async def test_a_change_by_somebody_else_in_between_wins(stage: Stage, life: Life) -> None:
    plural, name = life.path.split("/")[-2:]
    stage.writer.race = lambda: stage.cluster.edit(plural, SERVICE.namespace, name, other)
    assert await stage.said(intent(life.kind, life.request())) == failed(Reason.TARGET_CHANGED)
    assert life.see(stage) not in (life.before, life.after)


@pytest.mark.parametrize(
    ("kind", "arguments", "reason"),
    [
        ("patch_memory_limit", {"container": "nginx", "from_": "1Gi", "ceiling": "4Gi"},
         Reason.CONTAINER_MISSING),
        ("patch_probe_delay", {"container": "nginx", "probe": "liveness", "to_s": 60},
         Reason.CONTAINER_MISSING),
        ("patch_probe_delay", {"container": SERVICE.name, "probe": "startup", "to_s": 60},
         Reason.PROBE_MISSING),
        ("patch_config", {"config_map": CONFIG, "key": "NO_SUCH", "from_": "1", "to": "2"},
         Reason.KEY_MISSING),
        ("patch_config", {"config_map": "no-such-map", "key": "A", "from_": "1", "to": "2"},
         Reason.NOT_FOUND),
        ("timed_config",
         {"config_map": CONFIG, "key": "NO_SUCH", "from_": "1", "to": "2", "for_s": 60},
         Reason.KEY_MISSING),
    ],
)  # fmt: skip
async def test_what_is_not_there_is_refused_and_nothing_is_changed(
    stage: Stage, kind: str, arguments: dict[str, Any], reason: Reason
) -> None:
    assert await stage.said(intent(kind, planned(kind, SERVICE, **arguments))) == failed(reason)
    assert stage.writes == []


async def test_a_container_without_a_limit_gets_none(stage: Stage) -> None:
    def unlimited(found: Any) -> None:
        del found["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]

    stage.cluster.edit("deployments", SERVICE.namespace, SERVICE.name, unlimited)
    request = LIVES[0].request()
    assert await stage.said(intent("patch_memory_limit", request)) == failed(Reason.LIMIT_MISSING)


async def test_the_sidecar_is_left_as_it_is(stage: Stage) -> None:
    target = type(SERVICE)(SERVICE.kind, SERVICE.namespace, "enrichment-service")
    arguments = {"container": "enrichment-service", "from_": "1Gi", "ceiling": "4Gi"}
    request = planned("patch_memory_limit", target, **arguments)
    before = stage.get("deployments", target.name)["spec"]["template"]["spec"]["containers"][1]
    assert await stage.said(intent("patch_memory_limit", request)) == DONE
    first, second = stage.get("deployments", target.name)["spec"]["template"]["spec"]["containers"]
    assert (first["resources"]["limits"]["memory"], second) == ("2Gi", before)


@pytest.mark.parametrize("life", LIVES, ids=[life.kind for life in LIVES])
async def test_a_paused_rollout_is_left_alone(stage: Stage, life: Life) -> None:
    for name in (SERVICE.name, "schema-registry"):
        stage.cluster.edit(
            "deployments", SERVICE.namespace, name, lambda d: d["spec"].update(paused=True)
        )
    assert await stage.said(intent(life.kind, life.request())) == failed(Reason.PAUSED)
    assert (life.see(stage), stage.writes) == (life.before, [])


async def test_a_reader_that_cannot_be_restarted_leaves_the_value_as_it_was(stage: Stage) -> None:
    stage.cluster.edit(
        "deployments", SERVICE.namespace, "schema-registry", lambda d: d["spec"].update(paused=True)
    )
    readers = ("Deployment/normalization-service", "schema-registry")
    arguments = {"config_map": CONFIG, "key": "PARALLELISM", "from_": "4", "to": "8"}
    request = planned("patch_config", SERVICE, **arguments, readers=readers)
    assert await stage.said(intent("patch_config", request)) == failed(Reason.PAUSED)
    assert stage.get("configmaps", CONFIG)["data"]["PARALLELISM"] == "4"
    assert stage.writes == []


# --- a value for a while


def timed(**more: Any) -> Any:
    arguments = {"config_map": CONFIG, "key": "LOG_LEVEL", "from_": "WARNING", "to": "DEBUG"}
    return planned("timed_config", SERVICE, **arguments, **{"for_s": 900.0, **more})


def level(stage: Stage) -> Any:
    return stage.get("configmaps", CONFIG)["data"]["LOG_LEVEL"]


async def test_a_timed_value_goes_back_at_its_time(stage: Stage) -> None:
    intended = intent("timed_config", timed())
    assert await stage.said(dry(intended)) == DRY
    assert (level(stage), stage.writes) == ("WARNING", [])
    assert await stage.said(intended) == GOING_ON
    assert (level(stage), annotation(stage, ACTION)) == ("DEBUG", "act-1")
    stage.clock.advance(450)
    # A crash, and the evidence has gone stale meanwhile: what has begun is brought
    # to its end all the same.
    going = {"look_first": True, "lapsed": Reason.EVIDENCE_STALE}
    assert await stage.said(intended, **going) == GOING_ON
    assert (level(stage), len(stage.writes)) == ("DEBUG", 2)
    stage.clock.advance(451)
    assert await stage.said(intended, **going) == DONE
    assert (level(stage), annotation(stage, ACTION)) == ("WARNING", "act-1.back")
    assert await stage.said(intended, **going) == DONE
    assert len(stage.writes) == 4


async def test_a_timed_value_that_somebody_else_has_changed_stays_as_they_set_it(
    stage: Stage,
) -> None:
    intended = intent("timed_config", timed())
    assert await stage.said(intended) == GOING_ON
    stage.cluster.edit(
        "configmaps", SERVICE.namespace, CONFIG, lambda c: c["data"].update(LOG_LEVEL="ERROR")
    )
    stage.clock.advance(1_000)
    assert await stage.said(intended, look_first=True) == (Applied.DONE, Reason.TARGET_CHANGED)
    assert level(stage) == "ERROR"


async def test_a_timed_value_goes_back_although_the_server_was_away_at_that_time(
    stage: Stage,
) -> None:
    intended = intent("timed_config", timed())
    assert await stage.said(intended) == GOING_ON
    stage.clock.advance(901)
    with stage.cluster.inject(Fault("PATCH", status=429, body="busy")):
        assert await stage.said(intended, look_first=True) == (Applied.STARTED, Reason.THROTTLED)
    assert level(stage) == "DEBUG"
    with stage.cluster.inject(Fault("PATCH", cut=Cut.RESET, after_commit=True, times=1)):
        assert await stage.said(intended, look_first=True) == GOING_ON
    assert await stage.said(intended, look_first=True) == DONE
    assert (level(stage), annotation(stage, ACTION)) == ("WARNING", "act-1.back")


async def test_a_timed_value_whose_time_is_over_is_not_set_any_more(stage: Stage) -> None:
    stage.clock.advance(901)
    assert await stage.said(intent("timed_config", timed())) == failed(Reason.LATE)
    assert (level(stage), stage.writes) == ("WARNING", [])


async def test_a_value_that_was_so_before_is_not_taken_back_later(stage: Stage) -> None:
    stage.cluster.edit(
        "configmaps", SERVICE.namespace, CONFIG, lambda c: c["data"].update(LOG_LEVEL="DEBUG")
    )
    assert await stage.said(intent("timed_config", timed())) == ALREADY
    assert stage.writes == []
