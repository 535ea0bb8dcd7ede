"""The probe of backups against a recent server: none, a good one, a failed one,
a disk that is not there.
"""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.clients.clickhouse_write import ClickHouseWriter
from service.diagnose.probes.backups import Backups, backups
from service.kit.deadline import Deadline
from service.model.errors import ParamedicError
from service.settings import ClickHouseSettings
from tests.servers import clickhouse as servers


async def _yes() -> None:
    """Nobody else has this server."""


async def test_backups_are_seen_as_the_server_has_them(tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    async with servers.modern(tmp_path, disks={"backups": tmp_path / "backups"}) as server:
        settings = ClickHouseSettings(host="127.0.0.1", port=server.port)
        async with ClickHouseWriter(settings) as client:

            async def run(sql: str) -> None:
                await client.execute(sql, confirm=_yes, deadline=Deadline.after(20.0))

            async def look(disk: str = "backups") -> Backups:
                return await backups(client, disk, datetime.now(UTC), deadline=Deadline.after(20.0))

            none = await look()
            assert (none.good, none.disk_exists, none.running) == (0, True, 0)
            assert none.readonly_replicas == 0
            assert none.disk_free_bytes is not None
            assert not (await look("nowhere")).disk_exists

            await run("CREATE TABLE t (x UInt8) ENGINE = MergeTree ORDER BY x")
            await run("INSERT INTO t SELECT number FROM numbers(100)")
            await run("BACKUP TABLE t TO Disk('backups', 'one')")
            good = await look()
            assert (good.good, good.newest_good) == (1, "Disk('backups', 'one')")
            assert good.newest_good_bytes is not None
            assert good.newest_good_bytes > 0
            assert good.newest_good_age_s is not None
            assert -2.0 < good.newest_good_age_s < 60.0

            with pytest.raises(ParamedicError):
                await run("BACKUP TABLE t TO Disk('backups', 'one')")
            failed = await look()
            assert (failed.good, failed.failed_since) == (1, 1)
            assert "already exists" in failed.last_error
