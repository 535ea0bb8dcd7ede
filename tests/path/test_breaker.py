"""The circuit breaker over HTTP and on the command line, on the whole
service: shown, lifted, refused.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from service.app import Service, serving
from service.settings import GuardSettings
from tests.path.people import ANNA, BEN, MACHINE, paramedic, people_of, said, shown
from tests.path.test_api import asked
from tests.path.test_intake import JSON, posted, settings_for, until
from tests.unit.made import item

SHOW, LIFT = "/api/v1/breaker", "/api/v1/breaker/lift"
GUARD = GuardSettings(
    namespaces=("carbon-ingestion",), breaker_opened=2, breaker_cooldown_s=3_600.0
)


@asynccontextmanager
async def tripped(
    store_url: str, folder: Path
) -> AsyncIterator[tuple[Service, aiohttp.ClientSession]]:
    """A service whose breaker lets two new incidents pass, and three have come."""
    settings = settings_for(store_url, **people_of(folder)).model_copy(update={"guard": GUARD})
    async with (
        serving(settings) as service,
        aiohttp.ClientSession(service.url, headers=JSON) as session,
    ):
        labels = item()["labels"]
        alerts = [
            item(f"f{n}", labels={**labels, "workload": f"service-{n}"}) for n in range(3)
        ]  # fmt: skip
        assert (await posted(session, *alerts, headers=shown(MACHINE)))[0] == 200
        await until(lambda: is_open(service) == 1, "it trips, and is on /metrics")
        yield service, session


def is_open(service: Service) -> float | None:
    return service.metrics.registry.get_sample_value("paramedic_breaker_open")


async def test_an_open_breaker_is_shown_and_lifted_by_a_person_who_says_why(
    store_url: str, tmp_path: Path
) -> None:
    async with tripped(store_url, tmp_path) as (service, session):
        before = await asked(session, SHOW, headers=shown(BEN))
        assert (before["open"], before["new_incidents"]) == (True, 3)
        assert before["limit"] == "2 new incidents in 600 s"
        assert before["until"] == before["last"]["until_at"]
        assert before["last"]["lifted_by"] is None
        status, lifted = await said(session, LIFT, {"why": "it was\nthe storage move"})
        assert (status, lifted["lifted"], lifted["open"]) == (200, True, False)
        after = await asked(session, SHOW, headers=shown(MACHINE))
        assert (after["open"], after["until"], after["new_incidents"]) == (False, None, 0)
        last = after["last"]
        assert (last["lifted_by"], last["why"]) == ("anna", "it was the storage move")
        assert is_open(service) == 0
        status, again = await said(session, LIFT, {"why": "once more"})
        assert (status, again["lifted"]) == (200, False)
        last = (await asked(session, SHOW, headers=shown(ANNA)))["last"]
        assert last["why"] == "it was the storage move", "the first word stands"


async def test_lifting_wants_the_role_to_operate_and_nobody_else_can(
    store_url: str, tmp_path: Path
) -> None:
    async with tripped(store_url, tmp_path) as (service, session):
        refused = {}
        for name, token in (("ben", BEN), ("machine", MACHINE), ("x", "x")):
            status, told = await said(session, LIFT, {"why": "a test"}, token)
            refused[name] = (status, told["reason"])
        assert refused == {
            "ben": (403, "role_missing"),
            "machine": (403, "role_missing"),
            "x": (401, "bad_credentials"),
        }
        async with session.get(SHOW) as answer:
            assert answer.status == 401, "nobody looks without credentials either"
        assert (await asked(session, SHOW, headers=shown(BEN)))["open"]
        assert is_open(service) == 1


NONSENSE = (
    ('{"why":"x"}', "text/plain", "not_json_type", "application/json"),
    ("why=x", "application/x-www-form-urlencoded", "not_json_type", "application/json"),
    ("{", "application/json", "not_json", "not valid JSON"),
    ("", "application/json", "not_json", "not valid JSON"),
    ("[]", "application/json", "wrong_shape", "has to be a map"),
    ("{}", "application/json", "wrong_shape", "`why` is missing"),
    ('{"why":7}', "application/json", "wrong_shape", "`why` is missing"),
    ('{"why":" "}', "application/json", "wrong_shape", "`why` is missing"),
    (f'{{"why":"{"x" * 501}"}}', "application/json", "wrong_shape", "at most 500"),
    (f'{{"why":"{"x" * 99_999}"}}', "application/json", "too_large", "at most 65536 bytes"),
)


async def test_what_makes_no_sense_is_400_with_advice_and_lifts_nothing(
    store_url: str, tmp_path: Path
) -> None:
    async with tripped(store_url, tmp_path) as (_, session):
        for sent, kind, reason, told in NONSENSE:
            headers = {**shown(ANNA), "Content-Type": kind}
            async with session.post(LIFT, data=sent, headers=headers) as answer:
                found = await answer.json()
            assert (answer.status, found["reason"]) == (400, reason), sent[:40]
            assert told in found["detail"]
        assert (await asked(session, SHOW, headers=shown(ANNA)))["open"]


async def test_the_command_line_shows_it_and_lifts_it(store_url: str, tmp_path: Path) -> None:
    async with tripped(store_url, tmp_path) as (service, _):
        anna, ben = (
            ("--url", service.url, "--token-file", str(tmp_path / name)) for name in ("anna", "ben")
        )
        code, out, _err = await paramedic("breaker", "show", *ben)
        assert (code, out.startswith("open until ")) == (0, True)
        assert "it opens after 2 new incidents in 600 s" in out
        code, _out, err = await paramedic("breaker", "lift", *anna)
        assert (code, "say why with --why" in err) == (2, True)
        code, _out, err = await paramedic("breaker", "lift", "--why", "x", *ben)
        assert (code, "403 role_missing: ben has no role `operate`" in err) == (1, True)
        code, _out, err = await paramedic("breaker", "lift", "--why", "x", "--url", service.url)
        assert (code, "--token-file FILE" in err) == (1, True)
        assert is_open(service) == 1
        code, out, _err = await paramedic("breaker", "lift", "--why", "a known cause", *anna)
        assert (code, out) == (0, "lifted\n")
        code, out, _err = await paramedic("breaker", "lift", "--why", "again", *anna)
        assert (code, out) == (0, "it was not open\n")
        code, out, _err = await paramedic("breaker", "show", *anna)
        assert (code, out.startswith("closed; ")) == (0, True)
        assert "lifted by anna: a known cause" in out
