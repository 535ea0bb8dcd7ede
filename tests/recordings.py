"""Recorded answers of a real API server, and a scripted server that gives them."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.servers.faults import Asked, Scripted

FOLDER = Path(__file__).parent / "data" / "kubernetes"
NOT_INSTALLED = web.HTTPNotFound.status_code  # plain text, as for a kind that nobody has installed


@cache
def _file(name: str) -> dict[str, Any]:
    (found,) = FOLDER.glob(f"{name}_*.json")
    loaded: dict[str, Any] = json.loads(found.read_text())
    return loaded


def recorded(file: str, exchange: str) -> dict[str, Any]:
    """The body of one exchange: `recorded("13b", "with-read")`."""
    body: dict[str, Any] = _file(file)[exchange]["body"]
    return body


def path_of(file: str, exchange: str) -> str:
    """Where it was read."""
    path: str = _file(file)[exchange]["path"]
    return path


def serves(api: Scripted, answers: Mapping[str, object]) -> None:
    """The server has these objects by their path; an int is a status,
    anything else is not installed.
    """

    def answer(asked: Asked) -> web.Response:
        found = answers.get(asked.path)
        if isinstance(found, int):
            return web.json_response({"message": "scripted"}, status=found)
        if found is None:
            return web.Response(status=NOT_INSTALLED, text="404 page not found\n")
        return web.json_response(found)

    api.answer = answer
