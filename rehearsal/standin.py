"""Stands in for what a scenario needs beside the servers: the services' endpoints, Prometheus,
the Schema Registry, and the network paths between them.

It answers what the real ones would about the cluster as it is now. Never here:
what is broken, and when.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from rehearsal.cluster import Cluster, Object
from rehearsal.servers import free_port

Sample = tuple[Mapping[str, str], float]
"""Labels and value of one sample of an instant vector."""

SUBJECTS = ("ingestion.miso.raw.v1-value", "ingestion.miso.normalized.v1-value")


def ready(pod: Object) -> bool:
    """Whether a pod takes requests."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


class Gate:
    """One network path: while it is open a connection to its port is taken, and closed again."""

    def __init__(self) -> None:
        self.port = free_port()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(_farewell, "127.0.0.1", self.port)

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()


async def _farewell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@dataclass
class StandIn:
    """One HTTP server on a loopback port.

    A service answers while a pod of its workload is ready; one that `hangs` does not before it has
    a new pod. The registry is such a service. `series` are Prometheus' answers: the first pattern
    that a query has decides, and a query that none has gives no sample.
    """

    cluster: Cluster
    namespace: str
    series: dict[str, Callable[[], list[Sample]]] = field(default_factory=dict)
    versions: dict[str, list[int]] = field(default_factory=lambda: {s: [1] for s in SUBJECTS})
    prometheus_answers: bool = True
    gates: dict[str, Gate] = field(default_factory=dict)
    url: str = ""
    _hanging: dict[str, frozenset[str]] = field(default_factory=dict)  # service -> its pods' uids
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes(
            [
                web.get("/registry/{path:.*}", self._registry),
                web.route("*", "/prometheus/api/v1/query", self._query),
                web.get("/{service}:{port}/{what}", self._endpoint),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for gate in self.gates.values():
            await gate.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def gate(self, destination: str) -> Gate:
        """The open path to `destination` as playbooks declare it, `kafka-cluster:9092`."""
        gate = self.gates[destination] = Gate()
        await gate.open()
        return gate

    def hang(self, service: str) -> None:
        """Its processes answer no more; those of new pods will."""
        self._hanging[service] = frozenset(p["metadata"]["uid"] for p in self._pods(service))

    def answers(self, service: str) -> bool:
        """Whether a request to it is answered with 200 now."""
        hanging = self._hanging.get(service, frozenset())
        return any(ready(p) and p["metadata"]["uid"] not in hanging for p in self._pods(service))

    def _pods(self, service: str) -> list[Object]:
        return [
            pod
            for pod in self.cluster.objects("pods", self.namespace)
            if pod["metadata"].get("labels", {}).get("app.kubernetes.io/name") == service
        ]

    async def _endpoint(self, request: web.Request) -> web.Response:
        if not self.answers(request.match_info["service"]):
            return web.Response(status=503, text="no ready pod answers\n")
        if request.match_info["what"] == "metrics":
            return web.Response(text="messages_processed_total 1\n")
        return web.json_response({"status": "ok"})

    async def _query(self, request: web.Request) -> web.Response:
        if not self.prometheus_answers:
            return web.Response(status=503, text="not ready\n")
        asked = {**request.query, **await request.post()}.get("query", "")
        samples: list[Sample] = [({}, 1.0)] if asked == "vector(1)" else []
        for pattern, answer in self.series.items():
            if re.search(pattern, str(asked)):
                samples = answer()
                break
        result = [{"metric": dict(labels), "value": [0, str(value)]} for labels, value in samples]
        return web.json_response(
            {"status": "success", "data": {"resultType": "vector", "result": result}}
        )

    async def _registry(self, request: web.Request) -> web.Response:
        if not self.answers("schema-registry"):
            return web.Response(status=503, text="no ready pod answers\n")
        answers: dict[str, Any] = {  # Any: JSON
            "subjects": list(self.versions),
            "config": {"compatibilityLevel": "BACKWARD"},
            **{f"subjects/{name}/versions": found for name, found in self.versions.items()},
        }
        found = answers.get(request.match_info["path"])
        return web.json_response(found if found is not None else {}, status=200 if found else 404)
