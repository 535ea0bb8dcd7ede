"""A recorded conversation sent again from its beginning: what one side calls X the other
calls Y, and must go on to.

uids, resourceVersions, names of pods, hashes and instants differ between two servers. They are
learnt from the first pair of answers that has them, put into later requests, and must then stay the
same: an equal resourceVersion in the recording means that nothing was written, here too.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from rehearsal.cluster import Cluster, Identity, Object, Rule
from tests.cluster.recorded import REVISION, Answer, open_session, send
from tests.cluster.stepped_clock import SteppedClock

_INSTANT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
_HASH = re.compile(r"-[0-9bcdfghjklmnpqrstvwxz]{9,10}(-[0-9bcdfghjklmnpqrstvwxz]{5})?(?![\w-])")
_EVENT = re.compile(r"\.[0-9a-f]{16}$")
_LEARNT = {"uid", "resourceVersion"}
_ADMIN = Identity("kubernetes-admin", (Rule(("*",), ("*",), ("*",)),))


@dataclass
class Names:
    """From the recorded word to ours."""

    versions_hold: bool  # nobody but the conversation writes, so an equal version must stay equal
    ours: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def learn(self, recorded: Any, found: Any, path: str = "") -> None:
        if isinstance(recorded, dict) and isinstance(found, dict):
            for key in recorded.keys() & found.keys():
                self._pair(key, recorded[key], found[key], path)
        elif isinstance(recorded, list) and isinstance(found, list):
            for one, other in zip(recorded, found, strict=False):
                self.learn(one, other, path)

    def _pair(self, key: str, recorded: Any, found: Any, path: str) -> None:
        if key in _LEARNT and isinstance(recorded, str) and recorded:
            if key == "uid" or self.versions_hold:
                self._same(recorded, found, f"{path}.{key}")
            else:
                self.ours[recorded] = found
        elif key == "pod-template-hash":
            self.ours.setdefault(recorded, found)
        else:
            self.learn(recorded, found, f"{path}.{key}")

    def _same(self, recorded: str, found: str, path: str) -> None:
        known = self.ours.setdefault(recorded, found)
        if known != found and not path.endswith("involvedObject.resourceVersion"):
            self.wrong.append(f"{path}: {found} where {recorded} was {known} before")

    def told(self, value: Any) -> Any:
        """The recorded value in our words."""
        if isinstance(value, dict):
            return {self.told(key): self.told(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.told(item) for item in value]
        if isinstance(value, str):
            if value in self.ours and len(value) > 3:
                return self.ours[value]
            for word, ours in self.ours.items():
                if len(word) > 8 and word in value:
                    value = value.replace(word, ours)
        return value


def plain(value: Any, key: str = "") -> Any:
    """Without instants and hashes, and without what controllers write when they see fit."""
    if isinstance(value, dict):
        is_pod = "containers" in value.get("spec", {}) and "metadata" in value
        left_out = {"status", "spec"} if is_pod else {"status"}
        return {
            name: plain(item, name)
            for name, item in value.items()
            if not (name in left_out and isinstance(item, dict) and "metadata" in value)
        }
    if isinstance(value, list):
        items = value
        if key == "managedFields":  # those of one second are in the order of their names
            items = sorted(
                (entry for entry in value if entry.get("subresource") != "status"), key=_who
            )
        return [plain(item) for item in items]
    if key == "resourceVersion":
        return ""
    if not isinstance(value, str):
        return value
    if _INSTANT.match(value):
        return "<instant>"
    return re.sub(_HASH, "-<hash>", re.sub(_EVENT, ".<moment>", value))


def _who(entry: Object) -> tuple[str, str, str]:
    return entry["manager"], entry["operation"], entry.get("subresource", "")


def without_unrecorded(wanted: Any, found: Any) -> Any:
    """What was found, without the managedFields that were left out when recording."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return {
            key: without_unrecorded(wanted.get(key), item)
            for key, item in found.items()
            if key != "managedFields" or key in wanted
        }
    if isinstance(wanted, list) and isinstance(found, list):
        return [
            without_unrecorded(wanted[index] if index < len(wanted) else {}, item)
            for index, item in enumerate(found)
        ]
    return found


