"""The recordings: reading them, sending them to an emulator, saying where its answer differs."""

import copy
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp

from rehearsal.cluster import Cluster, Identity, Object

FOLDER = Path(__file__).parent / "recordings"
STRATEGIC = "application/strategic-merge-patch+json"
REVISION = "deployment.kubernetes.io/revision"


@cache
def _text(name: str) -> str:
    return next(FOLDER.glob(f"{name}_*.json")).read_text("utf-8")


def scenario(name: str) -> Any:
    return json.loads(_text(name))


def exchange(name: str, which: str) -> Any:
    return next(entry for entry in scenario(name)["exchanges"] if entry["name"] == which)


def healthy_state() -> list[Object]:
    """Every object of the recorded platform, statuses included."""
    return list(scenario("01")["state"])


def identities() -> dict[str, Identity]:
    role = next(obj for obj in healthy_state() if obj["kind"] == "Role")
    everything = {
        "metadata": {"name": "admin", "namespace": ""},
        "rules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
    }
    admin = Identity("kubernetes-admin", Identity.of_role("x", everything).rules)
    return {
        "admin": admin,
        "serviceaccount:carbon-ingestion": Identity.of_role("carbon-ingestion", role),
        "serviceaccount:short-lived": Identity(
            "system:serviceaccount:carbon-ingestion:short-lived"
        ),
        "nobody": Identity("nobody"),
    }


class Answer:
    def __init__(self, status: int, headers: Any, body: Any) -> None:
        self.status = status
        self.content_type = headers.get("Content-Type", "")
        self.headers = headers
        self.warnings = headers.getall("Warning", [])
        self.body = body


async def send(
    session: aiohttp.ClientSession,
    method: str,
    path: str,
    *,
    query: Any = None,
    body: Any = None,
    content_type: str = "application/json",
    accept: str = "application/json",
    who: str = "admin",
) -> Answer:
    headers = {"Content-Type": content_type, "Accept": accept}
    if who != "no-token":
        headers["Authorization"] = f"Bearer {who}"
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    async with session.request(
        method, path, params=query or {}, data=data, headers=headers
    ) as response:
        raw = await response.read()
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        return Answer(
            response.status, response.headers, json.loads(raw) if is_json else raw.decode()
        )


async def resend(session: aiohttp.ClientSession, recorded: Any) -> Answer:
    request = recorded["request"]
    headers, body = request.get("headers", {}), request.get("body")
    if recorded["name"] == "malformed-json":
        body = body.encode()  # what was sent was no JSON
    return await send(
        session,
        request["method"],
        request["path"],
        query=request.get("query"),
        body=body,
        content_type=headers.get("content-type", "application/json"),
        accept=headers.get("accept", "application/json"),
        who=recorded["as"],
    )


def elided(value: Any) -> Any:
    """Without the whole object that a complaint about a merge or JSON patch quotes."""
    if isinstance(value, str):
        return re.sub(
            r'Invalid value: "\{.*\}": ', 'Invalid value: "...": ', value, flags=re.DOTALL
        )
    if isinstance(value, dict):
        return {key: elided(item) for key, item in value.items()}
    return [elided(item) for item in value] if isinstance(value, list) else value


def differences(recorded: Any, answer: Answer) -> list[str]:
    """In words; empty when the emulator answered as the real server did."""
    wanted = recorded["response"]
    found = []
    if answer.status != wanted["status"]:
        return [
            f"status {answer.status} instead of {wanted['status']}: {json.dumps(answer.body)[:300]}"
        ]
    headers = wanted.get("headers", {})
    warnings = headers.get("warning", [])
    if answer.warnings != (warnings if isinstance(warnings, list) else [warnings]):
        found.append(f"warnings {answer.warnings} instead of {warnings}")
    kind = headers.get("content-type", "application/json")
    if not answer.content_type.startswith(kind):
        found.append(f"content type {answer.content_type} instead of {kind}")
    return found + _body_differences(recorded, wanted["body"], answer.body)


