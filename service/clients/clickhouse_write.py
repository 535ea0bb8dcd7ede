"""The wire to ClickHouse, writing: one statement of the acting user, sent once.

Its errors keep three things apart: nothing was sent (Unavailable), the server said no (Refused),
and nobody knows (Indeterminate), after which the caller reads back.
Never here: a second attempt, which statement it is.
"""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from service.clients.clickhouse import OWN, ClickHouseClient
from service.clients.clickhouse_wire import Rows
from service.kit.deadline import Deadline
from service.settings import ClickHouseSettings


class ClickHouseWriter(ClickHouseClient):
    """Asks and changes one server, as the acting user where one is configured."""

    def _login(self, settings: ClickHouseSettings) -> tuple[str | None, Path | None]:
        if settings.act_user is None:
            return super()._login(settings)
        return settings.act_user, settings.act_password_file

    async def execute(
        self,
        sql: str,
        args: Mapping[str, object] | None = None,
        *,
        confirm: Callable[[], Awaitable[None]],
        settings: Mapping[str, object] | None = None,
        query_id: str | None = None,
        deadline: Deadline,
    ) -> Rows:
        """Runs a statement that changes something, and gives its rows, if it has any.

        `confirm` is awaited right before it is sent, and may refuse it.
        `args` as in `query`. Nothing is set beside `settings`: a time limit
        of ours would end a long BACKUP in the middle.
        """
        return await self._wire.run(
            sql, args, settings or {}, query_id or f"{OWN}{uuid.uuid4()}", deadline, confirm
        )

    async def check(
        self, sql: str, args: Mapping[str, object] | None = None, *, deadline: Deadline
    ) -> Rows:
        """Runs a statement that the server only checks, as KILL ... TEST;
        a read-only session may not even that.
        """
        return await self._wire.run(sql, args, {}, f"{OWN}{uuid.uuid4()}", deadline)
