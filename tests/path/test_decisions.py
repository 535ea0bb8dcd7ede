"""People speak over HTTP and on the command line, to the whole service: who may,
what is refused, what is shown.
"""

import json
from pathlib import Path

import pytest

from tests.path.people import ANNA, BEN, MACHINE, paramedic, people_of, said, shown
from tests.path.test_api import asked, opened
from tests.path.test_intake import until


@pytest.fixture
def credentials(tmp_path: Path) -> dict[str, Path]:
    return people_of(tmp_path)


async def test_each_change_wants_its_role_and_a_machine_has_none(
    store_url: str, credentials: dict[str, Path]
) -> None:
    async with opened(store_url, **credentials) as (_, session):
        pause, answer = "/api/v1/pause", "/api/v1/approvals/app-0/approve"
        why = {"why": "a test"}
        codes = {
            (name, path): (await said(session, path, why, token))[0]
            for name, token in (("anna", ANNA), ("ben", BEN), ("machine", MACHINE), ("x", "x"))
            for path in (pause, answer)
        }
        assert codes == {
            ("anna", pause): 200,
            ("anna", answer): 403,
            ("ben", pause): 403,
            ("ben", answer): 404,
            ("machine", pause): 403,
            ("machine", answer): 403,
            ("x", pause): 401,
            ("x", answer): 401,
        }


async def test_without_people_nothing_is_changed_over_http_and_the_setting_is_named(
    store_url: str,
) -> None:
    async with opened(store_url) as (_, session):
        status, told = await said(session, "/api/v1/pause", {"why": "a test"})
    assert (status, told["reason"]) == (403, "role_missing")
    assert "PARAMEDIC_INTAKE__PEOPLE_FILE" in told["detail"]


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/api/v1/pause", {}, "`why` is missing"),
        ("/api/v1/pause", {"why": " "}, "`why` is missing"),
        ("/api/v1/pause", {"why": 7}, "`why` is missing"),
        ("/api/v1/pause", {"why": "x" * 501}, "at most 500"),
        ("/api/v1/pause", {"why": "x", "for_s": "1h"}, "number of seconds"),
        ("/api/v1/pause", {"why": "x", "for_s": 1e300}, "longer than a year"),
        ("/api/v1/pause", {"why": "x", "for_s": -1}, "more than nothing"),
        ("/api/v1/pause", [], "has to be a map"),
        ("/api/v1/mode", {"mode": "full", "why": "x"}, "known are observe, dry_run"),
        ("/api/v1/windows", {"why": "x"}, "`ends_at` is missing"),
        ("/api/v1/windows", {"why": "x", "ends_at": "2026-01-01T00:00:00"}, "with its zone"),
        ("/api/v1/windows", {"why": "x", "ends_at": "2001-01-01T00:00:00Z"}, "before it begins"),
        ("/api/v1/windows", {"why": "x", "lasts_s": 60, "match": ["a"]}, "is no matcher"),
        ("/api/v1/windows", {"why": "x", "lasts_s": 60, "match": "a"}, "list of matchers"),
        ("/api/v1/windows", {"why": "x", "lasts_s": 60, "cron": "x"}, "no cron expression"),
        ("/api/v1/windows", {"why": "x", "lasts_s": 60, "cron": "0 2 * * *", "zone": "X"}, "zone"),
    ],
)
@pytest.mark.only_on("sqlite")
async def test_what_makes_no_sense_is_400_with_advice_and_changes_nothing(
    store_url: str, credentials: dict[str, Path], path: str, body: object, told: str
) -> None:
    async with opened(store_url, **credentials) as (_, session):
        status, answer = await said(session, path, body)
        assert (status, told in answer["detail"]) == (400, True), answer
        state = await asked(session, "/api/v1/mode", headers=shown(ANNA))
        assert (state["history"], state["paused"], state["mode"]) == ([], None, "observe")


