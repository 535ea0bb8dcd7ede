"""A cluster as it was recorded: the healthy platform,
overlaid with what one scenario's answers say has changed.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from rehearsal.cluster.selectors import by_labels
from service.clients.kubernetes import KubernetesReader
from service.settings import KubernetesSettings
from tests.servers.faults import Asked, Scripted, scripted
from tests.wire.test_kubernetes import kubeconfig

FOLDER = Path(__file__).resolve().parents[1] / "data" / "diagnosis"
NAMESPACE = "carbon-ingestion"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

Object = dict[str, Any]  # Any: JSON


class Recorded:
    """The objects of a scenario after its exchange `until`; a test may change them."""

    def __init__(self, scenario: str = "01_healthy", until: str | None = None) -> None:
        self.objects: dict[str, dict[str, Object]] = {}  # collection -> name -> object
        self.logs: dict[tuple[str, str, bool], tuple[int, object]] = {}
        self.reviews: list[tuple[Object, Object]] = []
        for name in dict.fromkeys(("01_healthy", scenario)):
            for exchange in json.loads((FOLDER / f"{name}.json").read_text())["exchanges"]:
                self._take(exchange)
                if name == scenario and exchange["name"] == until:
                    break

    def collection(self, plural: str, namespace: str = NAMESPACE) -> dict[str, Object]:
        """The objects of one kind, by name."""
        roots = {"deployments": "apps/v1", "statefulsets": "apps/v1", "replicasets": "apps/v1"}
        roots |= {"networkpolicies": "networking.k8s.io/v1"}
        roots |= dict.fromkeys(("roles", "rolebindings"), "rbac.authorization.k8s.io/v1")
        api = f"/apis/{roots[plural]}" if plural in roots else "/api/v1"
        inside = f"/namespaces/{namespace}" if namespace else ""
        return self.objects.setdefault(f"{api}{inside}/{plural}", {})

    def _take(self, exchange: Object) -> None:
        request, status = exchange["request"], exchange["response"]["status"]
        path, body = request["path"], exchange["response"]["body"]
        query = request.get("query") or {}
        if path.endswith("/log"):
            pod = path.split("/")[-2]
            self.logs[pod, query.get("container", ""), "previous" in query] = (status, body)
        elif path == REVIEWS:
            self.reviews.append((request["body"]["spec"], body))
        elif status < 300 and isinstance(body, dict) and not path.endswith("/scale"):
            path = path.removesuffix("/status")
            if "items" in body:
                self._list(path, query, body["items"] or [])
            elif request["method"] == "DELETE":
                pass  # an answer to a deletion is the object as it was
            elif request["method"] == "POST":
                self.objects.setdefault(path, {})[body["metadata"]["name"]] = body
            else:
                collection, _, name = path.rpartition("/")
                self.objects.setdefault(collection, {})[name] = body
        elif status == 404 and request["method"] == "GET":
            collection, _, name = path.rpartition("/")
            self.objects.get(collection, {}).pop(name, None)

    def _list(self, path: str, query: Mapping[str, str], items: list[Object]) -> None:
        there = self.objects.setdefault(path, {})
        if "fieldSelector" not in query:
            chosen = by_labels(query.get("labelSelector", ""))
            for name in [n for n, o in there.items() if chosen(o)]:
                del there[name]
        there |= {item["metadata"]["name"]: item for item in items}

    def answer(self, asked: Asked) -> web.Response:
        """What the API server would say."""
        if asked.path.endswith("/log"):
            status, body = self._log(asked)
            if isinstance(body, str) or body is None:
                return web.Response(status=status, text=str(body or ""))
            return web.json_response(body, status=status)
        if asked.path == REVIEWS:
            spec = json.loads(asked.body)["spec"]
            said: Object = next(
                (b for s, b in self.reviews if s == spec), {"status": {"allowed": False}}
            )
            return web.json_response(said, status=201)
        if asked.path in self.objects:
            chosen = by_labels(asked.query.get("labelSelector", ""))
            items = [o for o in self.objects[asked.path].values() if chosen(o)]
            start, limit = int(asked.query.get("continue", 0)), int(asked.query.get("limit", 500))
            more = {"continue": str(start + limit)} if start + limit < len(items) else {}
            page = items[start : start + limit]
            return web.json_response({"kind": "SomeList", "metadata": more, "items": page})
        collection, _, name = asked.path.rpartition("/")
        found = self.objects.get(collection, {}).get(name)
        if found is None:
            # A collection of which nothing was recorded is empty,
            # an object that was not is not there.
            if "limit" in asked.query:
                return web.json_response({"kind": "SomeList", "metadata": {}, "items": []})
            return web.json_response({"message": f"{asked.path} not found"}, status=404)
        return web.json_response(found)

    def _log(self, asked: Asked) -> tuple[int, object]:
        pod = asked.path.split("/")[-2]
        container, previous = asked.query.get("container", ""), "previous" in asked.query
        waits = (400, {"message": f'container "{container}" in pod "{pod}" is waiting to start'})
        return self.logs.get((pod, container, previous)) or self.logs.get(
            (pod, "", previous), waits
        )


@asynccontextmanager
async def playing(
    cluster: Recorded, folder: Path
) -> AsyncIterator[tuple[KubernetesReader, Scripted]]:
    """A reader of the recorded cluster, and the server that plays it."""
    async with scripted() as server:
        server.answer = cluster.answer
        settings = KubernetesSettings(kubeconfig=kubeconfig(folder, server.url))
        async with KubernetesReader(settings) as reader:
            yield reader, server
