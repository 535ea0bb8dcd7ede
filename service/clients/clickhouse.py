"""The wire to ClickHouse's native protocol: one query, one list of rows.

asynch 0.4 has traps, each met here once: a Connection is poisoned by a failed reconnect (so: a new one after
any failure), its Pool keeps every caller waiting behind one frozen server (so: no Pool, only a few idle
connections), bytes that are no UTF-8 break the connection (so: bytes on the wire, decoded here).
Called by: diagnose/probes/clickhouse_load.py; act and verify for KILL QUERY. Never here: which query is worth it.
"""

import asyncio
import math
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from asynch.connection import Connection

from service.clients.clickhouse_errors import READONLY, translated
from service.kit.deadline import Deadline
from service.model.errors import BadConfig, Refused
from service.settings import ClickHouseSettings, secret

OWN = "paramedic-"  # prefix of our query ids, so that we do not find ourselves in system.processes
_IDLE = 4  # connections kept; a load probe asks four things at once


class ClickHouseClient:
    """Asks one server; `for_acting` uses the acting user where one is configured."""

    def __init__(self, settings: ClickHouseSettings, *, for_acting: bool = False) -> None:
        if settings.host is None:
            raise BadConfig("clickhouse.host is not set")
        self._settings = settings
        self._acting = for_acting and settings.act_user is not None
        self._idle: list[Connection] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._may_set = True  # a user with readonly=1 may send no settings
        self.source = f"clickhouse at {settings.host}:{settings.port}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        self._drop_idle()
        if self._closing:
            await asyncio.wait(self._closing)

    async def query(
        self,
        sql: str,
        args: Mapping[str, object] | None = None,
        *,
        settings: Mapping[str, object] | None = None,
        query_id: str | None = None,
        write: bool = False,
        deadline: Deadline,
    ) -> list[dict[str, object]]:
        """The rows, each by column name; strings are text. A statement without a result gives none.

        `args` fill `%(name)s` on our side, quoted; then a literal percent sign is `%%`. With `write` a reply that
        is lost after the query was sent is Indeterminate; without it Unavailable.
        """
        wanted = {
            "max_execution_time": max(1, math.ceil(deadline.remaining_s())),
            **(settings or {}),
        }
        query_id = query_id or f"{OWN}{uuid.uuid4()}"
        if self._may_set:
            try:
                return await self._once(sql, args, wanted, query_id, write, deadline)
            except Refused as error:
                # Refused before it ran. A setting the caller asked for is not dropped silently.
                if error.status != READONLY or settings or "setting" not in error.detail:
                    raise
                self._may_set = False
        return await self._once(sql, args, dict(settings or {}), query_id, write, deadline)

    async def _once(
        self,
        sql: str,
        args: Mapping[str, object] | None,
        settings: Mapping[str, object],
        query_id: str,
        write: bool,
        deadline: Deadline,
    ) -> list[dict[str, object]]:
        connection: Connection | None = None
        sent = False
        try:
            async with deadline.enforced(self.source):
                connection = self._idle.pop() if self._idle else self._new(deadline)
                await connection.connect()
                sent = True
                rows = await _run(connection, sql, args, settings, query_id)
        except BaseException as error:
            if connection is not None:
                self._drop(connection)
            self._drop_idle()  # what broke this one has most likely broken them
            if not isinstance(error, Exception):
                raise
            raise translated(error, self.source, lost=write and sent) from error
        if len(self._idle) < _IDLE:
            self._idle.append(connection)
        else:
            self._drop(connection)
        return rows

    def _new(self, deadline: Deadline) -> Connection:
        s = self._settings
        user, file = (
            (s.act_user, s.act_password_file) if self._acting else (s.user, s.password_file)
        )
        options: dict[str, Any] = {"ca_certs": str(s.ca_file)} if s.ca_file else {}
        # asynch's own limits stand above every deadline of ours but bound a close; ping: see force_connect.
        return Connection(
            host=s.host or "",
            port=s.port,
            user=user or "default",
            password=secret(file) or "",
            secure=s.secure,
            connect_timeout=30,
            send_receive_timeout=60,
            sync_request_timeout=2,
            **options,
        )

    def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        # In the background: closing waits for the peer, and a frozen peer may not hold up an answer.
        task = asyncio.create_task(_closed(connection), name="clickhouse-close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _closed(connection: Connection) -> None:
    with suppress(Exception):
        await asyncio.wait_for(connection.close(), 1.0)


async def _run(
    connection: Connection,
    sql: str,
    args: Mapping[str, object] | None,
    settings: Mapping[str, object],
    query_id: str,
) -> list[dict[str, object]]:
    async with connection.cursor() as cursor:
        asynch_has_no_types: Any = cursor
        asynch_has_no_types.set_settings(
            {**settings, "strings_as_bytes": True}
        )  # asynch keeps that one to itself
        asynch_has_no_types.set_query_id(query_id)
        await cursor.execute(sql, dict(args) if args is not None else None)
        names = [_text(column.name) for column in cursor.description or []]
        rows: Sequence[Sequence[object]] = await cursor.fetchall() if names else []
    return [dict(zip(map(str, names), map(_text, row), strict=True)) for row in rows]


def _text(value: object) -> object:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
