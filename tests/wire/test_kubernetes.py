"""The Kubernetes clients against a scripted API server: statuses, pages, logs,
and what a lost reply means.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web

from rehearsal.servers import free_port
from service.clients.kubernetes import REVIEWS, KubernetesReader, Object, workload_path
from service.clients.kubernetes_write import MERGE, KubernetesWriter
from service.kit.deadline import Deadline
from service.model.errors import BadConfig, Indeterminate, ParamedicError, Refused, Unavailable
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.settings import KubernetesSettings
from tests.servers.faults import Asked, Fault, FaultyProxy, Scripted, scripted

TARGET = Target(TargetKind.DEPLOYMENT, "carbon-ingestion", "normalizer")
PATH = workload_path(TARGET)


def kubeconfig(folder: Path, url: str, token: str = "t0k3n") -> Path:
    file = folder / "kubeconfig"
    file.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "users": [{"name": "u", "user": {"token": token}}],
            }
        )
    )
    return file


@pytest.fixture
async def api() -> AsyncIterator[Scripted]:
    async with scripted() as server:
        yield server


@pytest.fixture
async def reader(api: Scripted, tmp_path: Path) -> AsyncIterator[KubernetesReader]:
    async with KubernetesReader(
        KubernetesSettings(kubeconfig=kubeconfig(tmp_path, api.url))
    ) as client:
        yield client


@pytest.fixture
async def writer(api: Scripted, tmp_path: Path) -> AsyncIterator[KubernetesWriter]:
    async with KubernetesWriter(
        KubernetesSettings(kubeconfig=kubeconfig(tmp_path, api.url))
    ) as client:
        yield client


def soon(seconds: float = 5.0) -> Deadline:
    return Deadline.after(seconds)


def status(code: int, message: str, reason: str = "") -> dict[str, object]:
    return {
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "message": message,
        "reason": reason,
    }


async def test_an_object_is_read_as_it_is_with_our_name_and_token(
    api: Scripted, reader: KubernetesReader
) -> None:
    api.always(200, {"kind": "Deployment", "spec": {"replicas": 3}})
    assert (await reader.get(PATH, deadline=soon()))["spec"] == {"replicas": 3}
    (asked,) = api.asked
    assert asked.path == "/apis/apps/v1/namespaces/carbon-ingestion/deployments/normalizer"
    assert asked.headers["Authorization"] == "Bearer t0k3n"
    assert asked.headers["User-Agent"].startswith("paramedic")


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, Reason.INVALID_REQUEST, Refused),
        (401, Reason.UNAUTHORIZED, Refused),
        (403, Reason.FORBIDDEN, Refused),
        (404, Reason.NOT_FOUND, Refused),
        (409, Reason.CONFLICT, Refused),
        (410, Reason.SERVER_ERROR, Unavailable),
        (415, Reason.INVALID_REQUEST, Refused),
        (422, Reason.INVALID_REQUEST, Refused),
        (429, Reason.THROTTLED, Unavailable),
        (500, Reason.SERVER_ERROR, Unavailable),
        (503, Reason.SERVER_ERROR, Unavailable),
        (504, Reason.SERVER_ERROR, Unavailable),
    ],
)
async def test_each_status_has_its_reason_and_the_next_request_is_answered(
    api: Scripted, reader: KubernetesReader, code: int, reason: Reason, kind: type[ParamedicError]
) -> None:
    for body in (
        status(code, "said so"),
        "said so",
    ):  # a Status, or plain text as load shedding sends it
        api.always(code, body)
        with pytest.raises(kind) as raised:
            await reader.get(PATH, deadline=soon())
        assert raised.value.reason is reason
        assert "said so" in raised.value.detail
    api.always(200, {"kind": "Deployment"})
    assert await reader.get(PATH, deadline=soon())


async def test_load_shedding_says_when_to_come_again(
    api: Scripted, reader: KubernetesReader
) -> None:
    api.always(429, "Too many requests", **{"Retry-After": "7"})
    with pytest.raises(Unavailable) as unavailable:
        await reader.get(PATH, deadline=soon())
    assert unavailable.value.retry_after_s == 7.0


async def test_a_message_that_quotes_a_whole_object_is_cut(
    api: Scripted, reader: KubernetesReader
) -> None:
    api.always(422, status(422, "Secret is invalid: " + "c2VjcmV0" * 1000))
    with pytest.raises(Refused) as refused:
        await reader.get(PATH, deadline=soon())
    assert len(refused.value.detail) < 320


async def test_an_answer_that_is_no_object_is_wrong(
    api: Scripted, reader: KubernetesReader
) -> None:
    for body in ("<html>", "[1, 2]"):
        api.always(200, body)
        with pytest.raises(Unavailable) as unavailable:
            await reader.get(PATH, deadline=soon())
        assert unavailable.value.reason is Reason.WRONG_ANSWER


async def test_a_list_is_read_page_by_page(api: Scripted, reader: KubernetesReader) -> None:
    def page(asked: Asked) -> web.Response:
        token = asked.query.get("continue", "0")
        last = token == "2"
        meta = {} if last else {"continue": str(int(token) + 1)}
        return web.json_response({"kind": "PodList", "metadata": meta, "items": [{"n": token}]})

    api.answer = page
    found = await reader.list(
        "/api/v1/namespaces/x/pods", labels="a=b", fields="c=d", deadline=soon()
    )
    assert [item["n"] for item in found] == ["0", "1", "2"]
    assert all(a.query["labelSelector"] == "a=b" and a.query["limit"] == "500" for a in api.asked)
    assert all(a.query["fieldSelector"] == "c=d" for a in api.asked)


async def test_an_empty_list_may_be_null(api: Scripted, reader: KubernetesReader) -> None:
    api.always(200, {"kind": "PodList", "metadata": {}, "items": None})
    assert await reader.list("/api/v1/namespaces/x/pods", deadline=soon()) == []


async def test_a_log_is_text_whatever_its_bytes_are(
    api: Scripted, reader: KubernetesReader
) -> None:
    api.answer = lambda _: web.Response(body=b"good\n\xff\xfebad\n", content_type="text/plain")
    text = await reader.log("x", "pod-1", "main", previous=True, tail=7, deadline=soon())
    assert text == "good\n\ufffd\ufffdbad\n"
    assert api.asked[0].query["tailLines"] == "7"
    assert (api.asked[0].query["container"], api.asked[0].query["previous"]) == ("main", "true")


async def test_a_log_of_megabytes_is_cut_also_where_the_server_does_not_cut_it(
    api: Scripted, reader: KubernetesReader
) -> None:
    api.answer = lambda _: web.Response(body=b"x" * 2_000_000, content_type="text/plain")
    text = await reader.log("x", "pod-1", deadline=soon())
    assert len(text) == int(api.asked[0].query["limitBytes"]) == 256 * 1024


@pytest.mark.parametrize(
    "name", ["../../secrets", "a/../../../secrets/b", "a?x=y", "a#b", "a%2Fb", "a b", "", ".", "a/"]
)
async def test_a_name_that_would_lead_elsewhere_is_refused_before_anything_is_sent(
    api: Scripted, reader: KubernetesReader, name: str
) -> None:
    path = workload_path(Target(TargetKind.DEPLOYMENT, "x", name))
    with pytest.raises(Refused) as refused:
        await reader.get(path, deadline=soon())
    assert refused.value.reason is Reason.INVALID_REQUEST
    assert api.asked == []


class Tokens:
    """A server that knows one token; requests may be held until they are let go."""

    def __init__(self, api: Scripted, valid: str) -> None:
        self.api, self.valid = api, valid
        api.answer = self._answer

    def _answer(self, asked: Asked) -> web.Response:
        if asked.headers.get("Authorization") != f"Bearer {self.valid}":
            return web.json_response(status(401, "Unauthorized"), status=401)
        return web.json_response({"kind": "Deployment", "metadata": {}, "items": []})

    @property
    def statuses(self) -> list[bool]:
        return [a.headers["Authorization"] == f"Bearer {self.valid}" for a in self.api.asked]


async def test_a_rotated_token_is_read_anew_and_the_request_goes_through(
    api: Scripted, reader: KubernetesReader, tmp_path: Path
) -> None:
    tokens = Tokens(api, "t0k3n")
    await reader.get(PATH, deadline=soon())
    tokens.valid = "new"
    kubeconfig(tmp_path, api.url, token="new")
    await reader.get(PATH, deadline=soon())
    assert tokens.statuses == [False, False, True]
    await reader.get(PATH, deadline=soon())
    assert len(api.asked) == 4


async def test_a_token_that_stays_wrong_is_tried_twice_and_unauthorized(
    api: Scripted, reader: KubernetesReader
) -> None:
    Tokens(api, "another")
    with pytest.raises(Refused) as refused:
        await reader.get(PATH, deadline=soon())
    assert refused.value.reason is Reason.UNAUTHORIZED
    assert len(api.asked) == 2


async def test_a_kubeconfig_that_is_being_replaced_is_credentials_that_cannot_be_read(
    api: Scripted, reader: KubernetesReader, tmp_path: Path
) -> None:
    Tokens(api, "new")
    (tmp_path / "kubeconfig").write_text('{"users": [{"user": {"token": "n3w"')
    with pytest.raises(Unavailable) as unavailable:
        await reader.get(PATH, deadline=soon())
    assert unavailable.value.reason is Reason.CREDENTIALS_UNREADABLE
    assert "n3w" not in unavailable.value.detail
    kubeconfig(tmp_path, api.url, token="new")
    await reader.get(PATH, deadline=soon())


async def test_the_first_write_after_a_rotation_goes_through_and_is_confirmed_each_time_it_is_sent(
    api: Scripted, writer: KubernetesWriter, tmp_path: Path
) -> None:
    tokens, sent = Tokens(api, "new"), []
    kubeconfig(tmp_path, api.url, token="old")

    async def confirm() -> None:
        sent.append(len(api.asked))
        kubeconfig(tmp_path, api.url, token="new")

    await _patch(writer, confirm=confirm)
    assert tokens.statuses == [False, True]
    assert sent == [0, 1]


async def test_a_401_of_one_request_disturbs_none_of_those_under_way(tmp_path: Path) -> None:
    held, arrived = asyncio.Event(), asyncio.Event()
    valid, waiting = {"old"}, 0

    async def handle(request: web.Request) -> web.Response:
        nonlocal waiting
        if request.path.endswith("/slow"):
            waiting += 1
            arrived.set()
            await held.wait()
            return web.json_response({"kind": "Deployment"})
        known = request.headers["Authorization"].removeprefix("Bearer ") in valid
        return web.json_response({"kind": "Deployment"}, status=200 if known else 401)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    url = f"http://127.0.0.1:{port}"
    settings = KubernetesSettings(kubeconfig=kubeconfig(tmp_path, url, token="old"))
    try:
        async with KubernetesReader(settings) as reader:
            slow = [
                asyncio.create_task(reader.get(f"{PATH}/slow", deadline=soon())) for _ in range(3)
            ]
            await asyncio.wait_for(arrived.wait(), 5.0)
            valid.clear()
            valid.add("new")
            kubeconfig(tmp_path, url, token="new")
            many = await asyncio.gather(*(reader.get(PATH, deadline=soon()) for _ in range(20)))
            assert len(many) == 20
            held.set()
            assert [found["kind"] for found in await asyncio.gather(*slow)] == ["Deployment"] * 3
    finally:
        held.set()
        await runner.cleanup()


async def test_a_review_asks_whether_this_account_may_and_stores_nothing(
    api: Scripted, reader: KubernetesReader
) -> None:
    api.always(201, {"kind": "SelfSubjectAccessReview", "status": {"allowed": True}})
    asked_for = {"verb": "patch", "group": "apps", "resource": "deployments", "namespace": "x"}
    assert await reader.review(asked_for, deadline=soon())
    (asked,) = api.asked
    assert (asked.method, asked.path) == ("POST", REVIEWS)
    assert json.loads(asked.body)["spec"] == {"resourceAttributes": asked_for}
    api.always(201, {"kind": "SelfSubjectAccessReview", "status": {"allowed": False}})
    assert not await reader.review(asked_for, deadline=soon())
    api.always(201, {"kind": "SelfSubjectAccessReview"})
    with pytest.raises(Unavailable):
        await reader.review(asked_for, deadline=soon())


@pytest.mark.parametrize(
    ("method", "path"), [("PATCH", PATH), ("DELETE", PATH), ("POST", PATH), ("PUT", PATH)]
)
async def test_a_reader_can_send_nothing_that_changes_something(
    api: Scripted, reader: KubernetesReader, method: str, path: str
) -> None:
    with pytest.raises(PermissionError):
        await reader._wire.send(method, path, {}, soon())
    assert api.asked == []
    assert not any(hasattr(reader, name) for name in ("patch", "apply", "create", "delete"))


async def test_a_kubeconfig_that_cannot_be_read_is_a_bad_configuration(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text("contexts: [")
    with pytest.raises(BadConfig, match="kubeconfig"):
        await KubernetesReader(KubernetesSettings(kubeconfig=file)).open()


async def at_once() -> None:
    """Nothing stands against it."""


async def _patch(
    writer: KubernetesWriter,
    deadline: Deadline | None = None,
    *,
    dry_run: bool = False,
    confirm: Callable[[], Awaitable[None]] = at_once,
) -> Object:
    body = {"spec": {"replicas": 4}}
    return await writer.patch(
        PATH,
        body,
        content_type=MERGE,
        action_id="a-1",
        confirm=confirm,
        dry_run=dry_run,
        deadline=deadline or soon(),
    )


async def test_a_patch_is_sent_once_with_its_manager_and_strict_fields(
    api: Scripted, writer: KubernetesWriter
) -> None:
    api.always(200, {"kind": "Deployment", "metadata": {"generation": 2}})
    assert (await _patch(writer))["metadata"] == {"generation": 2}
    (asked,) = api.asked
    assert (asked.method, json.loads(asked.body)) == ("PATCH", {"spec": {"replicas": 4}})
    assert asked.headers["Content-Type"] == "application/merge-patch+json"
    assert asked.query == {"fieldManager": "paramedic", "fieldValidation": "Strict"}
    await _patch(writer, dry_run=True)
    assert api.asked[-1].query["dryRun"] == "All"


@pytest.mark.parametrize(
    ("code", "message", "kind", "reason"),
    [
        (400, "x", Refused, Reason.INVALID_REQUEST),
        (401, "Unauthorized", Refused, Reason.UNAUTHORIZED),
        (403, "forbidden", Refused, Reason.FORBIDDEN),
        (404, "not found", Refused, Reason.NOT_FOUND),
        (409, "the object has been modified", Refused, Reason.CONFLICT),
        (415, "x", Refused, Reason.INVALID_REQUEST),
        (422, "x", Refused, Reason.INVALID_REQUEST),
        (429, "x", Unavailable, Reason.THROTTLED),
        (500, 'failed calling webhook "v": connection refused', Unavailable, Reason.SERVER_ERROR),
        (
            500,
            "map: map[] does not contain declared merge key",
            Indeterminate,
            Reason.INDETERMINATE,
        ),
        (502, "bad gateway", Indeterminate, Reason.INDETERMINATE),
        (503, "unavailable", Indeterminate, Reason.INDETERMINATE),
        (504, "Timeout: request did not complete", Indeterminate, Reason.INDETERMINATE),
    ],
)
async def test_each_refusal_of_a_patch_says_whether_it_may_have_been_done(
    api: Scripted,
    writer: KubernetesWriter,
    code: int,
    message: str,
    kind: type[ParamedicError],
    reason: Reason,
) -> None:
    api.always(code, status(code, message))
    with pytest.raises(kind) as raised:
        await _patch(writer)
    assert raised.value.reason is reason
    assert len(api.asked) == (2 if code == 401 else 1)  # with credentials that were read anew


async def test_a_patch_whose_success_cannot_be_read_is_indeterminate(
    api: Scripted, writer: KubernetesWriter
) -> None:
    api.always(200, "<html>")
    with pytest.raises(Indeterminate):
        await _patch(writer)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.REFUSE, Unavailable),
        (Fault.SILENT, Indeterminate),
        (Fault.RESET, Indeterminate),
        (Fault.HANG_UP, Indeterminate),
        (Fault.SLOW, Indeterminate),
        (Fault.GARBAGE, Indeterminate),
    ],
)
async def test_a_patch_that_met_no_server_was_not_sent_and_any_other_lost_reply_is_indeterminate(
    api: Scripted, tmp_path: Path, fault: Fault, kind: type[ParamedicError]
) -> None:
    api.always(200, {"kind": "Deployment"})
    async with FaultyProxy(api.port) as proxy:
        settings = KubernetesSettings(
            kubeconfig=kubeconfig(tmp_path, f"http://127.0.0.1:{proxy.port}")
        )
        async with KubernetesWriter(settings) as writer:
            await proxy.set(fault)
            with pytest.raises(kind):
                await _patch(writer, soon(0.4))
            await proxy.set(Fault.PASS)
            assert await _patch(writer)


async def test_the_manager_of_the_fields_is_a_setting(api: Scripted, tmp_path: Path) -> None:
    file = kubeconfig(tmp_path, api.url)
    api.always(200, {"kind": "Deployment"})
    settings = KubernetesSettings(kubeconfig=file, field_manager="healer")
    async with KubernetesWriter(settings) as writer:
        await _patch(writer)
    assert api.asked[0].query["fieldManager"] == "healer"
    for wrong in ("", "x" * 129, "ä" * 65, "kubectl-rollout", "a\nb"):
        with pytest.raises(ValueError, match="field_manager"):
            KubernetesSettings(kubeconfig=file, field_manager=wrong)
    assert KubernetesSettings(kubeconfig=file, field_manager="x" * 128)


Send = Callable[[KubernetesWriter, Callable[[], Awaitable[None]], Deadline], Awaitable[Object]]
WRITES: dict[str, Send] = {
    "apply": lambda w, c, d: w.apply(PATH, {"kind": "x"}, action_id="a-1", confirm=c, deadline=d),
    "create": lambda w, c, d: w.create(PATH, {"kind": "x"}, action_id="a-1", confirm=c, deadline=d),
    "delete": lambda w, c, d: w.delete(PATH, uid="u-1", action_id="a-1", confirm=c, deadline=d),
    "patch": lambda w, c, d: _patch(w, d, confirm=c),
}
EACH = pytest.mark.parametrize("send", [pytest.param(s, id=name) for name, s in WRITES.items()])


async def test_an_apply_says_who_and_whether_by_force(
    api: Scripted, writer: KubernetesWriter
) -> None:
    api.always(200, {"kind": "NetworkPolicy"})
    body = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": {}}
    for force, dry_run in ((False, False), (True, True)):
        await writer.apply(
            PATH,
            body,
            force=force,
            dry_run=dry_run,
            action_id="a",
            confirm=at_once,
            deadline=soon(),
        )
    plain, forced = api.asked
    assert (plain.method, json.loads(plain.body)) == ("PATCH", body)
    assert plain.headers["Content-Type"] == "application/apply-patch+yaml"
    assert plain.query == {
        "fieldManager": "paramedic",
        "fieldValidation": "Strict",
        "force": "false",
    }
    assert (forced.query["force"], forced.query["dryRun"]) == ("true", "All")


async def test_a_creation_posts_the_object(api: Scripted, writer: KubernetesWriter) -> None:
    api.always(201, {"kind": "Event", "metadata": {"uid": "u"}})
    made = await writer.create(
        "/api/v1/namespaces/x/events",
        {"kind": "Event"},
        action_id="a",
        confirm=at_once,
        deadline=soon(),
    )
    assert made["metadata"] == {"uid": "u"}
    (asked,) = api.asked
    assert (asked.method, json.loads(asked.body)) == ("POST", {"kind": "Event"})


async def test_a_deletion_names_the_uid_and_how_long_it_may_take(
    api: Scripted, writer: KubernetesWriter
) -> None:
    api.always(200, {"kind": "Status", "status": "Success"})
    delete = partial(writer.delete, PATH, uid="u-1", action_id="a", confirm=at_once)
    await delete(deadline=soon())
    await delete(grace_s=0, dry_run=True, deadline=soon())
    first, second = (json.loads(asked.body) for asked in api.asked)
    assert [asked.method for asked in api.asked] == ["DELETE", "DELETE"]
    assert first["preconditions"] == {"uid": "u-1"}
    assert "gracePeriodSeconds" not in first
    assert "dryRun" not in first
    assert (second["gracePeriodSeconds"], second["dryRun"]) == (0, ["All"])


@EACH
async def test_a_write_that_is_not_confirmed_is_not_sent(
    api: Scripted, writer: KubernetesWriter, send: Send
) -> None:
    async def lost() -> None:
        raise Refused(Reason.CLAIM_LOST, "another one has it", 0)

    async def stuck() -> None:
        await asyncio.sleep(60.0)

    with pytest.raises(Refused) as refused:
        await send(writer, lost, soon())
    assert refused.value.reason is Reason.CLAIM_LOST
    with pytest.raises(Unavailable) as unavailable:
        await send(writer, stuck, soon(0.1))
    assert unavailable.value.reason is Reason.LATE
    assert api.asked == []


@EACH
@pytest.mark.parametrize(
    ("code", "kind"),
    [(403, Refused), (409, Refused), (429, Unavailable), (503, Indeterminate)],
)
async def test_each_kind_of_write_says_whether_it_may_have_been_done(
    api: Scripted, writer: KubernetesWriter, send: Send, code: int, kind: type[Exception]
) -> None:
    api.always(code, status(code, "x"))
    with pytest.raises(kind):
        await send(writer, at_once, soon())
    assert len(api.asked) == 1


async def test_a_patch_after_its_deadline_is_not_sent(
    api: Scripted, writer: KubernetesWriter
) -> None:
    with pytest.raises(Unavailable) as unavailable:
        await _patch(writer, Deadline.after(0))
    assert unavailable.value.reason is Reason.LATE
    assert api.asked == []


async def test_the_writer_uses_the_acting_account(api: Scripted, tmp_path: Path) -> None:
    (tmp_path / "act").mkdir()
    settings = KubernetesSettings(
        kubeconfig=kubeconfig(tmp_path, api.url),
        act_kubeconfig=kubeconfig(tmp_path / "act", api.url, token="acting"),
    )
    api.always(200, {"kind": "Deployment"})
    async with KubernetesWriter(settings) as writer:
        await _patch(writer)
    assert api.asked[0].headers["Authorization"] == "Bearer acting"
