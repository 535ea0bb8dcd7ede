"""What did not help goes back: once, guarded, proved, whatever dies in between,
and never over another hand.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.act.kind import Deed, Permit
from service.act.patch_config import PatchConfig
from service.diagnose.chapters.low_throughput import LowThroughputEvidence
from service.kit.clock import VirtualClock
from service.model.action import Applied, Intent, Mode
from service.model.errors import Indeterminate, Refused, Unavailable
from service.model.evidence import Evidence, Known, Reading, Unknown
from service.model.incident import IncidentState, OutcomeKind
from service.model.objects import Holder, Seen, Survey, System, Write
from service.model.playbook import Playbook
from service.model.reasons import Reason
from tests.path.world import Crash, MortalDatabase, Platform, World, world
from tests.unit.data_made import playbook, seen
from tests.unit.made import GOOD, T0, evidence, healthy, playbooks_in

OPEN, ACTING, WAITING, VERIFYING, HEALED, ESCALATED, CLOSED = IncidentState

# One replica more heals nothing here; a person is the next rung.
LADDER = """\
remedies:
  - name: scale-out
    when: evidence.kafka.lag_growing && evidence.pods.desired < 3
    do: {scale: {from: "{{ evidence.pods.desired }}", by: 1, max: 5}}
    mode: auto
  - name: ask-somebody
    when: evidence.kafka.lag_growing
    do: {human: {say: look at it}}
    mode: auto
healed: evidence.kafka.lag_total < 5000
worse: evidence.pods.ready < before.pods.ready
verify: {settle: 10s, within: 1m, every: 10s, readings: 2}
limits: {per_target: 1/1h, per_playbook: 1/1h, cooldown: 10m}
"""


def ladder(folder: Path, *changes: tuple[str, str]) -> Playbook:
    """The playbook above; each change replaces a text in it."""
    text = GOOD[: GOOD.index("remedies:")] + LADDER
    for was, now in changes:
        assert was in text
        text = text.replace(was, now)
    return playbooks_in(folder, text)[0]


END = "mode: auto\n  - name: ask"  # of the first rung


def saying(text: str) -> tuple[str, str]:
    """A change of the first rung: one line more."""
    return END, END.replace("\n", f"\n    {text}\n", 1)


def worse_with_three(made: World, playbook: Playbook) -> Evidence:
    """The third replica takes another one away."""
    replicas = made.platform.replicas
    ready = 1 if replicas == 3 else 2
    return evidence(made.clock.now(), pods={"desired": replicas, "ready": ready})


def as_they_are(made: World) -> Callable[[Sequence[Write]], Reading[tuple[Survey, ...]]]:
    """Surveys that tell the platform's replicas."""

    def survey(writes: Sequence[Write]) -> Reading[tuple[Survey, ...]]:
        values = {write.key: made.platform.replicas for write in writes}
        ref = writes[0].ref
        return Known((Survey(ref, "uid-1", values=values),), "platform", made.clock.now(), 0.0)

    return survey


@asynccontextmanager
async def firing(
    url: str, clock: VirtualClock, playbook: Playbook, **more: Any
) -> AsyncIterator[World]:
    """A world with that playbook, one alert in it, whose surveys tell what is there."""
    async with world(url, clock, playbooks=(playbook,), replicas_needed=99, **more) as made:
        made.platform.surveys = as_they_are(made)
        await made.fires()
        yield made


async def lines(made: World) -> list[tuple[str | None, str | None, str | None]]:
    """The ledger: outcome, its reason, and what the action takes back (by its place in the
    list).
    """
    rows = sorted(await made.ledger.entries(None, 20), key=lambda row: row["intended_at"])
    place = {row["action_id"]: str(n) for n, row in enumerate(rows)}
    return [(r["outcome"], r["outcome_reason"], place.get(r["returns"])) for r in rows]


async def steps(made: World, kind: str) -> list[dict[str, Any]]:
    record = await made.incidents.record((await made.only()).id)
    assert record is not None
    return [step["data"] for step in record[2] if step["kind"] == kind]


async def until_verifying(made: World) -> None:
    """The action is done, and its first reading not taken."""
    while (await made.only()).state is not VERIFYING:
        await made.step_when_due()


# ---------------------------------------------------------------------- the two outcomes