@pytest.mark.only_on("sqlite")
async def test_a_foreign_page_cannot_post_and_a_large_body_is_refused(
    store_url: str, credentials: dict[str, Path]
) -> None:
    async with opened(store_url, **credentials) as (_, session):
        text = {"Authorization": f"Bearer {ANNA}", "Content-Type": "text/plain"}
        async with session.post("/api/v1/pause", data='{"why":"x"}', headers=text) as answer:
            assert (answer.status, (await answer.json())["reason"]) == (400, "not_json_type")
        status, told = await said(session, "/api/v1/pause", {"why": "x" * 100_000})
        assert (status, told["reason"]) == (400, "too_large")


async def test_what_was_said_is_shown_measured_and_ended(
    store_url: str, credentials: dict[str, Path]
) -> None:
    async with opened(store_url, **credentials) as (service, session):

        def metric(name: str, **labels: str) -> float | None:
            return service.metrics.registry.get_sample_value(name, labels)

        assert (await said(session, "/api/v1/mode", {"mode": "veto", "why": "trust"}))[0] == 200
        assert (await said(session, "/api/v1/pause", {"why": "stop", "for_s": 3600}))[0] == 200
        _, window = await said(session, "/api/v1/windows", {"why": "work", "lasts_s": 600})
        await until(lambda: metric("paramedic_paused") == 1, "the pause is heard in a second")
        await until(lambda: metric("paramedic_maintenance_windows") == 1, "the window as well")
        async with session.get("/metrics") as answer:
            assert 'paramedic_mode{mode="veto"} 1.0' in await answer.text()
        state = await asked(session, "/api/v1/mode", headers=shown(BEN))
        assert (state["mode"], state["setting"]) == ("veto", "observe")
        assert state["paused"]["said"]["by"] == "anna"
        assert state["windows_open"] == [window["id"]]
        assert [(h["what"], h["by"]) for h in state["history"]] == [
            ("window", "anna"),
            ("pause", "anna"),
            ("mode", "anna"),
        ]
        assert (await said(session, f"/api/v1/windows/{window['id']}/end", {"why": "done"}))[
            0
        ] == 200
        assert (await said(session, f"/api/v1/windows/{window['id']}/end", {"why": "done"}))[
            0
        ] == 404
        assert (await said(session, "/api/v1/resume", {"why": "go on"}))[0] == 200
        state = await asked(session, "/api/v1/mode", headers=shown(BEN))
        assert (state["paused"], state["windows_open"]) == (None, [])


@pytest.mark.only_on("sqlite")
async def test_the_command_line_says_it_and_shows_it(
    store_url: str, credentials: dict[str, Path], tmp_path: Path
) -> None:
    async with opened(store_url, **credentials) as (service, _):
        anna = ("--url", service.url, "--token-file", str(tmp_path / "anna"))
        code, out, _ = await paramedic("pause", "--why", "a move", "--for", "2h", *anna)
        assert (code, "by anna" in out, "a move" in out) == (0, True, True)
        code, out, _ = await paramedic("mode", *anna)
        assert "mode observe" in out
        code, out, _ = await paramedic(
            "window", "add", "--cron", "0 2 * * 6", "--for", "2h", "--zone", "Europe/Berlin",
            "--why", "patches", "--match", 'playbook="kafka"', *anna,
        )  # fmt: skip
        assert (code, "Europe/Berlin" in out, 'playbook="kafka"' in out) == (0, True, True)
        code, out, _ = await paramedic("window", "list", "--json", *anna)
        (window,) = json.loads(out)
        code, out, _ = await paramedic("window", "end", window["id"], "--why", "done", *anna)
        assert (code, out) == (0, f"{window['id']} has ended\n")
        code, out, _ = await paramedic("approvals", *anna)
        assert (code, out) == (0, "nothing waits for a word\n")
        code, _, err = await paramedic("approve", "app-0", "--why", "x", *anna)
        assert (code, "role_missing" in err) == (1, True)
        code, _, err = await paramedic("resume", "--why", "x", "--url", service.url)
        assert (code, "--token-file" in err) == (1, True)
        code, _, err = await paramedic("pause", *anna)
        assert (code, "say why" in err) == (2, True)
        code, _, err = await paramedic("pause", "--why", "x", "--for", "soon", *anna)
        assert (code, "write 30m" in err) == (2, True)
