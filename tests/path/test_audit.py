"""The audit chain over the real store: what is forged is found,
and what may change by right does not break it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from service.app import serving
from service.audit import chain, checkpoints, keys
from service.audit.chainer import Chainer
from service.audit.export import export
from service.audit.verify import Verified, verify
from service.cli import app
from service.kit.clock import VirtualClock
from service.model.audit import AuditLine, ExportFormat, Forgery
from service.model.errors import BadConfig, Unavailable
from service.record.metrics import Metrics
from service.settings import AuditSettings
from service.store.audit import AuditReader, AuditStore
from service.store.database import Database
from service.store.incidents import Incidents
from service.store.reading import reading
from service.store.schema import audit, incidents, sinks, steps
from tests.path.test_intake import JSON, posted, settings_for
from tests.path.world import world
from tests.unit.made import T0, item

SECRET, OTHER = "a" * 40, "b" * 40


@dataclass
class Audited:
    """A store with steps of two incidents, and who chains them."""

    url: str
    database: Database
    clock: VirtualClock
    folder: Path
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def file(self) -> Path:
        return self.folder / "checkpoints.jsonl"

    @property
    def key_file(self) -> Path:
        return self.folder / "key"

    def chainer(self, owner: str = "w1") -> Chainer:
        store, metrics = AuditStore(self.database), self.metrics
        places = [checkpoints.CheckpointFile(self.file)]
        made = Chainer(
            store, self.clock, owner, self.key_file, places, metrics.audited,
            metrics.checkpoint_kept,
        )  # fmt: skip
        made.open()
        return made

    async def chain(self) -> Chainer:
        """A process that chains all there is, and tells of it."""
        made = self.chainer()
        while await made.chain():
            pass
        await made.checkpoint()
        return made

    async def tell(self, count: int = 1, incident: str = "inc-1", kind: str = "moved") -> None:
        def add(tx: sa.Connection) -> None:
            for n in range(count):
                data = {"note": n, "since": "then"}
                row = {"incident_id": incident, "at": T0 + timedelta(seconds=n), "kind": kind}
                tx.execute(sa.insert(steps).values(**row, data=data))

        await self.database.write(add)

    async def verified(self, *, with_file: bool = True) -> Verified:
        seen = checkpoints.read(self.file) if with_file else ()
        return await verify(AuditReader(self.database), keys.read(self.key_file), seen)

    async def run(self, *statements: sa.Executable) -> None:
        """What somebody with the database's password does."""
        await self.database.write(lambda tx: [tx.execute(s).rowcount for s in statements])

    async def lines(self) -> list[AuditLine]:
        return [line for line, _ in await AuditReader(self.database).after(0, 1_000)]


@pytest.fixture
async def audited(store_url: str, clock: VirtualClock, tmp_path: Path) -> AsyncIterator[Audited]:
    opened = await Database.open(store_url)
    row = {
        "playbook": "p", "target_kind": "Deployment", "target_namespace": "n", "target_name": "t",
        "target_key": "Deployment/n/t", "state": "open", "opened_at": T0, "due_at": T0,
    }  # fmt: skip
    for name in ("inc-1", "inc-2"):
        values = {**row, "id": name, "playbook": name}
        await opened.write(lambda tx, v=values: tx.execute(sa.insert(incidents).values(v)).close())  # type: ignore[misc]
    made = Audited(store_url, opened, clock, tmp_path)
    made.key_file.write_text(SECRET + "\n")
    yield made
    await opened.close()


# ---------------------------------------------------------------------- forgeries


def edit(lines: list[AuditLine]) -> list[sa.Executable]:
    return [sa.update(steps).where(steps.c.id == lines[4].step_id).values(data={"note": 99})]


def edit_of_the_time(lines: list[AuditLine]) -> list[sa.Executable]:
    later = T0 + timedelta(days=1)
    return [sa.update(steps).where(steps.c.id == lines[4].step_id).values(at=later)]


