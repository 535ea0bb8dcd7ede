"""A member of a consumer group of the newer protocol (KIP-848),
which no Python client in our list can be.
"""

from typing import Any

from aiokafka.conn import create_conn
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

_TEXT = CompactString("utf-8")


class _Response(Response):
    API_KEY = 68
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32), ("error_code", Int16), ("error_message", _TEXT)
    )  # and more


class _Request(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 68
    API_VERSION = 0
    RESPONSE_TYPE = _Response
    SCHEMA = Schema(
        ("group", _TEXT),
        ("member_id", _TEXT),
        ("member_epoch", Int32),
        ("instance_id", _TEXT),
        ("rack_id", _TEXT),
        ("rebalance_timeout_ms", Int32),
        ("topics", CompactArray(_TEXT)),
        ("assignor", _TEXT),
        ("owned", CompactArray(Int32)),
        ("tags", TaggedFields),
    )


class _Heartbeat(Request[_Request]):
    API_KEY = 68

    def __init__(self, group: str, topic: str) -> None:
        self._fields: tuple[object, ...] = (group, "", 0, None, None, 60_000, [topic], None, [], {})

    def build(self, request_struct_class: type[_Request]) -> Any:
        return request_struct_class(*self._fields)


async def join(host: str, port: int, group: str, topic: str) -> None:
    """Makes a member that the broker takes for alive for the next 45 s,
    and gives all partitions of the topic.
    """
    conn = await create_conn(host, port, client_id="newer")
    try:
        answer = await conn.send(_Heartbeat(group, topic))
        assert answer.error_code == 0, answer.error_message
    finally:
        conn.close()