def _body_differences(recorded: Any, wanted: Any, body: Any) -> list[str]:
    if isinstance(wanted, str):
        return _text_differences(recorded, wanted, body)
    if wanted.get("kind") == "Status":
        return _unequal(_anonymous(wanted), _anonymous(elided(body)), "")
    if "names" in wanted:
        return _list_differences(recorded, wanted, body)
    if "same_as_state" in wanted:
        key = tuple(wanted["same_as_state"])
        wanted = next(
            obj
            for obj in healthy_state()
            if (obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]) == key
        )
    found = _comparable(recorded, body)
    if "managedFields" not in wanted["metadata"]:  # left out when recording
        found.get("metadata", {}).pop("managedFields", None)
    return _unequal(_comparable(recorded, wanted), found, "")


def _text_differences(recorded: Any, wanted: str, body: Any) -> list[str]:
    path = recorded["request"]["path"]
    if path.endswith("/log"):  # lines are invented on both sides: their number and form count
        stamped = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z ")
        same = [line for line in body.splitlines() if stamped.match(line)] and body.endswith("\n")
        return (
            [] if same and len(body.splitlines()) == len(wanted.splitlines()) else [f"log {body!r}"]
        )
    if path == "/readyz":
        same = wanted.splitlines()[-1] == body.splitlines()[-1] and wanted[:12] == body[:12]
        return [] if same else [f"readyz {body!r}"]
    return [] if wanted == body else [f"text {body!r} instead of {wanted!r}"]


def _list_differences(recorded: Any, wanted: Any, body: Any) -> list[str]:
    items = body["items"]
    wanted_names, names = wanted["names"], [item["metadata"]["name"] for item in items]
    if recorded["request"]["path"].endswith("/events") and "healer" in json.dumps(wanted_names):
        # the recorded cluster had a longer history: only what this scenario wrote is compared
        wanted_names, names = (
            [name for name in side if re.search(r"healer-\d+$", name)]
            for side in (wanted_names, names)
        )
    found = _unequal(wanted_names, names, "names")
    found += _unequal(
        {"kind": wanted["kind"], "apiVersion": wanted["apiVersion"]},
        {"kind": body["kind"], "apiVersion": body["apiVersion"]},
        "list",
    )
    for field in ("continue", "remainingItemCount"):
        if (field in wanted["metadata"]) != (field in body["metadata"]):
            found.append(f"{field}: {body['metadata'].get(field)}")
    partial = wanted["kind"] == "PartialObjectMetadataList"
    if any(("kind" in item) is not partial for item in items):
        found.append("items have a kind and an apiVersion")
    return found


def _comparable(recorded: Any, obj: Any) -> Any:
    """Without what no two servers agree on: versions, uids and instants of objects made just
    now.
    """
    plain = copy.deepcopy(obj)
    metadata = plain.get("metadata", {})
    metadata.pop("resourceVersion", None)
    metadata.pop("deletionTimestamp", None)
    method = recorded["request"]["method"]
    by_this_scenario = plain.get("kind") == "Event" and "healer" in metadata["name"]
    if (
        method == "POST"
        or metadata.get("namespace", "carbon-scratch") == "carbon-scratch"
        or by_this_scenario
    ):
        metadata.pop("uid", None)
        metadata.pop("creationTimestamp", None)
    if "generateName" in metadata and method == "POST":
        metadata.pop("name")
    controllers_wrote = method == "GET" and "same_as_state" not in recorded["response"]["body"]
    if controllers_wrote and plain.get("kind") in {"Deployment", "StatefulSet"}:
        plain.pop("status", None)
        metadata.get("annotations", {}).pop(REVISION, None)
    if plain.get("kind") == "Namespace":
        plain["status"] = {"phase": plain["status"]["phase"]}
    return plain if plain.get("kind") != "VersionInfo" else {}


def _anonymous(status: Any) -> Any:
    plain = copy.deepcopy(status)
    plain.get("details", {}).pop("uid", None)
    return plain


def _unequal(wanted: Any, found: Any, path: str) -> list[str]:
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [
            line
            for key in sorted({*wanted, *found})
            for line in _unequal(wanted.get(key), found.get(key), f"{path}.{key}")
        ]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [
            line
            for index, pair in enumerate(zip(wanted, found, strict=True))
            for line in _unequal(*pair, f"{path}[{index}]")
        ]
    return (
        []
        if wanted == found
        else [f"{path}: {json.dumps(found)[:200]} instead of {json.dumps(wanted)[:200]}"]
    )


def open_session(cluster: Cluster) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(cluster.url)