def reorder(lines: list[AuditLine]) -> list[sa.Executable]:
    """Lines 5 and 8 change places."""
    line = sa.update(audit)
    return [
        line.where(audit.c.seq == 5).values(seq=900),
        line.where(audit.c.seq == 8).values(seq=5),
        line.where(audit.c.seq == 900).values(seq=8),
    ]


def swap_steps(lines: list[AuditLine]) -> list[sa.Executable]:
    """What steps 5 and 8 say changes places."""
    return [
        sa.update(steps).where(steps.c.id == lines[4].step_id).values(data={"note": 7, "since": "then"}),
        sa.update(steps).where(steps.c.id == lines[7].step_id).values(data={"note": 4, "since": "then"}),
    ]  # fmt: skip


def delete_a_step(lines: list[AuditLine]) -> list[sa.Executable]:
    return [sa.delete(steps).where(steps.c.id == lines[4].step_id)]


def delete_with_its_line(lines: list[AuditLine]) -> list[sa.Executable]:
    return [*delete_a_step(lines), sa.delete(audit).where(audit.c.seq == 5)]


def delete_and_close_the_gap(lines: list[AuditLine]) -> list[sa.Executable]:
    moved = [sa.update(audit).where(audit.c.seq == n).values(seq=n - 1) for n in range(6, 11)]
    return [*delete_with_its_line(lines), *moved]


def delete_as_if_pruned(lines: list[AuditLine]) -> list[sa.Executable]:
    return [*delete_a_step(lines), sa.update(audit).where(audit.c.seq == 5).values(pruned=9)]


def insert(lines: list[AuditLine]) -> list[sa.Executable]:
    """A step among those that were chained, with a number that was free."""
    free = lines[4].step_id
    made = sa.insert(steps).values(id=free, incident_id="inc-2", at=T0, kind="moved", data={})
    return [*delete_with_its_line(lines), made]


def truncate(lines: list[AuditLine]) -> list[sa.Executable]:
    return [
        sa.delete(audit).where(audit.c.seq > 4),
        sa.delete(steps).where(steps.c.id > lines[3].step_id),
    ]


def truncate_with_the_cursor(lines: list[AuditLine]) -> list[sa.Executable]:
    return [*truncate(lines), sa.update(sinks).values(cursor=lines[3].step_id)]


def downgrade(lines: list[AuditLine]) -> list[sa.Executable]:
    """An edit, signed by an algorithm that needs no key."""
    weak = sa.update(audit).where(audit.c.seq == 5).values(algorithm="sha256", mac="0" * 64)
    return [*edit(lines), weak]


def rewrite(lines: list[AuditLine]) -> list[sa.Executable]:
    """From line 5 on, whole and consistent, by a key of their own."""
    return _signed_anew(lines, keys.key_of(OTHER), keys.key_of(OTHER).id)


def rewrite_under_our_name(lines: list[AuditLine]) -> list[sa.Executable]:
    return _signed_anew(lines, keys.key_of(OTHER), lines[0].key_id)


def _signed_anew(lines: list[AuditLine], key: keys.Key, claimed: str) -> list[sa.Executable]:
    signed = chain.chained(keys.Key(claimed, key.secret), lines[4:], 4, lines[3].mac)
    return [
        sa.update(audit).where(audit.c.seq == line.seq).values(key_id=line.key_id, mac=line.mac)
        for line in signed
    ]


Forger = Callable[[list[AuditLine]], list[sa.Executable]]


