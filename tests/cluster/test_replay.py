"""Each recorded exchange, sent again: the answer must be the recorded one,
and so must what changed in the store.
"""

import json
import re
from typing import Any

import pytest

from rehearsal.cluster import Cluster, too_many_requests
from tests.cluster.recorded import (
    differences,
    healthy_state,
    identities,
    open_session,
    resend,
    scenario,
)
from tests.cluster.stepped_clock import SteppedClock

NOT_EMULATED = {
    "list-endpoints": "Endpoints are deprecated: EndpointSlices are here",
    "read-endpoints": "as list-endpoints",
    "immutable-pvc": "claims are read only",
    "pod-resize-subresource": "pods/resize",
    "whoami": "SelfSubjectReview", "short-lived-before": "SelfSubjectReview",
    "rules": "SelfSubjectRulesReview", "rules-nobody": "SelfSubjectRulesReview",
    "rules-admin": "SelfSubjectRulesReview", "rules-without-namespace": "SelfSubjectRulesReview",
    "token-request": "serviceaccounts/token",
    "token-request-too-short": "serviceaccounts/token",
}  # fmt: skip

NOT_COMPARED = {
    "version": "the commit of the build",
    "list-pods-page-2": "its token is of the recorded server: see the test of pages",
    "can-evict-after": "follows from a write that is not emulated",
    "short-lived-after": "follows from a write that is not emulated",
    "patch-secret-dry-run": "the values of Secrets are redacted in the recording",
    "delete-serviceaccount": "made by a write that was not recorded",
    "immutable-pod-resources": "its pod is of a later state",
    "metrics-503": "the group is registered without a backend; here it is not registered",
}

SCENARIOS = ("01", "05a", "05b", "05c", "09", "11", "12b", "12c")


def replayed(name: str) -> list[str]:
    return [
        entry["name"]
        for entry in scenario(name)["exchanges"]
        if entry["name"] not in NOT_EMULATED and entry["name"] not in NOT_COMPARED
    ]


def _is_not_emulated(answer: Any) -> bool:
    return (
        answer.status == 501
        and answer.body["reason"] == "NotImplemented"
        and "does not emulate" in answer.body["message"]
    )


async def _replay_one(cluster: Cluster, session: Any, recorded: Any) -> list[str]:
    if "before" in recorded:
        cluster.seed([recorded["before"]])
    elif (
        recorded.get("first") and "metadata" in recorded["response"]["body"]
    ):  # the scenario begins in a state of its own
        cluster.seed([recorded["response"]["body"]])
    answer = await resend(session, recorded)
    if recorded["name"] in NOT_EMULATED:
        return (
            []
            if _is_not_emulated(answer)
            else [f"{answer.status} instead of 501: {json.dumps(answer.body)[:200]}"]
        )
    if recorded["name"] in NOT_COMPARED:
        return []
    return differences(recorded, answer) + _effect(cluster, recorded, answer)


def _effect(cluster: Cluster, recorded: Any, answer: Any) -> list[str]:
    """What the write did to the store: a new version or none,
    and what was answered is what is kept.
    """
    before = recorded.get("before")
    if before is None:
        return []
    plural = re.search(r"namespaces/[^/]+/([a-z]+)", recorded["request"]["path"])
    assert plural is not None
    after = cluster.get(plural[1], before["metadata"]["namespace"], before["metadata"]["name"])
    moved = after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
    expected = recorded.get("changes", False)
    found = [] if moved is expected else [f"stored: {moved}, recorded: {expected}"]
    if expected and after != answer.body:
        found.append("what is kept is not what was answered")
    return found


@pytest.mark.parametrize("name", SCENARIOS)
async def test_every_recorded_exchange_is_answered_as_recorded_or_with_an_honest_501(
    name: str,
) -> None:
    wrong = {}
    async with (
        Cluster(healthy_state(), controllers=False, identities=identities()) as cluster,
        open_session(cluster) as session,
    ):
        for recorded in scenario(name)["exchanges"]:
            if "429" in recorded["name"]:
                cluster.inject(too_many_requests(times=1))
            found = await _replay_one(cluster, session, recorded)
            if found:
                wrong[recorded["name"]] = found
    assert wrong == {}


async def test_a_terminating_namespace_behaves_as_recorded() -> None:
    wrong, clock = {}, SteppedClock()
    async with Cluster(clock=clock) as cluster, open_session(cluster) as session:
        for recorded in scenario("12d")["exchanges"]:
            if recorded["name"] in {"read-namespace-terminating", "read-configmap-gone"}:
                await clock.advance(5.0)  # the recorded client waited here too
            found = differences(recorded, await resend(session, recorded))
            if found:
                wrong[recorded["name"]] = found
    assert wrong == {}


def test_most_of_the_recorded_exchanges_are_compared() -> None:
    compared = sum(len(replayed(name)) for name in (*SCENARIOS, "12d"))
    assert compared >= 190, compared
