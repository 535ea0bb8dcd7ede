"""Two replicas on one PostgreSQL: what SQLite's single writer gives for nothing has to hold there too."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rehearsal.servers import free_port
from service.kit.clock import VirtualClock
from service.model.incident import IncidentState
from service.model.playbook import Budget, Limits
from service.model.reasons import Reason
from service.settings import GuardSettings
from tests.path.world import world
from tests.servers import SERVERS, require
from tests.unit.made import item, shipped

LEASE = timedelta(seconds=60)


def _programs() -> Path | None:
    """The folder of initdb and pg_ctl: on the PATH, or where Debian keeps them."""
    found = shutil.which("initdb")
    roots = (Path("/usr/lib/postgresql"), SERVERS / "debian/usr/lib/postgresql")
    packaged = sorted(path for root in roots for path in root.glob("*/bin/initdb"))
    return Path(found).resolve().parent if found else packaged[-1].parent if packaged else None


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The URL of a server of our own."""
    programs = require(
        "postgresql", _programs(), "run tests/servers/install.sh debian (package postgresql)"
    )
    user = "nobody" if os.getuid() == 0 else None  # the server refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="paramedic-pg-"))
    if user:
        shutil.chown(folder, user)
    port = free_port()

    def run(*argv: str) -> None:
        command = [str(programs / argv[0]), "-D", str(folder / "data"), *argv[1:]]
        subprocess.run(
            command,
            user=user,
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            timeout=60,
        )

    try:
        run("initdb", "-A", "trust", "-U", "paramedic", "--no-sync", "-E", "UTF8")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {folder}"
        run("pg_ctl", "-w", "-o", options, "-l", str(folder / "log"), "start")
        try:
            yield f"postgresql://paramedic@127.0.0.1:{port}/"
        finally:
            run("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
async def shared(postgresql: str, request: pytest.FixtureRequest) -> str:
    """A database of its own for one test."""
    import asyncpg

    name = f"t{abs(hash(request.node.name)):x}"
    connection = await asyncpg.connect(postgresql + "postgres")
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return postgresql + name


async def test_an_incident_goes_its_whole_way_on_postgresql(
    shared: str, clock: VirtualClock
) -> None:
    async with world(shared, clock) as made:
        await made.fires()
        await made.settle()
        await made.resolves()
        assert await made.round()
        assert (await made.only()).state is IncidentState.CLOSED
        assert await made.actions() == [("scale-out", "done", "healed")]


async def test_two_replicas_never_overspend_a_budget(shared: str, clock: VirtualClock) -> None:
    playbook = replace(shipped(), limits=Limits(Budget(9, 3600.0), Budget(99, 3600.0), 0.0))
    more = {"playbooks": (playbook,), "limits": GuardSettings(overall_count=3)}
    async with world(shared, clock, **more) as one, world(shared, clock, **more) as other:
        for n in range(12):
            await one.fires(f"f{n}", workload=f"service-{n}")
        claimed = [await one.incidents.claim(f"w{n}", clock.now(), LEASE) for n in range(12)]
        seen = one.as_it_is()
        proposals = [(i, await one.stages.decide(i, seen)) for i in claimed if i is not None]
        assert len(proposals) == 12
        rulings = await asyncio.gather(
            *(
                (one if n % 2 else other).stages.admit(i, p, seen)
                for n, (i, p) in enumerate(proposals)
            )
        )
        assert sum(r.allowed for r in rulings) == 3
        assert {r.reason for r in rulings if not r.allowed} == {Reason.BUDGET_OVERALL}


async def test_two_replicas_never_work_on_one_target(shared: str, clock: VirtualClock) -> None:
    async with world(shared, clock) as one, world(shared, clock) as other:
        await one.fires()
        claims = await asyncio.gather(
            *(
                w.incidents.claim(f"w{n}", clock.now(), LEASE)
                for n, w in enumerate([one, other] * 3)
            )
        )
        assert sum(c is not None for c in claims) == 1


async def test_nul_characters_do_not_stop_the_sorting(shared: str, clock: VirtualClock) -> None:
    async with world(shared, clock) as made:
        nasty = item(
            "f\x00",
            labels={"alertname\x00": "\x00"},
            annotations={"a": "\x00"},
            generatorURL="\x00",
        )
        await made.deliver(nasty)
        assert made.inbox.waiting == 0
        assert len(await made.episodes.unrouted(9)) == 1
