"""Whether a change goes back, by what, and what proves it: the pure part of a return."""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from service.act import KINDS
from service.decide.by_hand import commands
from service.decide.returning import Stays, inverse_of, replaced, stays
from service.guard.chain import CHAIN, NOT_FOR_RETURNS, rule
from service.guard.question import Objection, Question
from service.model.action import ActionResult, Applied, Intent, Mode
from service.model.incident import Outcome, OutcomeKind, Progress
from service.model.journal import JournalEntry
from service.model.objects import ObjectRef, Survey, Write
from service.model.playbook import Playbook, Remedy, ReturnOn, Truth, VerifyPlan
from service.model.reasons import Reason
from service.publish.kube_events import said_of
from service.verify.judge import Again, begin
from service.verify.returned import judge_return
from tests.unit.made import KILL, SCALE, T0, TARGET, after, shipped
from tests.unit.test_guard import asked

PLAYBOOK: Playbook = shipped()
SCALE_OUT: Remedy = next(r for r in PLAYBOOK.remedies if r.name == "scale-out")
DONE = ActionResult(Applied.DONE, Reason.DONE, "taken", T0)
INTENT = Intent("act-1", "inc-1", "scale-out", "scale", SCALE, Mode.AUTO, T0)


def outcome(kind: OutcomeKind) -> Outcome:
    return Outcome(kind, Reason.DONE, "", T0)


@pytest.mark.parametrize("kind", list(OutcomeKind))
def test_only_what_got_worse_or_did_not_heal_is_taken_back(kind: OutcomeKind) -> None:
    found = inverse_of(KINDS["scale"], INTENT, outcome(kind))
    wanted = kind in (OutcomeKind.WORSE, OutcomeKind.NOT_HEALED)
    assert found == (KINDS["scale"].inverse(SCALE) if wanted else None)


def test_a_return_is_never_taken_back_nor_is_what_has_no_inverse() -> None:
    worse = outcome(OutcomeKind.WORSE)
    assert inverse_of(KINDS["scale"], replace(INTENT, returns="act-0"), worse) is None
    killing = Intent("act-2", "inc-1", "kill", "kill_query", KILL, Mode.AUTO, T0)
    assert inverse_of(KINDS["kill_query"], killing, worse) is None
    assert inverse_of(None, INTENT, worse) is None


@pytest.mark.parametrize(
    ("on", "kind", "result", "firing", "expected"),
    [
        pytest.param("not_healed", "not_healed", DONE, True, None, id="not healed"),
        pytest.param("not_healed", "worse", DONE, True, None, id="worse"),
        pytest.param("not_healed", "worse", DONE, False, None, id="worse, and resolved"),
        pytest.param("not_healed", "not_healed", DONE, False, "alert_resolved", id="not healed, and resolved"),
        pytest.param("worse", "worse", DONE, False, None, id="worse alone: worse"),
        pytest.param("worse", "not_healed", DONE, True, "return_off", id="worse alone: not healed"),
        pytest.param("never", "worse", DONE, True, "return_off", id="never"),
        pytest.param(
            "not_healed", "worse", replace(DONE, reason=Reason.ALREADY_DONE), True, "already_done",
            id="it was so before",
        ),
        pytest.param(None, "worse", DONE, True, "no_playbook", id="the rung is gone"),
    ],
)  # fmt: skip
def test_a_change_stays_for_a_reason(
    on: str | None, kind: str, result: ActionResult, firing: bool, expected: str | None
) -> None:
    remedy = replace(SCALE_OUT, return_on=ReturnOn(on)) if on else None
    why = stays(remedy, result, outcome(OutcomeKind(kind)), firing=firing)
    assert (why.reason if why else None) == expected


def test_why_a_change_stays_is_a_sentence() -> None:
    worse, futile = outcome(OutcomeKind.WORSE), outcome(OutcomeKind.NOT_HEALED)
    never, back = (replace(SCALE_OUT, return_on=on) for on in (ReturnOn.NEVER, ReturnOn.NOT_HEALED))
    before = replace(DONE, reason=Reason.ALREADY_DONE)
    gone = "the playbook has no such rung any more, so nobody says that it may go back"
    assert stays(None, DONE, worse, firing=True) == Stays(Reason.NO_PLAYBOOK, gone)
    off = Stays(Reason.RETURN_OFF, "the rung says `return: never`")
    assert stays(never, DONE, worse, firing=True) == off
    theirs = "it was so before: it is not this action's to take back"
    assert stays(back, before, worse, firing=True) == Stays(Reason.ALREADY_DONE, theirs)
    perhaps = "its alerts have resolved, perhaps because of it"
    assert stays(back, DONE, futile, firing=False) == Stays(Reason.ALERT_RESOLVED, perhaps)
    assert stays(back, None, futile, firing=True) is None


