"""A real Prometheus and a real Alertmanager on loopback ports, and their tools promtool and amtool.

Never here: what is scraped, and who receives.
"""

import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import yaml

from rehearsal.servers import free_port
from rehearsal.servers.process import Process
from tests.servers import debian, require

PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
}
# Debian's Alertmanager reads its default template from this path, compiled in:
# unpacking alone is not enough for it.
DEFAULT_TEMPLATE = Path("/usr/share/prometheus/alertmanager/default.tmpl")


def tool(name: str) -> Path:
    """The executable `name` of Debian's packages, or a skip that says how to get it."""
    return require(
        name, debian.found(name), f"run tests/servers/install.sh debian (package {PACKAGES[name]})"
    )


def run(
    name: str, *args: str | Path, cwd: Path | None = None, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs promtool or amtool to its end; the caller looks at the return code."""
    exe = tool(name)
    return subprocess.run(
        [exe, *args],
        cwd=cwd,
        input=stdin,
        # promtool makes garbage all the time: collecting it less often saves a tenth of its work.
        env={**os.environ, "GOGC": "400", **debian.environment(exe)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def quicken(
    rules: Path, into: Path, *, wait: str = "1s", keep: str = "1s", interval: str = "1s"
) -> Path:
    """Copies the rule files of `rules` to `into` with every `for`,
    `keep_firing_for` and `interval` made short.
    """
    into.mkdir(parents=True, exist_ok=True)
    for path in sorted(rules.glob("*.rules.yaml")):
        document = yaml.safe_load(path.read_text())
        for group in document["groups"]:
            group["interval"] = interval
            for rule in group["rules"]:
                if "for" in rule:
                    rule["for"] = wait
                if "keep_firing_for" in rule:
                    rule["keep_firing_for"] = keep
        (into / path.name).write_text(yaml.safe_dump(document, sort_keys=False))
    return into


class Server:
    """A started server: where it is, and its process."""

    def __init__(self, url: str, process: Process) -> None:
        self.url, self.process = url, process

    async def start(self) -> None:
        """Starts it and waits until it is ready; after `process.kill()` again,
        with the data that it has kept.
        """
        await self.process.start(lambda: _ready(f"{self.url}/-/ready"))

    async def get(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Any:
        """The JSON that a GET of `path` answers."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.url + path, params=query) as reply,
        ):
            reply.raise_for_status()
            return await reply.json()


S = TypeVar("S", bound=Server)


class Prometheus(Server):
    """Adds what tests ask a Prometheus."""

    async def query(self, expr: str) -> list[dict[str, Any]]:
        """The samples of an instant query: [{"metric": {...}, "value": [time, text]}, ...]."""
        answer = await self.get("/api/v1/query", [("query", expr)])
        return list(answer["data"]["result"])

    async def rule_errors(self) -> list[str]:
        """The rules that could not be evaluated, each with its error."""
        groups = (await self.get("/api/v1/rules"))["data"]["groups"]
        return [
            f"{rule['name']}: {rule['lastError']}"
            for g in groups
            for rule in g["rules"]
            if rule.get("lastError")
        ]


class Alertmanager(Server):
    """Adds what tests ask an Alertmanager."""

    async def alerts(self, **labels: str) -> list[dict[str, Any]]:
        """What it holds with these labels: [{"labels": {...}, "status":
        {"inhibitedBy": [...]}}, ...].
        """
        wanted = [("filter", f'{name}="{value}"') for name, value in labels.items()]
        return list(await self.get("/api/v2/alerts", wanted))


@asynccontextmanager
async def prometheus(
    config: Mapping[str, Any] | Path,
    folder: Path,
    *,
    rules_dir: Path | None = None,
    flags: Sequence[str] = (),
) -> AsyncIterator[Prometheus]:
    """A Prometheus with `config` (a mapping or a file);
    `rules_dir` adds its *.rules.yaml. Data go to `folder`.
    """
    exe = tool("prometheus")
    document = yaml.safe_load(config.read_text()) if isinstance(config, Path) else dict(config)
    if rules_dir is not None:
        document["rule_files"] = [*document.get("rule_files", []), str(rules_dir / "*.rules.yaml")]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(document))
    port = free_port()
    argv = [
        str(exe),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--rules.alert.resend-delay=1s",  # a minute by default: a test would wait for it after a lost delivery
        *flags,
    ]
    process = Process(argv, folder / "out.log", env=debian.environment(exe), cwd=folder)
    async with _started(Prometheus(f"http://127.0.0.1:{port}", process)) as server:
        yield server


@asynccontextmanager
async def alertmanager(
    config: Mapping[str, Any] | Path,
    folder: Path,
    *,
    gossip: int | None = None,
    peer: int | None = None,
) -> AsyncIterator[Alertmanager]:
    """An Alertmanager with `config` (a mapping or a file). Data go to `folder`.

    Alone, unless it has a port to `gossip` on; `peer` is the port of another one.
    """
    exe = tool("prometheus-alertmanager")
    require(
        "alertmanager's default.tmpl",
        DEFAULT_TEMPLATE if DEFAULT_TEMPLATE.exists() else None,
        f"Debian's Alertmanager reads {DEFAULT_TEMPLATE}: install prometheus-alertmanager, or link the unpacked file",
    )
    folder.mkdir(parents=True, exist_ok=True)
    text = config.read_text() if isinstance(config, Path) else yaml.safe_dump(dict(config))
    (folder / "alertmanager.yml").write_text(text)
    port = free_port()
    argv = [
        str(exe),
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        # Alone: the gossip port would be the same in every test.
        f"--cluster.listen-address={f'127.0.0.1:{gossip}' if gossip else ''}",
        *([f"--cluster.peer=127.0.0.1:{peer}"] if peer else []),
        *(["--cluster.settle-timeout=2s", "--cluster.peer-timeout=2s"] if gossip else []),
    ]
    process = Process(argv, folder / "out.log", env=debian.environment(exe), cwd=folder)
    async with _started(Alertmanager(f"http://127.0.0.1:{port}", process)) as server:
        yield server


@asynccontextmanager
async def _started(server: S) -> AsyncIterator[S]:
    process = server.process
    try:
        await server.start()
        yield server
    finally:
        await process.kill()
        if process.log.parent.exists():
            shutil.rmtree(process.log.parent / "data", ignore_errors=True)


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=0.5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False
