"""Connections to the brokers of one Kafka cluster, and what an error of
aiokafka means in our words.

Never here: what is asked.
"""

import asyncio
import random
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from aiokafka import conn as wire
from aiokafka import errors as kafka
from aiokafka.helpers import create_ssl_context
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.metadata import MetadataRequest

from service.model.errors import BadConfig, ParamedicError, Refused, Unavailable
from service.model.reasons import Reason
from service.settings import KafkaSettings, secret

T = TypeVar("T")
REQUEST_S = 3.0  # a frozen broker costs this much before the next one is asked; the deadline stands above it
IDLE_S = 240.0  # brokers hang up after 10 minutes, balancers in between after 5
Address = tuple[str, int]
LARGEST_ANSWER = (
    64 * 2**20
)  # bytes; of what no broker speaks, the length that it seems to announce is gigabytes

_REFUSED: Mapping[type[Exception], Reason] = {
    kafka.UnknownTopicOrPartitionError: Reason.NOT_FOUND,
    kafka.GroupIdNotFound: Reason.NOT_FOUND,
    kafka.MessageSizeTooLargeError: Reason.TOO_LARGE,
    kafka.InvalidTopicError: Reason.INVALID_REQUEST,
    kafka.InvalidGroupIdError: Reason.INVALID_REQUEST,
    kafka.InvalidRequestError: Reason.INVALID_REQUEST,
    kafka.UnsupportedVersionError: Reason.INVALID_REQUEST,
    kafka.GroupAuthorizationFailedError: Reason.FORBIDDEN,
    kafka.TopicAuthorizationFailedError: Reason.FORBIDDEN,
    kafka.ClusterAuthorizationFailedError: Reason.FORBIDDEN,
    kafka.SaslAuthenticationFailed: Reason.UNAUTHORIZED,
    kafka.AuthenticationFailedError: Reason.UNAUTHORIZED,
    kafka.UnsupportedSaslMechanismError: Reason.UNAUTHORIZED,
    kafka.IllegalSaslStateError: Reason.UNAUTHORIZED,
}
_MALFORMED = (
    ValueError,
    struct.error,
    TypeError,
    IndexError,
    AttributeError,
    AssertionError,
    NotImplementedError,
)


def raise_for(error_code: int, what: str) -> None:
    """Raises the Kafka error of a code that is not 0."""
    if error_code:
        raise kafka.for_code(error_code)(what)


def translated(error: BaseException) -> ParamedicError:
    """Our error for one of aiokafka's or of the socket's."""
    said = f"kafka: {str(error) or type(error).__name__}"[:300]
    for kind, reason in _REFUSED.items():
        if isinstance(error, kind):
            return Refused(reason, said, getattr(error, "errno", 0))
    if isinstance(error, kafka.RequestTimedOutError | TimeoutError):
        return Unavailable(Reason.LATE, said)
    if isinstance(error, kafka.CorrelationIdError | kafka.IncompatibleBrokerVersion):
        return Unavailable(Reason.WRONG_ANSWER, said)
    if isinstance(error, kafka.KafkaConnectionError):
        malformed = isinstance(error.__cause__, _MALFORMED)
        return Unavailable(Reason.WRONG_ANSWER if malformed else Reason.CONNECTION_LOST, said)
    if isinstance(error, kafka.KafkaError):
        return Unavailable(Reason.SERVER_ERROR, said)
    return Unavailable(
        Reason.UNREACHABLE if isinstance(error, OSError) else Reason.WRONG_ANSWER, said
    )


def security(settings: KafkaSettings) -> dict[str, Any]:
    """Who we are and how we speak to the brokers, as everything of aiokafka takes
    it; the password of now.
    """
    s = settings
    options: dict[str, Any] = {
        "client_id": "paramedic",
        "security_protocol": s.security_protocol,
    }
    if s.security_protocol.endswith("SSL"):
        options["ssl_context"] = create_ssl_context(cafile=str(s.ca_file) if s.ca_file else None)
    if s.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = s.sasl_mechanism or "PLAIN"
        options["sasl_plain_username"] = s.sasl_user or ""
        options["sasl_plain_password"] = secret(s.sasl_password_file) or ""
    return options


class _BoundedReader:
    """A stream that is not asked for more than a broker would send:
    aiokafka believes any length and waits for it.
    """

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def readexactly(self, count: int) -> bytes:
        if not 0 <= count <= LARGEST_ANSWER:
            raise ConnectionResetError(f"an answer of {count} bytes is no answer of a broker")
        return await self._reader.readexactly(count)

    def at_eof(self) -> bool:
        return self._reader.at_eof()


class _Connection(wire.AIOKafkaConnection):
    _reader: Any

    def _create_reader_task(self) -> Any:
        self._reader = _BoundedReader(self._reader)
        return super()._create_reader_task()  # type: ignore[no-untyped-call]


