"""Named people who speak to a whole service, over HTTP and on the command line:
Anna operates, Ben approves.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import aiohttp

from tests.path.test_intake import JSON

ANNA, BEN, MACHINE = "anna-0123456789-abcdef", "ben-0123456789-abcdefg", "machine-0123456789-abc"


def people_of(folder: Path) -> dict[str, Path]:
    """Settings of the intake: Anna, Ben and a machine; each one's token is in a file of their
    name.
    """
    for name, token in (("anna", ANNA), ("ben", BEN), ("machine", MACHINE)):
        (folder / name).write_text(token)
    people = folder / "people.yaml"
    people.write_text(
        "people:\n"
        "  - {name: anna, roles: [operate], token_file: anna}\n"
        "  - {name: ben, roles: [approve], token_file: ben}\n"
    )
    return {"people_file": people, "bearer_file": folder / "machine"}


def shown(token: str) -> dict[str, str]:
    """Headers of somebody who speaks JSON."""
    return {**JSON, "Authorization": f"Bearer {token}"}


async def said(
    session: aiohttp.ClientSession, path: str, body: object, token: str = ANNA
) -> tuple[int, Any]:
    """Status and answer."""
    async with session.post(path, json=body, headers=shown(token)) as answer:
        return answer.status, await answer.json()


async def paramedic(*arguments: str) -> tuple[int, str, str]:
    """The command line as a process: exit code, output, complaints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()