async def test_what_got_worse_goes_back_and_a_person_has_both_in_the_record(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p"), see=worse_with_three) as made:
        await made.settle()
        assert made.platform.replicas == 2
        assert await lines(made) == [
            ("worse", "readings_worse", None), ("not_healed", "returned", "0"),
        ]  # fmt: skip
        incident = await made.only()
        assert (incident.state, incident.reason) == (ESCALATED, Reason.RETURNED)
        assert incident.outcome is OutcomeKind.WORSE
        assert await made.told() == [
            ("diagnosed", ""), ("decided", "scale-out"), ("ruled", "within_limits"),
            ("acted", "done"), ("moved", "verifying"),
            ("read", "fails"), ("verified", "worse"), ("returning", ""), ("ruled", "within_limits"),
            ("acted", "done"), ("moved", "verifying"),
            ("read", "fails"), ("read", "fails"), ("verified", "not_healed"), ("moved", "escalated"),
        ]  # fmt: skip
        (returning,) = await steps(made, "returning")
        assert returning["action"].endswith("from 3 to 2")
        assert [s["returns"] for s in await steps(made, "acted")] == [None, returning["returns"]]


async def test_what_did_not_heal_goes_back_before_the_next_rung_is_looked_at(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p")) as made:
        await made.settle()
        assert made.platform.replicas == 2
        assert await lines(made) == [
            ("not_healed", "readings_bad", None), ("not_healed", "returned", "0"),
        ]  # fmt: skip
        incident = await made.only()
        assert (incident.state, incident.reason) == (ESCALATED, Reason.HUMAN_NEEDED)
        assert incident.outcome is OutcomeKind.NOT_HEALED
        told = await made.told()
        assert told.index(("returning", "")) < told.index(("decided", "ask-somebody"))
        # Of two actions one was a remedy: the other one is counted apart.
        rung = {"playbook": "lag", "rung": "scale-out"}
        assert made.count("paramedic_outcomes_total", **rung, outcome="not_healed") == 1
        assert made.count("paramedic_returns_total", **rung, result="returned") == 1


async def test_what_heals_stays(store_url: str, clock: VirtualClock, tmp_path: Path) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p")) as made:
        made.replicas_needed = 3
        await made.settle()
        assert (made.platform.replicas, await lines(made)) == (
            3, [("healed", "readings_good", None)],
        )  # fmt: skip
        assert await steps(made, "kept") == []


async def test_a_return_counts_in_no_budget_and_as_no_try(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    limits = "per_target: 1/1h, per_playbook: 1/1h, cooldown: 10m"
    wide = (limits, "per_target: 2/1h, per_playbook: 2/1h, cooldown: 1s")
    async with firing(
        store_url,
        clock,
        ladder(tmp_path / "p", saying("times: 2\n    return: not_healed"), wide),
    ) as made:
        await made.settle()
        assert [line[2] for line in await lines(made)] == [None, "0", None, "2"]
        first, *_, last = sorted(r["intended_at"] for r in await made.ledger.entries(None, 9))
        assert (last - first).total_seconds() < 600  # nothing has waited for a budget
        assert made.platform.replicas == 2


async def test_what_is_still_worse_after_its_return_goes_to_a_person(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p")) as made:
        await until_verifying(made)
        made.see = lambda w, p: evidence(w.clock.now(), pods={"desired": 2, "ready": 1})
        await made.settle()
        assert await lines(made) == [
            ("worse", "readings_worse", None), ("worse", "readings_worse", "0"),
        ]  # fmt: skip
        assert (await made.only()).state is ESCALATED


async def test_another_hand_that_takes_the_field_during_the_proof_of_a_return_is_named(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p"), see=worse_with_three) as made:
        while len(await lines(made)) < 2 or (await made.only()).state is not VERIFYING:
            await made.step_when_due()
        made.platform.replicas = 7
        await made.settle()
        assert (await lines(made))[1][:2] == ("reverted", "reverted")
        assert "7" in (await steps(made, "verified"))[-1]["outcome"]["detail"]


# ---------------------------------------------------------------------- what stays, and why


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        pytest.param("return: never", "worse", id="never"),
        pytest.param("return: worse", "not_healed", id="only what is worse"),
        pytest.param("times: 2", "not_healed", id="the next try builds on it"),
    ],
)
async def test_a_playbook_may_let_a_change_stay(
    store_url: str, clock: VirtualClock, tmp_path: Path, text: str, outcome: str
) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p", saying(text))) as made:
        if outcome == "worse":
            made.see = worse_with_three
        await made.settle()
        assert made.platform.replicas == 3
        assert [line[0] for line in await lines(made)] == [outcome]
        (kept,) = await steps(made, "kept")
        assert kept["reason"] == "return_off"
        assert kept["action"].endswith("from 3 to 2")
        assert kept["commands"] == [
            "kubectl -n carbon-ingestion patch deployments.v1.apps/normalization-service --type=merge"
            ' -p \'{"spec":{"replicas":2}}\''
        ]


async def test_what_was_so_before_is_not_taken_back(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    class Before(Platform):
        async def apply(self, permit: Permit[Any]) -> Deed:
            self.replicas = 3
            return Deed(Applied.DONE, Reason.ALREADY_DONE, "it has 3 replicas already")

    async with firing(store_url, clock, ladder(tmp_path / "p")) as made:
        made.platform = Before()
        made.platform.surveys = as_they_are(made)
        await made.restart()
        await made.settle()
        assert made.platform.replicas == 3
        assert [kept["reason"] for kept in await steps(made, "kept")] == ["already_done"]


async def test_what_is_worse_goes_back_also_when_its_alert_has_resolved(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p"), see=worse_with_three) as made:
        await until_verifying(made)
        await made.resolves()
        await made.settle()
        assert made.platform.replicas == 2
        assert [line[0] for line in await lines(made)] == ["worse", "not_healed"]


async def test_what_did_not_heal_stays_when_its_alert_has_resolved_meanwhile(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p")) as made:
        await until_verifying(made)
        await made.resolves()
        await made.settle()
        assert made.platform.replicas == 3
        assert [kept["reason"] for kept in await steps(made, "kept")] == ["alert_resolved"]
        assert (await made.only()).state is CLOSED


async def test_a_return_that_is_intended_is_done_although_the_alert_resolves_before_it(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p")) as made:
        while len(await lines(made)) < 2:
            await made.step_when_due()
        await made.resolves()
        await made.settle()
        assert made.platform.replicas == 2
        assert (await lines(made))[1][1] == "returned"
        assert (await made.only()).state is CLOSED


# ---------------------------------------------------------------------- guards and other hands


def unreadable(made: World) -> Callable[[Sequence[Write]], Reading[tuple[Survey, ...]]]:
    def survey(writes: Sequence[Write]) -> Reading[tuple[Survey, ...]]:
        return Unknown(Reason.UNREACHABLE, "platform", made.clock.now(), 0.1, "refused")

    return survey


async def worse_and_held(made: World) -> None:
    """The verdict is worse, and the return waits: nobody can say whose the field is."""
    await until_verifying(made)
    made.platform.surveys = unreadable(made)
    while not await steps(made, "returning"):
        await made.step_when_due()
    incident = await made.only()
    assert (incident.state, incident.reason) == (VERIFYING, Reason.OWNER_UNKNOWN)
    assert made.platform.replicas == 3


async def test_a_return_waits_for_what_it_has_to_know_and_loses_nothing_in_a_restart(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p"), see=worse_with_three) as made:
        await worse_and_held(made)
        looks = made.looks
        await made.restart()
        made.platform.surveys = as_they_are(made)
        await made.settle()
        assert made.platform.replicas == 2
        assert [line[1] for line in await lines(made)] == ["readings_worse", "returned"]
        words = [word for kind, word in await made.told() if kind == "verified"]
        assert words == ["worse", "not_healed"]  # told once, however long it has waited
        assert made.looks == looks + 2  # the return's own readings


async def test_a_return_that_waits_too_long_is_a_persons(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p"), see=worse_with_three) as made:
        await worse_and_held(made)
        began = made.clock.now()
        await made.settle()
        assert made.platform.replicas == 3
        assert 500 <= (made.clock.now() - began).total_seconds() <= 600
        (kept,) = await steps(made, "kept")
        assert (kept["reason"], len(kept["commands"])) == ("owner_unknown", 1)
        assert (await made.only()).reason is Reason.READINGS_WORSE
        assert [line[:2] for line in await lines(made)] == [("worse", "readings_worse")]


async def test_what_somebody_changed_while_the_return_waited_is_theirs(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p"), see=worse_with_three) as made:
        await worse_and_held(made)
        made.platform.replicas = 4
        made.platform.surveys = as_they_are(made)
        await made.settle()
        assert made.platform.replicas == 4
        (kept,) = await steps(made, "kept")
        assert kept["reason"] == "target_changed"
        assert "spec.replicas is 4, and 3 was written" in kept["detail"]
        assert len(await steps(made, "verified")) == 1  # told when it began to wait
        assert (await made.only()).state is ESCALATED


async def test_another_object_under_the_same_name_is_not_returned_to(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p"), see=worse_with_three) as made:
        await worse_and_held(made)

        def another(writes: Sequence[Write]) -> Reading[tuple[Survey, ...]]:
            return Known((Survey(writes[0].ref, "uid-2"),), "platform", made.clock.now(), 0.0)

        made.platform.surveys = another
        await made.settle()
        assert [kept["reason"] for kept in await steps(made, "kept")] == ["target_replaced"]
        assert made.platform.replicas == 3


async def test_a_field_that_somebody_would_put_back_is_not_returned(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p"), see=worse_with_three) as made:
        await worse_and_held(made)
        flux = Holder(System.FLUX, "Kustomization flux-system/carbon")

        def owned(writes: Sequence[Write]) -> Reading[tuple[Survey, ...]]:
            key = writes[0].key
            found = Survey(writes[0].ref, "uid-1", holders={key: flux}, values={key: 3})
            return Known((found,), "platform", made.clock.now(), 0.0)

        made.platform.surveys = owned
        await made.settle()
        (kept,) = await steps(made, "kept")
        assert kept["reason"] == "owned_elsewhere"
        assert "Kustomization flux-system/carbon" in kept["detail"]


async def test_under_a_ceiling_that_was_lowered_meanwhile_nothing_is_written(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p"), see=worse_with_three) as made:
        await until_verifying(made)
        made.mode = Mode.OBSERVE
        await made.settle()
        assert made.platform.replicas == 3
        assert [kept["reason"] for kept in await steps(made, "kept")] == ["mode_observe"]
        assert (await made.only()).state is ESCALATED


async def test_a_ceiling_lowered_between_a_returns_intent_and_its_write_holds_it_back(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p"), see=worse_with_three) as made:
        while len(await lines(made)) < 2:
            await made.step_when_due()
        made.mode = Mode.OBSERVE
        await made.settle()
        assert made.platform.replicas == 3
        assert (await lines(made))[1][:2] == ("failed", "action_failed")
        incident = await made.only()
        assert (incident.state, incident.reason) == (ESCALATED, Reason.RETURN_FAILED)


async def test_a_namespace_that_is_no_longer_allowed_is_not_returned_to(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p"), see=worse_with_three) as made:
        await until_verifying(made)
        made.limits = made.limits.model_copy(update={"namespaces": ("other",)})
        await made.settle()
        assert [k["reason"] for k in await steps(made, "kept")] == ["namespace_not_allowed"]
        assert made.platform.replicas == 3


async def test_what_another_hand_changed_after_the_intent_is_found_and_left(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p")) as made:
        while len(await lines(made)) < 2:
            await made.step_when_due()
        made.platform.replicas = 4
        await made.settle()
        assert made.platform.replicas == 4
        assert (await lines(made))[1][:2] == ("failed", "action_failed")
        # It is theirs, and the alert fires still: the next rung is looked at.
        assert (await made.only()).reason is Reason.HUMAN_NEEDED


# ---------------------------------------------------------------------- faults and crashes


@pytest.mark.parametrize(
    ("error", "replicas", "state"),
    [
        pytest.param(Unavailable(Reason.UNREACHABLE, "refused"), 2, HEALED, id="away for a while"),
        pytest.param(Indeterminate("no reply"), 2, HEALED, id="the request was lost"),
        pytest.param(Refused(Reason.FORBIDDEN, "no", 403), 3, ESCALATED, id="refused"),
    ],
)
async def test_a_return_is_tried_as_any_action_is(
    store_url: str, clock: VirtualClock, tmp_path: Path,
    error: Exception, replicas: int, state: IncidentState,
) -> None:  # fmt: skip
    async with firing(store_url, clock, ladder(tmp_path / "p"), see=worse_with_three) as made:
        left = [error] * 4

        def fault(intent: Intent[Any]) -> None:
            if intent.returns is not None and left:
                raise left.pop()

        made.platform.on_apply = fault
        await made.settle()
        assert made.platform.replicas == replicas
        assert len(made.platform.effects) == (2 if replicas == 2 else 1)


@pytest.mark.parametrize("after", [False, True], ids=["before the write", "after the write"])
async def test_a_process_that_dies_around_the_write_of_a_return_does_it_once(
    store_url: str, clock: VirtualClock, tmp_path: Path, after: bool
) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p"), see=worse_with_three) as made:

        def die(intent: Intent[Any]) -> None:
            if intent.returns is not None:
                raise Crash

        if after:
            made.platform.after_apply = die
        else:
            made.platform.on_apply = die
        with pytest.raises(Crash):
            await made.settle()
        made.platform.on_apply = made.platform.after_apply = lambda intent: None
        made.clock.advance(300)  # evidence of another time: a return rests on none
        await made.restart()
        await made.settle()
        assert made.platform.replicas == 2
        assert len(made.platform.effects) == 2
        assert [line[1] for line in await lines(made)] == ["readings_worse", "returned"]


@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after the commit"])
@pytest.mark.parametrize("write", range(14))
@pytest.mark.only_on("sqlite")
async def test_a_process_that_dies_around_any_commit_takes_back_once(
    store_url: str, clock: VirtualClock, tmp_path: Path, write: int, after: bool
) -> None:
    playbook = ladder(tmp_path / "p")
    async with firing(store_url, clock, playbook, see=worse_with_three, opener=MortalDatabase) as made:  # fmt: skip
        await until_verifying(made)
        assert isinstance(made.database, MortalDatabase)
        made.database.writes_left, made.database.after = write, after
        try:
            await made.settle()
        except Crash:
            await made.restart()
            await made.settle()
        assert made.platform.replicas == 2
        assert len(made.platform.effects) == 2
        assert [line[1] for line in await lines(made)] == ["readings_worse", "returned"]
        assert (await made.only()).state is ESCALATED


async def test_a_target_that_healed_by_its_return_is_still_a_persons_after_worse(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p"), see=worse_with_three) as made:
        while len(await lines(made)) < 2:
            await made.step_when_due()
        made.see = lambda w, p: healthy(w.clock.now())
        await made.settle()
        assert (await made.only()).state is ESCALATED


async def test_an_alert_that_changes_while_a_change_settles_brings_no_reading_forward(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with firing(store_url, clock, ladder(tmp_path / "p"), see=worse_with_three) as made:
        await until_verifying(made)
        looks = made.looks
        await made.resolves()
        assert await made.round()
        assert (made.looks, (await made.only()).state) == (looks, VERIFYING)
        assert not await made.round()
        made.clock.advance(10)
        assert await made.round()
        assert made.looks == looks + 1


# ---------------------------------------------------------------------- row 3.2


class Settings(Platform):
    """A ConfigMap of which nothing gets faster, and the restarts of its readers by action."""

    def __init__(self) -> None:
        super().__init__()
        self.values = {"PARALLELISM": "2", "BATCH_SIZE": "500"}
        self.history: list[tuple[str, str]] = []

    async def apply(self, permit: Permit[Any]) -> Deed:
        request = permit.intent.request
        assert isinstance(request, PatchConfig)
        assert self.values[request.key] == request.from_
        self.values[request.key] = request.to
        self.history.append((request.key, request.to))
        self.effects.append(permit.intent.action_id)
        return Deed(Applied.DONE, Reason.DONE, "taken")

    def survey(self, writes: Sequence[Write]) -> Reading[tuple[Survey, ...]]:
        found: dict[str, Survey] = {}
        for write in writes:
            value = self.values.get(write.path[-1], self.effects[-1] if self.effects else None)
            known = found.get(write.ref.path, Survey(write.ref, "uid-1"))
            values = {**known.values, write.key: value}
            found[write.ref.path] = replace(known, values=values)
        return Known(tuple(found.values()), "platform", T0, 0.0)


async def test_a_setting_that_brings_no_gain_gets_its_old_value_back(
    store_url: str, clock: VirtualClock
) -> None:
    shipped = playbook("low-throughput")
    rungs = tuple(
        replace(rung, mode=Mode.AUTO) for rung in shipped.remedies
    )  # promoted, as the playbook may be
    promoted = replace(shipped, remedies=rungs)
    platform = Settings()

    def see(made: World, of: Playbook) -> Evidence:
        config = {key.lower(): int(value) for key, value in platform.values.items()}
        slow: dict[str, Mapping[str, Any]] = {
            "group": {"lag_total": 50_000, "lag_known": 50_000},
            "series": {"throughput": 40.0},
        }
        seen_now = seen(LowThroughputEvidence, {**slow, "config": config}, at=made.clock.now())
        return replace(seen_now, target=Known(Seen("uid-1", 1), "target", made.clock.now(), 0.0))

    async with world(store_url, clock, playbooks=(promoted,), see=see) as made:
        made.platform = platform
        platform.surveys = platform.survey
        await made.restart()
        await made.fires(alertname="IngestionThroughputLow")
        await made.settle()
        # Each setting rose, brought nothing, and is as it was before the next one is tried.
        assert platform.history == [
            ("PARALLELISM", "4"), ("PARALLELISM", "2"), ("BATCH_SIZE", "1000"), ("BATCH_SIZE", "500"),
        ]  # fmt: skip
        told = [
            (rung, outcome)
            for (rung, _, _), (_, outcome, _) in zip(
                await made.actions(), await lines(made), strict=True
            )
        ]
        assert told == [
            ("more-parallelism", "readings_bad"), ("more-parallelism", "returned"),
            ("larger-batches", "readings_bad"), ("larger-batches", "returned"),
        ]  # fmt: skip
        assert (await made.only()).state is ESCALATED
