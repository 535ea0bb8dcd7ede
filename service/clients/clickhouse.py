"""The wire to ClickHouse, reading: one query, one list of rows, of the user that reads.

Never here: a statement that changes something; which query is worth it.
"""

import math
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from service.clients.clickhouse_errors import READONLY
from service.clients.clickhouse_wire import Rows, Wire
from service.kit.deadline import Deadline
from service.model.errors import Refused
from service.settings import ClickHouseSettings

OWN = "paramedic-"  # prefix of our query ids, so that we do not find ourselves in system.processes

# A statement that only reads, as conditions on system.processes. A BACKUP, a mutation, an
# INSERT ... SELECT or a CREATE ... AS SELECT that runs for hours is work and not a runaway.
# Servers before 21.4 do not say the kind.
PLAIN_SELECT = "query_kind = 'Select'"
# Lower case by a function: an old server looks for a fixed part of a pattern before it reads (?i).
PLAIN_SELECT_BY_TEXT = (
    r"(match(lower(query), '(?s)^(\\s|\\(|--[^\\n]*\\n|/\\*.*?\\*/)*(select|with)\\b')"
    r" AND NOT match(lower(query), '(?s)\\binsert\\s+into\\b'))"
)
_HAS_KIND = """
SELECT count() AS n FROM system.columns
WHERE database = 'system' AND table = 'processes' AND name = 'query_kind'
"""

# What a server may let us ask for, from the most to nothing: a user with readonly=2 may not
# set it again, and one with readonly=1 may send no settings at all. 2 stops every write,
# and lets a time limit be sent beside it.
_OFFERS = (("readonly", "max_execution_time"), ("max_execution_time",), ())


class ClickHouseClient:
    """Asks one server, read-only where the server lets us say so."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._settings = settings
        self._wire = Wire(settings, *self._login(settings))
        self._offer = 0
        self._has_kind = False
        self.source = self._wire.source

    def _login(self, settings: ClickHouseSettings) -> tuple[str | None, Path | None]:
        return settings.user, settings.password_file

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._wire.close()

    async def query(
        self,
        sql: str,
        args: Mapping[str, object] | None = None,
        *,
        settings: Mapping[str, object] | None = None,
        query_id: str | None = None,
        deadline: Deadline,
    ) -> Rows:
        """The rows, each by column name; strings are text.

        `args` fill `%(name)s` on our side, quoted; then a literal percent sign is `%%`.
        Errors: Unavailable, Refused.
        """
        own = {
            "readonly": 2,
            "max_execution_time": max(1, math.ceil(deadline.remaining_s())),
        }
        query_id = query_id or f"{OWN}{uuid.uuid4()}"
        while True:
            offered = self._offer
            wanted = {name: own[name] for name in _OFFERS[offered]} | dict(settings or {})
            try:
                return await self._wire.run(sql, args, wanted, query_id, deadline)
            except Refused as error:
                # Refused before it ran. A setting that the caller asked for
                # is not dropped silently.
                about_settings = error.status == READONLY and "setting" in error.detail
                if not about_settings or not _OFFERS[offered]:
                    raise
                if settings and offered == len(_OFFERS) - 2:
                    raise
                self._offer = max(self._offer, offered + 1)

    async def plain_select(self, *, deadline: Deadline) -> str:
        """The condition on system.processes that holds for plain SELECTs only,
        as this server knows them.
        """
        if not self._has_kind:
            (row,) = await self.query(_HAS_KIND, deadline=deadline)
            self._has_kind = bool(row["n"])
        return PLAIN_SELECT if self._has_kind else PLAIN_SELECT_BY_TEXT
