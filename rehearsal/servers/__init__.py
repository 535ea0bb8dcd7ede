"""Real servers that need no installation of their own: a Kafka broker and a
ClickHouse, each a child process.

Never here: anything that a deployed service needs.
"""

import os
import socket
from pathlib import Path


def folder() -> Path:
    """Where tests/servers/install.sh puts what it installs: PARAMEDIC_SERVERS, or .servers here."""
    return Path(os.environ.get("PARAMEDIC_SERVERS", ".servers")).absolute()


def listens(port: int) -> bool:
    """Whether somebody takes connections on this port of the loopback address."""
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