class Conversation:
    """One file, one cluster, the recorded instants."""

    def __init__(self, cluster: Cluster, clock: SteppedClock, *, versions_hold: bool) -> None:
        self._cluster = cluster
        self._clock = clock
        self.names = Names(versions_hold)

    async def until(self, t: float) -> None:
        """To the recorded instant, measured from the start of the cluster."""
        await self._clock.advance(max(0.0, t - self._clock.monotonic()))

    async def ask(self, recorded: Any) -> Answer:
        self._meet_current_version(recorded["request"])
        request = self.names.told(recorded["request"])
        body = request.get("body")
        headers = request["headers"]
        content_type = headers.get("content-type", "application/json")
        if recorded["name"] == "apply-yaml-text":
            body = body.encode()
        async with open_session(self._cluster) as session:
            session.headers["User-Agent"] = headers["user-agent"]
            return await send(
                session,
                request["method"],
                request["path"],
                query=request.get("query"),
                body=body,
                content_type=content_type,
                accept=headers.get("accept", "application/json"),
                who=recorded["as"],
            )

    def _meet_current_version(self, request: Any) -> None:
        """A version that controllers had written, and that no answer shows, is that of now."""
        body = request.get("body")
        version = (
            body.get("metadata", {}).get("resourceVersion") if isinstance(body, dict) else None
        )
        if version is None or len(version) <= 3 or version in self.names.ours:
            return
        _, plural, name = request["path"].removesuffix("/scale").rsplit("/", 2)
        found = self._cluster.find(plural, request["path"].split("/")[5], name)
        if found is not None:
            self.names.ours[version] = found["metadata"]["resourceVersion"]

    def compare(self, recorded: Any, answer: Answer) -> list[str]:
        wanted = recorded["response"]
        if answer.status != wanted["status"]:
            return [
                f"status {answer.status} instead of {wanted['status']}: {json.dumps(answer.body)[:300]}"
            ]
        found = []
        warnings = wanted.get("headers", {}).get("warning", [])
        if answer.warnings != (warnings if isinstance(warnings, list) else [warnings]):
            found.append(f"warnings {answer.warnings}")
        self.names.wrong.clear()
        recorded_body, ours = _in_order(wanted["body"]), _in_order(answer.body)
        self.names.learn(recorded_body, ours)
        if wanted["status"] >= 300:
            return found + unequal(self.names.told(wanted["body"]), answer.body, "")
        versions = list(self.names.wrong)
        body = self.names.told(recorded_body)
        ours = without_unrecorded(body, ours)
        if self.names.versions_hold:  # and no controller writes it
            for side in (body, ours):
                side["metadata"].get("annotations", {}).pop(REVISION, None)
        return found + versions + unequal(plain(body), plain(ours), "")


def _in_order(body: Any) -> Any:
    """A list of ReplicaSets by revision: their names end in hashes."""
    if not isinstance(body, dict) or body.get("kind") != "ReplicaSetList":
        return body

    def revision(item: Object) -> int:
        return int(item["metadata"]["annotations"][REVISION])

    return body | {"items": sorted(body["items"], key=revision)}


def unequal(wanted: Any, found: Any, path: str) -> list[str]:
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [
            line
            for key in sorted({*wanted, *found})
            for line in unequal(wanted.get(key), found.get(key), f"{path}.{key}")
        ]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [
            line
            for index, pair in enumerate(zip(wanted, found, strict=True))
            for line in unequal(*pair, f"{path}[{index}]")
        ]
    if wanted == found:
        return []
    return [f"{path}: {json.dumps(found)[:300]} instead of {json.dumps(wanted)[:300]}"]


def admins() -> dict[str, Identity]:
    return {"admin": _ADMIN}