def test_another_object_or_none_under_the_name_is_not_what_was_written_to() -> None:
    assert TARGET.ref is not None
    uids = {TARGET.ref.path: "uid-1"}
    assert replaced(uids, [Survey(TARGET.ref, "uid-1")]) is None
    assert "is uid-2 now" in (replaced(uids, [Survey(TARGET.ref, "uid-2")]) or "")
    assert "is gone now" in (replaced(uids, [Survey(TARGET.ref, "")]) or "")
    assert replaced({}, [Survey(TARGET.ref, "uid-2")]) is None


# ---------------------------------------------------------------------- guards


def test_what_a_return_is_not_asked_for_is_a_guard_that_there_is() -> None:
    assert set(CHAIN) >= NOT_FOR_RETURNS


@pytest.mark.parametrize("name", CHAIN)
def test_every_other_guard_holds_a_return_back(name: str) -> None:
    def no(question: Question) -> Objection:
        return Objection(Reason.GUARD_FAILED, "no")

    chain = {**CHAIN, name: no}
    assert not rule(asked(), chain).allowed
    assert rule(replace(asked(), returning=True), chain).allowed is (name in NOT_FOR_RETURNS)


# ---------------------------------------------------------------------- proof

PLAN = VerifyPlan(settle_s=10.0, within_s=60.0, readings=2, every_s=10.0)


def proved(*readings: Truth | str) -> Outcome | Again:
    """The verdict after these readings of `worse`, or of who has changed it back."""
    progress: Progress = begin(PLAN, Progress(), T0).progress
    verdict: Outcome | Again = Again(T0, progress)
    for reading in readings:
        assert isinstance(verdict, Again)
        progress, at = verdict.progress, verdict.progress.due_at or T0
        worse = reading if isinstance(reading, Truth) else Truth.FAILS
        gone = None if isinstance(reading, Truth) else reading
        verdict = judge_return(worse, gone, progress, PLAN, PLAYBOOK, began_at=at, now=at)
    return verdict


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        pytest.param([Truth.FAILS], None, id="one is too few"),
        pytest.param([Truth.FAILS] * 2, ("not_healed", "returned"), id="as it was"),
        pytest.param([Truth.FAILS, Truth.HOLDS, Truth.FAILS], None, id="not in a row"),
        pytest.param([Truth.HOLDS] * 6, ("worse", "readings_worse"), id="worse still"),
        pytest.param([Truth.UNKNOWN] * 12, ("inconclusive", "readings_unknown"), id="nobody can say"),
        pytest.param([Truth.FAILS, "it is 7"], ("reverted", "reverted"), id="another hand"),
    ],
)  # fmt: skip
def test_a_return_is_proved_by_readings_that_are_no_worse_and_never_says_healed(
    readings: list[Truth | str], expected: tuple[str, str] | None
) -> None:
    verdict = proved(*readings)
    told = (verdict.kind.value, verdict.reason.value) if isinstance(verdict, Outcome) else None
    assert told == expected


def test_a_return_says_what_it_was_proved_by() -> None:
    assert PLAYBOOK.worse is not None
    verdicts = {}
    for worse in (Truth.FAILS, Truth.HOLDS, Truth.UNKNOWN):
        verdict = proved(*[worse] * {Truth.FAILS: 2, Truth.HOLDS: 6, Truth.UNKNOWN: 12}[worse])
        assert isinstance(verdict, Outcome)
        verdicts[worse] = (verdict.detail, (verdict.at - T0).total_seconds())
    assert verdicts == {
        Truth.FAILS: ("as it was before the action, in 2 readings", 20),
        Truth.HOLDS: (f"taken back, and after 60 s still {PLAYBOOK.worse.text}", 60),
        Truth.UNKNOWN: ("taken back; after 60 s nobody can say whether it is still worse", 120),
    }


def test_a_return_that_has_no_condition_to_be_worse_by_says_nothing_of_it() -> None:
    playbook = replace(PLAYBOOK, worse=None)
    late, progress = after(60), replace(begin(PLAN, Progress(), T0).progress, due_at=after(60))
    verdict = judge_return(Truth.HOLDS, None, progress, PLAN, playbook, began_at=late, now=late)
    assert isinstance(verdict, Outcome)
    assert verdict.detail == "taken back, and after 60 s still "


# ---------------------------------------------------------------------- by hand