class Cluster:
    """The brokers and one connection to each that was needed."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._seeds = [_address(a) for a in (settings.bootstrap or "").split(",")]
        self._brokers: dict[int, Address] = {}
        self._conns: dict[Address, Any] = {}

    async def close(self) -> None:
        conns, self._conns, self._brokers = self._conns, {}, {}
        for conn in conns.values():
            conn.close()
        await asyncio.sleep(0)  # the transports close in the loop's next turn

    def forget(self) -> bool:
        """Forgets the metadata; True when there was some, so that a failure may come of its age."""
        brokers, self._brokers = self._brokers, {}
        return bool(brokers)

    async def guarded(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer of `ask`, or our error."""
        try:
            return await ask()
        except Exception as group:  # noqa: BLE001 aiokafka raises anything on bytes it cannot read
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            if isinstance(error, ParamedicError | BadConfig):
                raise error from error.__cause__
            raise translated(error) from error

    async def ask(self, node: int, request: Any) -> Any:
        """The answer of one broker."""
        if (address := self._brokers.get(node)) is None:
            raise kafka.LeaderNotAvailableError(f"node {node} is not in the metadata")
        return await self._ask(address, request)

    async def ask_any(self, request: Any) -> Any:
        """The answer of the first broker that gives one: known ones in any order,
        then the bootstrap servers.
        """
        known = random.sample(list(self._brokers.values()), len(self._brokers))
        last: Exception | None = None
        for address in dict.fromkeys([*known, *self._seeds]):
            try:
                return await self._ask(address, request)
            except (kafka.KafkaError, OSError, TimeoutError, *_MALFORMED) as error:
                if isinstance(error, tuple(_REFUSED)):
                    raise
                last = error
        assert last is not None, "there is at least one bootstrap server"
        raise last

    async def _ask(self, address: Address, request: Any) -> Any:
        try:
            return await self._send(address, request)
        except TimeoutError as error:
            host, port = address
            raise kafka.RequestTimedOutError(
                f"{host}:{port}: no answer within {REQUEST_S:g} s"
            ) from error

    async def _send(self, address: Address, request: Any) -> Any:
        conn = self._conns.get(address)
        if conn is None or not conn.connected():
            conn = await self._connect(address)
        try:
            return await conn.send(request)
        except kafka.IncompatibleBrokerVersion:
            raise  # nothing was sent, and others use the connection
        except BaseException:
            # Also when we are cancelled: an answer that comes later must meet nobody.
            conn.close()
            raise

    async def _connect(self, address: Address) -> Any:
        conn: Any = _Connection(*address, **self._options())  # type: ignore[no-untyped-call]
        await conn.connect()
        if (other := self._conns.get(address)) is not None and other.connected():
            conn.close()  # somebody else was faster
            return other
        self._conns[address] = conn
        return conn

    def _options(self) -> dict[str, Any]:
        return {
            "request_timeout_ms": int(REQUEST_S * 1000),
            "max_idle_ms": int(IDLE_S * 1000),
            **security(self._settings),
        }

    async def coordinator(self, group: str) -> int:
        """The node that keeps the group."""
        if not self._brokers:
            await self.metadata([])
        answer = await self.ask_any(FindCoordinatorRequest(group, 0))
        raise_for(answer.error_code, f"coordinator of {group}")
        self._brokers[answer.coordinator_id] = (answer.host, answer.port)
        return int(answer.coordinator_id)

    async def leaders(
        self, topics: Sequence[str], *, missing_ok: bool = False
    ) -> dict[tuple[str, int], int]:
        """The leading node of each partition of the topics. Creates none:
        auto-creation is switched off.
        """
        if not topics:
            return {}
        found = {}
        for error_code, topic, _, partitions in (await self.metadata(list(topics))).topics:
            if missing_ok and kafka.for_code(error_code) is kafka.UnknownTopicOrPartitionError:
                continue  # deleted after the group committed on it
            raise_for(error_code, f"topic {topic}")
            for partition_error, partition, leader, *_ in partitions:
                if leader < 0:
                    raise_for(
                        partition_error or kafka.LeaderNotAvailableError.errno,
                        f"{topic}/{partition}",
                    )
                found[topic, partition] = leader
        return found

    async def metadata(self, topics: list[str] | None) -> Any:
        """The answer to a Metadata request; None asks for all topics.
        Creates none: auto-creation is off.
        """
        answer = await self.ask_any(MetadataRequest(topics, allow_auto_topic_creation=False))
        self._brokers.update({node: (host, port) for node, host, port, *_ in answer.brokers})
        return answer


def _address(text: str) -> Address:
    host, _, port = text.strip().rpartition(":")
    if not host or not port.isdecimal():
        raise BadConfig(f"kafka.bootstrap: {text!r} is not host:port")
    return host.strip("[]"), int(port)