@pytest.mark.parametrize(
    ("forge", "found"),
    [
        pytest.param(edit, Forgery.EDITED, id="an edit"),
        pytest.param(edit_of_the_time, Forgery.EDITED, id="an edit of the time"),
        pytest.param(reorder, Forgery.REORDERED, id="a reordering"),
        pytest.param(swap_steps, Forgery.EDITED, id="two steps swapped"),
        pytest.param(delete_a_step, Forgery.DELETED, id="a deletion of a step"),
        pytest.param(delete_with_its_line, Forgery.DELETED, id="a deletion in the middle"),
        pytest.param(delete_and_close_the_gap, Forgery.ALTERED, id="a deletion, renumbered"),
        pytest.param(
            delete_as_if_pruned, Forgery.DELETED, id="a deletion that says it was pruning"
        ),
        pytest.param(insert, Forgery.DELETED, id="a step replaced"),
        pytest.param(truncate, Forgery.TRUNCATED, id="a truncation at the end"),
        pytest.param(truncate_with_the_cursor, Forgery.TRUNCATED, id="a thorough truncation"),
        pytest.param(downgrade, Forgery.ALGORITHM, id="a downgrade of the algorithm"),
        pytest.param(rewrite, Forgery.KEY, id="a rewrite with another key"),
        pytest.param(rewrite_under_our_name, Forgery.ALTERED, id="one that claims our key"),
    ],
)
async def test_a_forgery_is_found_and_named_with_the_first_wrong_row(
    audited: Audited, forge: Forger, found: Forgery
) -> None:
    await audited.tell(10)
    await audited.chain()
    good = await audited.verified()
    assert (good.count, good.finding) == (10, None)
    lines = await audited.lines()
    await audited.run(*forge(lines))
    finding = (await audited.verified()).finding
    assert finding is not None
    row = 9 if forge is delete_as_if_pruned else 5
    assert (finding.forgery, finding.seq) == (found, row), finding


async def test_a_line_of_another_history_does_not_fit_into_this_one(audited: Audited) -> None:
    """A backup was restored: both histories have lines by our key,
    and one cannot stand in the other.
    """
    await audited.tell(10)
    await audited.chain()
    lines = await audited.lines()
    other = lines[5]
    await audited.run(sa.delete(audit).where(audit.c.seq > 4), sa.update(sinks).values(cursor=4))
    audited.clock.advance(5)
    await audited.chain()
    assert (await audited.verified(with_file=False)).finding is None
    theirs = sa.update(audit).where(audit.c.seq == 6)
    await audited.run(theirs.values(at=other.at, mac=other.mac))
    finding = (await audited.verified(with_file=False)).finding
    assert finding is not None
    assert (finding.forgery, finding.seq) == (Forgery.ALTERED, 6)


async def test_a_truncation_is_found_without_a_checkpoint_where_the_cursor_still_tells(
    audited: Audited,
) -> None:
    await audited.tell(10)
    await audited.chain()
    await audited.run(*truncate(await audited.lines()))
    finding = (await audited.verified(with_file=False)).finding
    assert finding is not None
    assert (finding.forgery, finding.seq) == (Forgery.TRUNCATED, 5)


async def test_a_step_put_among_those_that_were_chained_is_found(audited: Audited) -> None:
    await audited.tell(3)
    free = 2  # rolled back, say: a number that no step has
    await audited.run(sa.delete(steps).where(steps.c.id == free))
    await audited.chain()
    assert (await audited.verified()).finding is None
    made = sa.insert(steps).values(id=free, incident_id="inc-2", at=T0, kind="moved", data={})
    await audited.run(made)
    finding = (await audited.verified()).finding
    assert finding is not None
    assert (finding.forgery, finding.step_id) == (Forgery.INSERTED, free)


async def test_a_chain_rewritten_by_who_has_the_key_is_not_what_the_checkpoint_saw(
    audited: Audited,
) -> None:
    await audited.tell(10)
    await audited.chain()
    await audited.run(
        *edit(await audited.lines()), sa.delete(audit), sa.update(sinks).values(cursor=0)
    )
    audited.clock.advance(5)
    audited.file.rename(audited.folder / "elsewhere.jsonl")
    await audited.chain()
    (audited.folder / "elsewhere.jsonl").rename(audited.file)
    assert (await audited.verified(with_file=False)).finding is None
    finding = (await audited.verified()).finding
    assert finding is not None
    assert finding.forgery is Forgery.REWRITTEN


# ---------------------------------------------------------------------- what may change by right


