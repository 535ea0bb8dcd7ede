"""events.k8s.io/v1: the objects of core/v1 under other names.
test_replay sends the recorded exchanges again.
"""

import aiohttp

from rehearsal.cluster import Cluster, Object
from tests.cluster.recorded import Answer, healthy_state, open_session, send

NAMESPACE = "carbon-ingestion"
CORE = f"/api/v1/namespaces/{NAMESPACE}/events"
NEWER = f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events"


def newer(name: str = "kafka.1", **fields: object) -> Object:
    about = {
        "kind": "StatefulSet",
        "apiVersion": "apps/v1",
        "namespace": NAMESPACE,
        "name": "kafka",
    }
    return {
        "metadata": {"name": name, "namespace": NAMESPACE}, "regarding": about, "reason": "Proposed",
        "note": "a restart", "type": "Normal", "action": "Propose", "eventTime": "2026-11-23T18:55:13.113210Z",
        "reportingController": "paramedic", "reportingInstance": "paramedic-0", **fields,
    }  # fmt: skip


async def created(
    session: aiohttp.ClientSession, name: str = "kafka.1", **fields: object
) -> Answer:
    return await send(session, "POST", NEWER, body=newer(name, **fields))


def cluster() -> Cluster:
    return Cluster(healthy_state(), controllers=False)


async def test_both_apis_show_one_object_each_in_its_words() -> None:
    async with cluster() as made, open_session(made) as session:
        told = (await created(session)).body
        core = (await send(session, "GET", f"{CORE}/kafka.1")).body
        again = (await send(session, "GET", f"{NEWER}/kafka.1")).body
    assert told == again
    assert (told["note"], told["regarding"]["name"], told["reportingController"]) == (
        core["message"], core["involvedObject"]["name"], core["reportingComponent"],
    )  # fmt: skip
    assert told["metadata"] == core["metadata"]
    assert "message" not in told
    assert "note" not in core


async def test_what_controllers_wrote_is_listed_page_by_page_under_the_newer_names() -> None:
    async with cluster() as made, open_session(made) as session:
        core = (await send(session, "GET", CORE)).body["items"]
        seen: list[Object] = []
        query = {"limit": "40"}
        while True:
            page = (await send(session, "GET", NEWER, query=query)).body
            seen += page["items"]
            assert page["apiVersion"] == "events.k8s.io/v1"
            if "continue" not in page["metadata"]:
                break
            query["continue"] = page["metadata"]["continue"]
    assert len(core) > 40
    assert [e["metadata"] for e in seen] == [e["metadata"] for e in core]
    assert [e["note"] for e in seen] == [e["message"] for e in core]
    assert [e.get("deprecatedCount") for e in seen] == [e.get("count") for e in core]


async def test_a_selector_speaks_the_newer_names() -> None:
    async with cluster() as made, open_session(made) as session:
        await created(session)
        await created(session, name="kafka.2", reportingController="somebody.else")
        wanted = "regarding.name=kafka,reportingController!=somebody.else,reason=Proposed"
        query = {"fieldSelector": wanted}
        found = (await send(session, "GET", NEWER, query=query)).body["items"]
        core = {"fieldSelector": "reportingComponent=paramedic"}
        refused = await send(session, "GET", NEWER, query=core)
    assert [e["metadata"]["name"] for e in found] == ["kafka.1"]
    assert (refused.status, refused.body["message"]) == (
        400, "field label not supported: reportingComponent",
    )  # fmt: skip


async def test_a_series_counts_from_two_and_only_it_may_change() -> None:
    async with cluster() as made, open_session(made) as session:
        await created(session)

        async def patched(**fields: object) -> Answer:
            form = "application/merge-patch+json"
            return await send(session, "PATCH", f"{NEWER}/kafka.1", body=fields, content_type=form)

        series = {"count": 1, "lastObservedTime": "2026-11-23T18:55:14.000000Z"}
        one = await patched(series=series)
        good = await patched(series=series | {"count": 2})
        kind = await patched(type="Warning")
        core = (await send(session, "GET", f"{CORE}/kafka.1")).body
    assert (one.status, kind.status, good.status) == (422, 422, 200)
    assert [c["field"] for c in one.body["details"]["causes"]] == ["series.count"]
    assert [c["field"] for c in kind.body["details"]["causes"]] == ["type"]
    assert core["series"]["count"] == 2


async def test_a_dry_run_keeps_nothing_and_what_is_not_emulated_says_so() -> None:
    async with cluster() as made, open_session(made) as session:
        dry = await send(session, "POST", NEWER, body=newer(), query={"dryRun": "All"})
        gone = await send(session, "GET", f"{NEWER}/kafka.1")
        await created(session)
        deleted = await send(session, "DELETE", f"{NEWER}/kafka.1")
        applied = await send(
            session, "PATCH", f"{NEWER}/kafka.1", body=newer(), query={"fieldManager": "x"},
            content_type="application/apply-patch+yaml",
        )  # fmt: skip
    assert (dry.status, gone.status) == (201, 404)
    assert (deleted.status, applied.status) == (501, 501)
