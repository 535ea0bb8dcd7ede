"""Apicurio Registry, which speaks the REST API of Confluent's Schema Registry,
with its data in memory.
"""

import shutil
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from rehearsal.servers import free_port
from rehearsal.servers.process import Process
from tests.servers import SERVERS, require

FOLDER = SERVERS / "apicurio"
HINT = "run tests/servers/install.sh schema-registry (needs Java 17 and Maven)"
_TYPE = {"Content-Type": "application/vnd.schemaregistry.v1+json"}


class Apicurio:
    """A started registry; `url` is the base that clients of Confluent's API take."""

    def __init__(self, port: int, process: Process) -> None:
        self.port, self.process = port, process
        self.url = f"http://127.0.0.1:{port}/apis/ccompat/v7"

    async def register(self, subject: str, schema: str) -> None:
        """Another version of a subject."""
        await self._send("POST", f"/subjects/{subject}/versions", {"schema": schema})

    async def configure(self, subject: str, level: str) -> None:
        """The compatibility of a subject."""
        await self._send("PUT", f"/config/{subject}", {"compatibility": level})

    async def _send(self, method: str, path: str, body: dict[str, str]) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, json=body, headers=_TYPE) as reply,
        ):
            assert reply.status < 300, await reply.text()


@asynccontextmanager
async def apicurio(folder: Path) -> AsyncIterator[Apicurio]:
    """A registry without subjects, or a skip. Up in about 4 s."""
    java = shutil.which("java")
    jars = sorted(FOLDER.glob("apicurio-registry-app-*-runner.jar"))
    require("schema registry", jars[0] if java and jars else None, HINT)
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    argv = [
        "java", "-Xmx300m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
        "-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}", "-jar", str(jars[0]),
    ]  # fmt: skip
    process = Process(argv, folder / "registry.log", cwd=folder)
    try:
        await process.start(lambda: _ready(port))
        yield Apicurio(port, process)
    finally:
        await process.kill()


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=0.5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False