async def test_a_step_that_looks_are_folded_into_may_grow_and_is_chained_whole_at_its_end(
    audited: Audited,
) -> None:
    await audited.tell(2)
    await audited.tell(kind="again")
    await audited.tell(incident="inc-2")
    await audited.chain()
    again = steps.c.kind == "again"
    for times in (2, 3):
        grown = {"times": times, "since": "then", "note": 0}
        await audited.run(sa.update(steps).where(again).values(data=grown))
        assert (await audited.verified()).finding is None
    await audited.tell()
    await audited.chain()
    kinds = [line.kind for line in await audited.lines()]
    assert kinds == ["step", "step", "begun", "step", "folded", "step"]
    assert (await audited.verified()).finding is None
    await audited.tell()
    await audited.chain()
    assert [line.kind for line in await audited.lines()] == [*kinds, "step"]  # it has ended once
    assert (await audited.verified()).finding is None
    await audited.run(sa.update(steps).where(again).values(data={"times": 9, "since": "then"}))
    finding = (await audited.verified()).finding
    assert finding is not None
    assert (finding.forgery, finding.seq) == (Forgery.EDITED, 5)


@pytest.mark.parametrize(
    "change", [{"data": {"since": "earlier"}}, None], ids=["its start", "gone"]
)
async def test_what_of_such_a_step_does_not_change_is_protected_at_once(
    audited: Audited, change: dict[str, Any] | None
) -> None:
    await audited.tell(kind="again")
    await audited.chain()
    await audited.run(sa.delete(steps) if change is None else sa.update(steps).values(**change))
    finding = (await audited.verified()).finding
    assert finding is not None
    assert (finding.forgery, finding.seq) == (
        Forgery.DELETED if change is None else Forgery.EDITED, 1,
    )  # fmt: skip


async def test_such_a_step_cannot_be_kept_from_being_chained_whole(audited: Audited) -> None:
    await audited.tell(kind="again")
    await audited.chain()
    await audited.run(sa.update(audit).values(unfinished=0))
    await audited.tell()
    await audited.chain()
    finding = (await audited.verified()).finding
    assert finding is not None
    assert (finding.forgery, finding.seq) == (Forgery.ALTERED, 2)


