"""Connections to one ClickHouse server over its native protocol, and one statement on one of them.

asynch 0.4 has traps, each met here once: a Connection is poisoned by a failed reconnect (so:
a new one after any failure), its Pool keeps every caller waiting behind one frozen server
(so: no Pool, only a few idle connections), bytes that are not UTF-8 break the connection (so:
bytes on the wire, decoded here).
Never here: which statement is worth it, or allowed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from asynch.connection import Connection

from service.clients.clickhouse_errors import translated
from service.kit.deadline import Deadline
from service.model.errors import BadConfig
from service.settings import ClickHouseSettings, secret

_IDLE = 4  # connections kept; a load probe asks four things at once

Rows = list[dict[str, object]]


class Wire:
    """One server, one user. Errors: Unavailable, Refused;
    Indeterminate only for what was sent to be confirmed.
    """

    def __init__(
        self, settings: ClickHouseSettings, user: str | None, password_file: Path | None
    ) -> None:
        if settings.host is None:
            raise BadConfig("clickhouse.host is not set")
        self._settings, self._user, self._password_file = settings, user, password_file
        self._idle: list[Connection] = []
        self._closing: set[asyncio.Task[None]] = set()
        self.source = f"clickhouse at {settings.host}:{settings.port}"

    async def close(self) -> None:
        self._drop_idle()
        if self._closing:
            await asyncio.wait(self._closing)

    async def run(
        self,
        sql: str,
        args: Mapping[str, object] | None,
        settings: Mapping[str, object],
        query_id: str,
        deadline: Deadline,
        confirm: Callable[[], Awaitable[None]] | None = None,
    ) -> Rows:
        """One statement. With `confirm`, which is awaited on an open connection right before it is
        sent, it is a write: a reply that is lost afterwards is Indeterminate.
        """
        connection: Connection | None = None
        sent = False
        try:
            async with deadline.enforced(self.source):
                connection = self._idle.pop() if self._idle else self._new()
                await connection.connect()
                if confirm is not None:
                    await confirm()
                sent = True
                rows = await _run(connection, sql, args, settings, query_id)
        except BaseException as error:
            if connection is not None:
                self._drop(connection)
            self._drop_idle()  # what broke this one has most likely broken them
            if not isinstance(error, Exception):
                raise
            raise translated(error, self.source, lost=confirm is not None and sent) from error
        if len(self._idle) < _IDLE:
            self._idle.append(connection)
        else:
            self._drop(connection)
        return rows

    def _new(self) -> Connection:
        s = self._settings
        options: dict[str, Any] = {"ca_certs": str(s.ca_file)} if s.ca_file else {}
        # asynch's own limits stand above every deadline of ours but bound a close;
        # ping: see force_connect.
        return Connection(
            host=s.host or "",
            port=s.port,
            user=self._user or "default",
            password=secret(self._password_file) or "",
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
        # In the background: closing waits for the peer, and a frozen peer may
        # not hold up an answer.
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
) -> Rows:
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
