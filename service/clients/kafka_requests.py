"""Two requests that aiokafka 0.14 does not know: the newest timestamp of a partition,
and the log dirs of a broker.

Never here: sending them.
"""

from typing import Any, ClassVar

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)

NEWEST = -3  # in place of a timestamp: the record with the largest one (KIP-734, Kafka 3.0)
_TEXT = CompactString("utf-8")
_TAGS = ("tags", TaggedFields)


class _NewestResponse(Response):
    API_KEY = 2
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", _TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("timestamp", Int64),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class _NewestRequest(RequestStruct):
    FLEXIBLE_VERSION: ClassVar[bool] = True
    API_KEY = 2
    API_VERSION = 7
    RESPONSE_TYPE = _NewestResponse
    SCHEMA = Schema(
        ("replica_id", Int32),
        ("isolation_level", Int8),
        (
            "topics",
            CompactArray(
                ("topic", _TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("leader_epoch", Int32),
                        ("timestamp", Int64),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class NewestRequest(Request[_NewestRequest]):
    """The newest timestamp of partitions, by topic. A broker before Kafka 3.0:
    NotImplementedError of aiokafka.
    """

    API_KEY = 2

    def __init__(self, topics: dict[str, list[int]]) -> None:
        self._topics = topics

    def build(
        self, request_struct_class: type[_NewestRequest]
    ) -> Any:  # Any: aiokafka has no types
        wanted: list[Any] = [
            (topic, [(p, -1, NEWEST, {}) for p in partitions], {})
            for topic, partitions in self._topics.items()
        ]
        return request_struct_class(-1, 0, wanted, {})


class _LogDirsResponse(Response):
    API_KEY = 35
    API_VERSION = 1
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            Array(
                ("error_code", Int16),
                ("log_dir", String("utf-8")),
                (
                    "topics",
                    Array(
                        ("name", String("utf-8")),
                        (
                            "partitions",
                            Array(
                                ("partition", Int32),
                                ("size", Int64),
                                ("offset_lag", Int64),
                                ("is_future", Boolean),
                            ),
                        ),
                    ),
                ),
            ),
        ),
    )


class _LogDirsRequest(RequestStruct):
    API_KEY = 35
    API_VERSION = 1
    RESPONSE_TYPE = _LogDirsResponse
    SCHEMA = Schema(("topics", Array(("topic", String("utf-8")), ("partitions", Array(Int32)))))


class LogDirsRequest(Request[_LogDirsRequest]):
    """The log dirs of one broker with every partition in them;
    IncompatibleBrokerVersion where it cannot tell.
    """

    API_KEY = 35

    def build(self, request_struct_class: type[_LogDirsRequest]) -> Any:  # Any: see above
        return request_struct_class(None)