async def test_real_incidents_are_chained_whatever_became_of_them(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with world(store_url, clock, replicas_needed=99) as made:
        audited = Audited(store_url, made.database, clock, tmp_path)
        audited.key_file.write_text(SECRET)
        await made.fires()
        for _ in range(60):  # escalated, and looked at again and again
            await made.step_when_due()
            await audited.chain()
            found = await audited.verified()
            assert found.finding is None
        await made.resolves()
        await made.settle()
        await audited.chain()
        last = await audited.verified()
        assert last.finding is None
        count = sa.select(sa.func.count()).select_from(steps)
        assert last.count >= await made.database.read(lambda c: c.execute(count).scalar_one())


async def test_pruning_keeps_the_chain_verifiable_and_only_what_was_pruned_is_excused(
    audited: Audited,
) -> None:
    await audited.tell(4, "inc-1")
    await audited.tell(4, "inc-2")
    chainer = await audited.chain()
    closed = sa.update(incidents).where(incidents.c.id == "inc-1")
    await audited.run(closed.values(state="closed", closed_at=T0))
    await Incidents(audited.database, {}).prune(T0 + timedelta(days=40))  # who has no key
    assert (await audited.verified()).finding is None
    assert await count_steps(audited) == 8
    await chainer.prune(T0 + timedelta(days=40))
    assert await count_steps(audited) == 4
    assert (await audited.lines())[-1].kind == "pruned"
    await audited.tell(2, "inc-2")
    await audited.chain()
    good = await audited.verified()
    assert (good.count, good.finding) == (11, None)
    gone = (await audited.lines())[5].step_id
    await audited.run(
        sa.delete(steps).where(steps.c.id == gone),
        sa.update(audit).where(audit.c.seq == 6).values(pruned=9),
    )
    finding = (await audited.verified()).finding
    assert finding is not None
    assert (finding.forgery, finding.seq) == (Forgery.DELETED, 9)


async def count_steps(audited: Audited) -> int:
    query = sa.select(sa.func.count()).select_from(steps)
    return await audited.database.read(lambda c: int(c.execute(query).scalar_one()))


async def test_a_key_is_replaced_and_the_old_one_signs_nothing_any_more(audited: Audited) -> None:
    await audited.tell(3)
    await audited.chain()
    audited.key_file.write_text(f"{OTHER}\n{SECRET}\n")
    await audited.tell(3)
    await audited.chain()
    assert (await audited.verified()).finding is None
    lines = await audited.lines()
    await audited.run(*_signed_anew(lines, keys.key_of(SECRET), lines[0].key_id))
    finding = (await audited.verified()).finding
    assert finding is not None
    assert (finding.forgery, finding.seq) == (Forgery.KEY, 5)


# ---------------------------------------------------------------------- replicas


async def test_two_replicas_make_one_chain(audited: Audited) -> None:
    first, second = audited.chainer("w1"), audited.chainer("w2")
    await audited.tell(5)
    assert await first.chain()
    assert not await second.chain()
    await audited.tell(450)
    audited.clock.advance(61)  # the first is gone
    while await second.chain():
        pass
    assert not await first.chain()
    good = await audited.verified(with_file=False)
    assert (good.count, good.finding) == (455, None)


async def test_a_replica_that_was_paused_in_the_middle_appends_nothing(audited: Audited) -> None:
    store = AuditStore(audited.database)
    await audited.tell(3)
    claimed = await store.claim("w1", audited.clock.now(), timedelta(seconds=60))
    assert claimed is not None
    audited.clock.advance(61)
    assert await audited.chainer("w2").chain()
    assert not await store.append("w1", claimed.step_id, 3, lambda seq, before: (), [])
    assert (await audited.verified(with_file=False)).count == 3


@pytest.mark.only_on("postgresql")
async def test_a_step_that_commits_late_is_chained_in_its_place(audited: Audited) -> None:
    slow, begun = asyncio.Event(), asyncio.Event()

    async def late() -> None:
        backend: Any = audited.database._backend
        async with backend.engine.begin() as connection:
            row = sa.insert(steps).values(
                incident_id="inc-1", at=T0, kind="moved", data={"late": 1}
            )
            await connection.execute(row)
            begun.set()
            await slow.wait()

    task = asyncio.create_task(late())
    async with asyncio.timeout(20):
        await begun.wait()
    await audited.tell(2, "inc-2")
    chaining = asyncio.create_task(audited.chainer().chain())
    await asyncio.sleep(0.1)
    assert not chaining.done()
    slow.set()
    await task
    assert await chaining
    assert [line.step_id for line in await audited.lines()] == [1, 2, 3]
    assert (await audited.verified(with_file=False)).finding is None


# ---------------------------------------------------------------------- checkpoints


async def test_a_checkpoint_goes_to_the_metrics_and_to_the_file_when_the_chain_has_grown(
    audited: Audited,
) -> None:
    await audited.tell(3)
    chainer = await audited.chain()
    await chainer.checkpoint()
    (seen,) = checkpoints.read(audited.file)
    last = (await audited.lines())[-1]
    assert (seen.count, seen.hash) == (3, last.mac)
    value = audited.metrics.registry.get_sample_value
    assert value("paramedic_audit_chain_length") == 3
    info = {"hash": last.mac[:12], "key": last.key_id}
    assert value("paramedic_audit_chain_head_info", info) == 1
    assert value("paramedic_audit_checkpoint_timestamp_seconds") == audited.clock.now().timestamp()


async def test_checkpoints_are_made_every_minute(audited: Audited) -> None:
    await audited.tell(1)
    task = asyncio.create_task(audited.chainer().run())
    async with asyncio.timeout(20):
        while not audited.file.exists():
            await asyncio.sleep(0.01)
        await audited.tell(1)
        while len(list(checkpoints.read(audited.file))) < 2:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    first, second = list(checkpoints.read(audited.file))[:2]
    assert (second.at - first.at).total_seconds() >= 60


async def test_a_forged_chain_is_told_of_at_the_start_and_hides_behind_no_new_checkpoint(
    audited: Audited,
) -> None:
    await audited.tell(10)
    await audited.chain()
    await audited.run(*truncate_with_the_cursor(await audited.lines()))
    await audited.tell(20)
    await audited.chain()  # a new process
    assert audited.metrics.registry.get_sample_value("paramedic_audit_chain_intact") == 0
    (seen,) = checkpoints.read(audited.file)
    assert seen.count == 10
    finding = (await audited.verified()).finding
    assert finding is not None
    assert (finding.forgery, finding.seq) == (Forgery.REWRITTEN, 10)


def test_a_line_of_the_file_that_was_cut_off_is_left_out_and_another_is_an_error(
    tmp_path: Path,
) -> None:
    file = tmp_path / "c"
    good = '{"at": "2026-01-01T00:00:00+00:00", "count": 1, "hash": "x"}\n'
    file.write_text(good + '{"at": "20')
    assert [seen.count for seen in checkpoints.read(file)] == [1]
    file.write_text(good + "no\n")
    with pytest.raises(BadConfig, match=r"c:2: is not a checkpoint"):
        list(checkpoints.read(file))


@pytest.mark.parametrize("content", ["", "short\n", f"{SECRET}\nshort\n"])
def test_a_key_that_could_be_guessed_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content)
    with pytest.raises(BadConfig, match="at least 32 characters"):
        keys.read(tmp_path / "key")


