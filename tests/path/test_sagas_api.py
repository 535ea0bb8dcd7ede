"""Sagas over HTTP and on the command line: two people, what each may do, and what they are told."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from typer.testing import CliRunner, Result

from service.cli import app
from service.desk.saga_view import as_text, listing, progress
from service.desk.sagas import Sagas
from service.kit.clock import VirtualClock
from service.model.action import Mode
from service.model.course import CourseState
from service.settings import IntakeSettings
from service.store.courses import Courses
from service.web.credentials import Credentials
from tests.path.stage import SERVICES, Stage
from tests.path.test_recovery import PLAYBOOK, RECOVERED, broken
from tests.path.world import World
from tests.unit.made import NAMESPACE

pytestmark = pytest.mark.only_on("sqlite")

TOKENS = {name: f"{name}-0123456789-abcdef" for name in ("anna", "ben", "carla", "dora")}
ROLES = {
    "anna": "[read, operate, approve]",
    "ben": "[read, approve]",
    "carla": "[read, operate]",
    "dora": "[read]",
}


@asynccontextmanager
async def desk(
    url: str, clock: VirtualClock, folder: Path, **more: Any
) -> AsyncIterator[tuple[World, Stage, str]]:
    """The routes of sagas on a stage, and where they listen."""
    people = folder / "people.yaml"
    lines = [
        f"  - {{name: {name}, roles: {ROLES[name]}, token: {TOKENS[name]}}}" for name in TOKENS
    ]
    people.write_text("\n".join(["people:", *lines]))
    for name, token in TOKENS.items():
        (folder / f"{name}.token").write_text(token)
    stage = broken(clock)
    made = World(
        url, clock, stage, playbooks=(PLAYBOOK,), see=stage.see, settles=stage.settled, **more
    )
    await made.start()
    sagas = Sagas(
        Credentials(IntakeSettings(people_file=people)), Courses(made.database),
        {PLAYBOOK.name: PLAYBOOK}, made.policy, clock, lambda: None,
    )  # fmt: skip
    application = web.Application()
    application.add_routes(sagas.routes())
    server = TestServer(application)
    await server.start_server()
    try:
        yield made, stage, str(server.make_url("")).rstrip("/")
    finally:
        await server.close()
        await made.stop()


async def say(
    url: str, by: str | None, path: str = "", fields: Mapping[str, Any] | None = None
) -> tuple[int, Any]:
    """The answer to a person: status and JSON. Without fields it is a question."""
    headers = {"Authorization": f"Bearer {TOKENS[by]}"} if by else {}
    async with aiohttp.ClientSession(headers=headers) as session:
        method = "GET" if fields is None else "POST"
        where = f"{url}/api/v1/sagas{path}"
        async with session.request(method, where, json=fields) as answer:
            return answer.status, await answer.json()


async def finish(made: World, saga: str, *states: CourseState) -> None:
    courses = Courses(made.database)
    for _ in range(800):
        found = await courses.get(saga)
        assert found is not None
        if found.course.state in states:
            return
        await made.step_when_due()
    raise AssertionError(await made.told())


async def drawn_up(made: World, saga: str) -> None:
    courses = Courses(made.database)
    while (found := await courses.get(saga)) is None or not found.course.steps:
        await made.step_when_due()


async def test_one_person_asks_another_approves_and_each_step_is_shown(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with desk(store_url, clock, tmp_path) as (made, stage, url):
        status, asked = await say(url, "anna", fields={"namespace": NAMESPACE})
        assert (status, asked["state"], asked["asked_by"]) == (201, "asked", "anna")
        saga = asked["id"]
        await drawn_up(made, saga)
        status, refused = await say(url, "anna", f"/{saga}/approve", {})
        assert (status, refused["reason"]) == (403, "approval_required")
        assert stage.done == []
        status, approved = await say(url, "ben", f"/{saga}/approve", {})
        assert (status, approved["state"], approved["approved_by"]) == (200, "approved", "ben")
        assert [s["state"] for s in approved["steps"]] == ["left"] * 6
        while len(stage.effects) < 2:
            await made.step_when_due()
        _, going = await say(url, "dora", f"/{saga}")
        assert [s["state"] for s in going["steps"]] == ["done", "under_way", *["left"] * 4]
        assert going["steps"][1]["action_id"].startswith("act-")
        await finish(made, saga, CourseState.DONE)
        assert stage.done == RECOVERED
        _, done = await say(url, "dora", f"/{saga}")
        assert [s["state"] for s in done["steps"]] == ["done"] * 6
        assert all(s["applied"] == "done" for s in done["steps"])
        _, all_of_them = await say(url, "dora")
        assert [(s["id"], s["state"]) for s in all_of_them] == [(saga, "done")]


@pytest.mark.parametrize(
    ("by", "path", "fields", "status", "reason"),
    [
        pytest.param(None, "", {}, 401, "bad_credentials", id="nobody asks"),
        pytest.param("dora", "", {}, 403, "role_missing", id="a reader asks"),
        pytest.param("ben", "", {}, 403, "role_missing", id="who may only approve asks"),
        pytest.param("carla", "/saga-x/approve", {}, 403, "role_missing", id="who may only ask approves"),
        pytest.param("ben", "/saga-x/approve", {}, 404, "not_found", id="no such saga"),
        pytest.param("anna", "/saga-x/stop", {}, 404, "not_found", id="no such saga to stop"),
        pytest.param("anna", "", {"namespace": "kube-system"}, 403, "namespace_not_allowed", id="elsewhere"),
        pytest.param("anna", "", {"playbook": "complete"}, 404, "no_playbook", id="no such playbook"),
        pytest.param("anna", "", {"by": "ben"}, 400, "invalid_request", id="a name of one's own choice"),
        pytest.param("anna", "", {"namespace": 7}, 400, "invalid_request", id="a number as a text"),
        pytest.param("anna", "", [], 400, "invalid_request", id="no map"),
    ],
)  # fmt: skip
async def test_whoever_may_not_or_says_what_cannot_be_is_told_so(
    store_url: str, clock: VirtualClock, tmp_path: Path,
    by: str | None, path: str, fields: Any, status: int, reason: str,
) -> None:  # fmt: skip
    async with desk(store_url, clock, tmp_path) as (made, _, url):
        got, told = await say(url, by, path, fields)
        assert (got, told["reason"]) == (status, reason)
        assert await made.incidents.listing(10) == []


async def test_a_foreign_page_cannot_post_what_a_person_asks_for(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    """A form may be posted to any address, with what the browser knows of it; JSON may not."""
    async with desk(store_url, clock, tmp_path) as (made, _, url):
        headers = {"Authorization": f"Bearer {TOKENS['anna']}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            for path in ("", "/saga-x/approve", "/saga-x/stop"):
                for kind in ("text/plain", "application/x-www-form-urlencoded"):
                    typed_so = {"Content-Type": kind}
                    where = f"{url}/api/v1/sagas{path}"
                    async with session.post(where, data="{}", headers=typed_so) as answer:
                        told = await answer.json()
                        assert (answer.status, told["reason"]) == (400, "not_json_type")
        assert await made.incidents.listing(10) == []


async def test_below_the_ceiling_approve_nothing_can_be_asked_for(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with desk(store_url, clock, tmp_path, mode=Mode.OBSERVE) as (_, _, url):
        status, told = await say(url, "anna", fields={})
        assert (status, told["reason"]) == (409, "mode_observe")
        assert "raise it to approve" in told["detail"]


async def test_a_second_wish_names_the_first(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with desk(store_url, clock, tmp_path) as (_, _, url):
        _, first = await say(url, "anna", fields={})
        status, told = await say(url, "carla", fields={})
        assert (status, told["reason"]) == (409, "target_busy")
        assert first["id"] in told["detail"]


def typed(folder: Path, url: str, by: str, *words: str) -> Result:
    """What the command line makes of these words."""
    token = ["--token-file", str(folder / f"{by}.token")]
    return CliRunner().invoke(app, ["recover", *words, "--url", url, *token])


async def test_the_command_line_asks_approves_stops_and_shows(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with desk(store_url, clock, tmp_path) as (made, stage, url):
        told = await asyncio.to_thread(typed, tmp_path, url, "anna", "start", "--no-wait", "--json")
        assert told.exit_code == 0, told.output
        saga = json.loads(told.stdout)["id"]
        await drawn_up(made, saga)
        told = await asyncio.to_thread(typed, tmp_path, url, "anna", "show", saga)
        assert f"paramedic recover approve {saga} --token-file THEIR_TOKEN" in told.stdout
        assert "  1. -      stop-aggregation-service" in told.stdout
        told = await asyncio.to_thread(typed, tmp_path, url, "anna", "approve", saga, "--no-wait")
        assert told.exit_code == 2
        assert "another person has to approve it; have them run" in told.stderr
        told = await asyncio.to_thread(typed, tmp_path, url, "ben", "approve", saga, "--no-wait")
        assert told.exit_code == 0
        while len(stage.effects) < 1:
            await made.step_when_due()
        told = await asyncio.to_thread(typed, tmp_path, url, "carla", "stop", saga)
        assert "carla wants it stopped" in told.stdout
        await finish(made, saga, CourseState.STOPPED)
        told = await asyncio.to_thread(typed, tmp_path, url, "carla", "show", saga, "--wait")
        assert told.exit_code == 1
        assert "# or to go back:" in told.stdout
        assert (
            f"  $ kubectl -n {NAMESPACE} scale deployment/{SERVICES[2]} --replicas=2" in told.stdout
        )
        told = await asyncio.to_thread(typed, tmp_path, url, "dora", "show")
        assert saga in told.stdout
        assert "anna + ben" in told.stdout


async def test_a_wrong_token_a_wrong_id_and_a_wrong_address_say_what_to_do(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with desk(store_url, clock, tmp_path) as (_, _, url):
        told = await asyncio.to_thread(typed, tmp_path, url, "ben", "approve", "saga-x")
        assert (told.exit_code, "list them: paramedic recover show" in told.stderr) == (2, True)
        told = await asyncio.to_thread(CliRunner().invoke, app, ["recover", "show", "--url", url])
        assert (told.exit_code, "--token-file" in told.stderr) == (2, True)
    told = await asyncio.to_thread(typed, tmp_path, url, "anna", "start")
    assert (told.exit_code, "is `paramedic serve` running there?" in told.stderr) == (2, True)


def a_record(**more: Any) -> dict[str, Any]:
    """A course of two steps as the API has it."""
    step = {"kind": "scale_to", "target": "Deployment/n/a", "detail": "", "by_hand": []}
    steps = [
        {**step, "name": "stop-a", "state": "left"},
        {**step, "name": "start-a", "state": "left"},
    ]
    return {
        "id": "saga-1", "saga": "recover", "incident": "inc-1", "target": "StatefulSet/n/c",
        "state": "asked", "reason": "approval_required", "detail": "", "asked_by": "anna",
        "approved_by": None, "stop_wanted_by": None, "expires_at": "2026-01-01T00:30:00Z",
        "waits_for": "approval_required", "steps": steps, "called": None, "done": 0, **more,
    }  # fmt: skip


def test_progress_tells_what_has_changed_and_nothing_twice() -> None:
    before = a_record()
    assert progress(None, before) == ["asked (approval_required)"]
    assert progress(before, before) == []
    steps = [{**before["steps"][0], "state": "under_way"}, before["steps"][1]]
    running = a_record(state="running", reason=None, steps=steps, waits_for="done")
    assert progress(before, running) == [
        "running", "  1. now    stop-a  (scale_to Deployment/n/a)", "waits: done",
    ]  # fmt: skip


def test_what_a_stranger_wrote_cannot_move_the_cursor_of_a_terminal() -> None:
    record = a_record(detail="\x1b[2J", reason="failed", state="failed")
    assert "\x1b" not in as_text(record)
    assert "\x1b" not in listing([{**record, "steps": 2, "reason": "\x1b[2J"}])