DEPLOYMENT = ObjectRef("apps/v1", "deployments", "Deployment", "carbon-ingestion", "svc")
CONTAINERS = ("spec", "template", "spec", "containers", 'k:{"name":"app"}', "resources", "limits")


@pytest.mark.parametrize(
    ("writes", "form", "body"),
    [
        pytest.param([(("spec", "replicas"), 2)], "merge", '{"spec":{"replicas":2}}', id="a field"),
        pytest.param(
            [((*CONTAINERS, "memory"), "4Gi")], "strategic",
            '{"spec":{"template":{"spec":{"containers":[{"name":"app","resources":{"limits":{"memory":"4Gi"}}}]}}}}',
            id="an item of a list",
        ),
        pytest.param(
            [((*CONTAINERS, "memory"), "4Gi"), ((*CONTAINERS, "cpu"), None)], "strategic",
            '{"spec":{"template":{"spec":{"containers":[{"name":"app","resources":{"limits":{"memory":"4Gi","cpu":null}}}]}}}}',
            id="two of one item",
        ),
    ],
)  # fmt: skip
def test_a_person_gets_the_patch_that_the_request_would_write(
    writes: list[tuple[tuple[str, ...], Any]], form: str, body: str
) -> None:
    (command,) = commands([Write(DEPLOYMENT, path, value) for path, value in writes])
    assert shlex.split(command) == [
        "kubectl", "-n", "carbon-ingestion", "patch", "deployments.v1.apps/svc", f"--type={form}", "-p", body,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "shown"),
    [({}, 1), ({"known": False}, 0), ({"value": "x" * 3_000}, 0)],
    ids=["whole", "not known beforehand", "too long to be shown"],
)
def test_a_command_is_whole_or_not_there(changes: Mapping[str, Any], shown: int) -> None:
    write = replace(Write(DEPLOYMENT, ("spec", "replicas"), 2), **changes)
    assert len(commands([write])) == shown


def test_what_is_not_known_hides_no_other_object() -> None:
    other = replace(DEPLOYMENT, name="other")
    hidden = Write(DEPLOYMENT, ("spec", "replicas"), 2, known=False)
    (command,) = commands([hidden, Write(other, ("spec", "replicas"), 2)])
    assert "deployments.v1.apps/other" in command


def test_what_is_in_no_namespace_and_of_no_group_is_named_plainly() -> None:
    node = ObjectRef("v1", "nodes", "Node", "", "n1")
    (command,) = commands([Write(node, ("spec", "unschedulable"), True)])
    assert command == (
        """kubectl patch nodes/n1 --type=merge -p '{"spec":{"unschedulable":true}}'"""
    )


def test_a_command_may_be_as_long_as_people_can_copy() -> None:
    (short,) = commands([Write(DEPLOYMENT, ("data",), "")])
    room = 2_000 - len(short)
    assert [len(c) for c in commands([Write(DEPLOYMENT, ("data",), "x" * room)])] == [2_000]
    assert commands([Write(DEPLOYMENT, ("data",), "x" * (room + 1))]) == ()


def test_an_item_of_a_list_is_there_once_whatever_is_written_of_it() -> None:
    item = CONTAINERS[:5]
    writes = [Write(DEPLOYMENT, item, None), Write(DEPLOYMENT, (*item, "image"), "app:2")]
    (command,) = commands(writes)
    assert shlex.split(command)[-1] == (
        '{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"app:2"}]}}}}'
    )


def test_what_a_command_is_made_of_cannot_leave_its_quotes() -> None:
    nasty = replace(DEPLOYMENT, name="svc'; rm -rf /; '")
    (command,) = commands([Write(nasty, ("data", "k'x"), "$(reboot) `id` '")])
    words = shlex.split(command)
    assert len(words) == 8
    assert words[-1] == '{"data":{"k\'x":"$(reboot) `id` \'"}}'


def test_each_kind_says_whether_it_can_be_taken_back() -> None:
    assert {name for name, kind in KINDS.items() if kind.reversible} == {
        "scale", "scale_to", "rollout_undo", "patch_memory_limit", "patch_probe_delay",
        "patch_pod_annotations", "patch_config",
    }  # fmt: skip


def test_an_event_calls_a_return_by_its_name_and_not_a_second_failure() -> None:
    returned = {"kind": "not_healed", "reason": "returned", "detail": "as it was"}
    data = {"rung": "scale-out", "outcome": returned, "returns": "act-1"}
    said = said_of(JournalEntry(1, "inc-1", "lag", TARGET.key, T0, "verified", data))
    assert said is not None
    assert (said.type, said.reason) == ("Normal", "RemediationReturned")