def test_no_secret_is_shown() -> None:
    assert SECRET not in repr(keys.Keys([keys.key_of(SECRET)]))


# ---------------------------------------------------------------------- what is hashed


def test_canonical_json_is_that_of_rfc_8785() -> None:
    assert (
        chain.canonical({"b": 1e21, "a": "é", "c": [1.0, None]})
        == '{"a":"é","b":1e+21,"c":[1,null]}'.encode()
    )


@pytest.mark.parametrize(
    "value", [2**60, "\ud800", float("nan")], ids=["large", "surrogate", "nan"]
)
def test_what_rfc_8785_has_no_form_for_is_hashed_all_the_same(value: object) -> None:
    assert chain.digest({"x": value}) == chain.digest({"x": value})
    assert chain.digest({"x": value}) != chain.digest({"x": 0})


def test_lines_of_tomorrow_verify_as_those_of_today() -> None:
    """The bytes are written down: a change of them would break every chain there is."""
    line = AuditLine(
        1, "step", 7, "inc-1", datetime.fromisoformat("2026-11-24T20:00:00+00:00"), "d" * 64, None,
        chain.ALGORITHM, keys.key_of(SECRET).id, "",
    )  # fmt: skip
    assert chain.mac(keys.key_of(SECRET), line, "") == PINNED


PINNED = "d9cd88902719a9753e5a9c97abcd534b6f046af0f43c3b2bcd5255ca18b91461"


# ---------------------------------------- the command line, and export


def paramedic(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, words)
    return done.exit_code, done.output


