"""The Kubernetes clients against a scripted API server: statuses, pages, logs, and what a lost reply means."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from service.clients.kubernetes import KubernetesReader, workload_path
from service.clients.kubernetes_write import MERGE, KubernetesWriter
from service.kit.deadline import Deadline
from service.model.errors import BadConfig, Indeterminate, Refused, Unavailable
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
async def reader(api, tmp_path) -> AsyncIterator[KubernetesReader]:
    async with KubernetesReader(
        KubernetesSettings(kubeconfig=kubeconfig(tmp_path, api.url))
    ) as client:
        yield client


@pytest.fixture
async def writer(api, tmp_path) -> AsyncIterator[KubernetesWriter]:
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


async def test_an_object_is_read_as_it_is_with_our_name_and_token(api, reader):
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
    api, reader, code, reason, kind
):
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


async def test_load_shedding_says_when_to_come_again(api, reader):
    api.always(429, "Too many requests", **{"Retry-After": "7"})
    with pytest.raises(Unavailable) as unavailable:
        await reader.get(PATH, deadline=soon())
    assert unavailable.value.retry_after_s == 7.0


async def test_a_message_that_quotes_a_whole_object_is_cut(api, reader):
    api.always(422, status(422, "Secret is invalid: " + "c2VjcmV0" * 1000))
    with pytest.raises(Refused) as refused:
        await reader.get(PATH, deadline=soon())
    assert len(refused.value.detail) < 320


async def test_an_answer_that_is_no_object_is_wrong(api, reader):
    for body in ("<html>", "[1, 2]"):
        api.always(200, body)
        with pytest.raises(Unavailable) as unavailable:
            await reader.get(PATH, deadline=soon())
        assert unavailable.value.reason is Reason.WRONG_ANSWER


async def test_a_list_is_read_page_by_page(api, reader):
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


async def test_an_empty_list_may_be_null(api, reader):
    api.always(200, {"kind": "PodList", "metadata": {}, "items": None})
    assert await reader.list("/api/v1/namespaces/x/pods", deadline=soon()) == []


async def test_a_log_is_text_whatever_its_bytes_are(api, reader):
    api.answer = lambda _: web.Response(body=b"good\n\xff\xfebad\n", content_type="text/plain")
    text = await reader.log("x", "pod-1", "main", previous=True, tail=7, deadline=soon())
    assert text == "good\n\ufffd\ufffdbad\n"
    assert api.asked[0].query["tailLines"] == "7"
    assert (api.asked[0].query["container"], api.asked[0].query["previous"]) == ("main", "true")


@pytest.mark.parametrize(
    "name", ["../../secrets", "a/../../../secrets/b", "a?x=y", "a#b", "a%2Fb", "a b", "", ".", "a/"]
)
async def test_a_name_that_would_lead_elsewhere_is_refused_before_anything_is_sent(
    api, reader, name
):
    path = workload_path(Target(TargetKind.DEPLOYMENT, "x", name))
    with pytest.raises(Refused) as refused:
        await reader.get(path, deadline=soon())
    assert refused.value.reason is Reason.INVALID_REQUEST
    assert api.asked == []


async def test_a_rotated_token_is_taken_up_after_a_401(api, reader, tmp_path):
    api.always(401, status(401, "Unauthorized"))
    with pytest.raises(Refused):
        await reader.get(PATH, deadline=soon())
    kubeconfig(tmp_path, api.url, token="new")
    api.always(200, {"kind": "Deployment"})
    await reader.get(PATH, deadline=soon())
    assert api.asked[-1].headers["Authorization"] == "Bearer new"


async def test_a_kubeconfig_that_cannot_be_read_is_a_bad_configuration(tmp_path):
    file = tmp_path / "kubeconfig"
    file.write_text("contexts: [")
    with pytest.raises(BadConfig, match="kubeconfig"):
        await KubernetesReader(KubernetesSettings(kubeconfig=file)).open()


async def _patch(
    writer: KubernetesWriter, deadline: Deadline | None = None, *, dry_run: bool = False
) -> object:
    body = {"spec": {"replicas": 4}}
    return await writer.patch(
        PATH,
        body,
        content_type=MERGE,
        action_id="a-1",
        dry_run=dry_run,
        deadline=deadline or soon(),
    )


async def test_a_patch_is_sent_once_with_its_manager_and_strict_fields(api, writer):
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
    api, writer, code, message, kind, reason
):
    api.always(code, status(code, message))
    with pytest.raises(kind) as raised:
        await _patch(writer)
    assert raised.value.reason is reason
    assert len(api.asked) == 1


async def test_a_patch_whose_success_cannot_be_read_is_indeterminate(api, writer):
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
    api, tmp_path, fault, kind
):
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


async def test_a_patch_after_its_deadline_is_not_sent(api, writer):
    with pytest.raises(Unavailable) as unavailable:
        await _patch(writer, Deadline.after(0))
    assert unavailable.value.reason is Reason.LATE
    assert api.asked == []


async def test_the_writer_uses_the_acting_account(api, tmp_path):
    (tmp_path / "act").mkdir()
    settings = KubernetesSettings(
        kubeconfig=kubeconfig(tmp_path, api.url),
        act_kubeconfig=kubeconfig(tmp_path / "act", api.url, token="acting"),
    )
    api.always(200, {"kind": "Deployment"})
    async with KubernetesWriter(settings) as writer:
        await _patch(writer)
    assert api.asked[0].headers["Authorization"] == "Bearer acting"