async def test_the_command_verifies_beside_a_running_service(audited: Audited) -> None:
    await audited.tell(10)
    await audited.chain()
    words = [
        "audit", "verify", "--store", audited.url, "--key-file", str(audited.key_file),
        "--checkpoint", str(audited.file),
    ]  # fmt: skip
    code, told = await asyncio.to_thread(paramedic, *words)
    assert (code, "10 lines good" in told) == (0, True), told
    lines = await audited.lines()
    await audited.run(*edit(lines))
    code, told = await asyncio.to_thread(paramedic, *words)
    assert code == 1
    assert f"line 5, step {lines[4].step_id}: edited" in told


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["verify"], id="no key"),
        pytest.param(["export", "--store", "sqlite:////nowhere/x.db"], id="no store"),
        pytest.param(["export", "--from", "yesterday"], id="no instant"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(words: list[str]) -> None:
    code, told = paramedic("audit", *words)
    assert (code, len(told.splitlines())) == (2, 1), told


async def test_a_store_of_another_version_is_not_read(audited: Audited) -> None:
    await audited.run(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(BadConfig, match="its schema is 9999"):
        async with reading(audited.url):
            pass
    await audited.run(sa.text("DROP TABLE alembic_version"))
    with pytest.raises(BadConfig, match="its schema is none"):
        async with reading(audited.url):
            pass


async def test_who_reads_cannot_write(audited: Audited) -> None:
    async with reading(audited.url) as opened:
        with pytest.raises(Unavailable):
            await opened.read(lambda c: c.execute(sa.delete(steps)).close())


async def test_the_journal_of_a_time_is_exported_with_the_lines_that_authenticate_it(
    audited: Audited,
) -> None:
    await audited.tell(450)
    await audited.chain()
    out, told = StringIO(), list[int]()
    reader = AuditReader(audited.database)
    begin, end = T0 + timedelta(seconds=10), T0 + timedelta(seconds=440)
    count = await export(reader, out, ExportFormat.JSONL, begin, end, told.append)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert (count, len(rows), told) == (430, 430, [200, 400, 430])
    assert rows[0]["data"] == {"note": 10, "since": "then"}
    by_line = {line.seq: line for line in await audited.lines()}
    assert all(by_line[row["line"]].mac == row["mac"] for row in rows)


async def test_a_cell_is_no_formula(audited: Audited) -> None:
    bad = sa.update(incidents).where(incidents.c.id == "inc-1").values(target_key="=cmd()")
    await audited.run(bad)
    await audited.tell(1)
    out = StringIO()
    await export(AuditReader(audited.database), out, ExportFormat.CSV, None, None)
    head, row = out.getvalue().splitlines()
    assert head == "id,at,incident,playbook,target,kind,data,line,mac"
    assert "'=cmd()" in row


# ---------------------------------------------------------------------- the whole service


async def test_the_service_chains_what_it_does_and_tells_of_it(
    store_url: str, tmp_path: Path
) -> None:
    key, file = tmp_path / "key", tmp_path / "elsewhere" / "checkpoints.jsonl"
    key.write_text(SECRET)
    file.parent.mkdir()
    settings = settings_for(store_url).model_copy(
        update={"audit": AuditSettings(key_file=key, checkpoint_file=file)}
    )
    words = ["audit", "verify", "--store", store_url, "--key-file", str(key)]

    async def good() -> bool:
        code, told = await asyncio.to_thread(paramedic, *words)
        return code == 0 and not told.startswith("0 lines")

    async with (
        serving(settings) as service,
        aiohttp.ClientSession(service.url, headers=JSON) as session,
    ):
        await posted(session, item())
        async with asyncio.timeout(30):
            while not await good():  # beside the running service
                await asyncio.sleep(0.2)
        async with session.get("/api/v1/incidents") as answer:
            (incident,) = await answer.json()
        asked = ["incidents", incident["id"], "--markdown", "--url", service.url]
        code, page = await asyncio.to_thread(paramedic, *asked)
    assert code == 0
    assert f"# Incident `{incident['id']}`" in page
    assert service.metrics.registry.get_sample_value("paramedic_audit_chain_intact") == 1
    async with serving(settings):  # its checkpoint is told of once it has begun
        async with asyncio.timeout(30):
            while not file.exists():
                await asyncio.sleep(0.1)
    assert list(checkpoints.read(file))


@pytest.mark.parametrize("words", [["--markdown"], ["inc-1", "--markdown", "--json"]])
def test_a_page_is_of_one_incident(words: list[str]) -> None:
    code, told = paramedic("incidents", *words)
    assert (code, "--markdown goes with" in told) == (2, True)


async def test_a_service_does_not_start_with_a_key_that_could_be_guessed(
    store_url: str, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("short")
    settings = settings_for(store_url).model_copy(
        update={"audit": AuditSettings(key_file=tmp_path / "key")}
    )
    with pytest.raises(BadConfig, match="32 characters"):
        async with serving(settings):
            pass
