"""Start and memory of the service with every backend configured and none of them there."""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from rehearsal.servers import free_port

_KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
"""


async def run() -> None:
    """Prints seconds to ready and resident memory, for a first start (with
    migration) and a later one.
    """
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        kubeconfig.write_text(_KUBECONFIG)
        compiled = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "import service.app", env=_environment(Path(folder))
        )
        await compiled.wait()
        for which in ("first start", "later start"):
            ready_s, rss_mib = await _start(Path(folder), kubeconfig)
            print(
                f"{which}: ready after {ready_s:.2f} s, {rss_mib:.0f} MiB resident when idle",
                flush=True,
            )


def _environment(folder: Path) -> dict[str, str]:
    """With compiled modules, as they lie in an installed wheel,
    whatever this shell has told Python.
    """
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}


async def _start(folder: Path, kubeconfig: Path) -> tuple[float, float]:
    port = free_port()
    env = {
        **_environment(folder),
        "PARAMEDIC_STORE__URL": f"sqlite:///{folder / 'p.db'}", "PARAMEDIC_INTAKE__PORT": str(port),
        "PARAMEDIC_KUBERNETES__KUBECONFIG": str(kubeconfig), "PARAMEDIC_KAFKA__BOOTSTRAP": "127.0.0.1:9",
        "PARAMEDIC_CLICKHOUSE__HOST": "127.0.0.1", "PARAMEDIC_PROMETHEUS__URL": "http://127.0.0.1:9",
    }  # fmt: skip
    began = time.perf_counter()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", "serve", env=env, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with aiohttp.ClientSession() as session:
            while time.perf_counter() - began < 15:
                try:
                    async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                        if answer.status == 200:
                            break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.01)
            ready_s = time.perf_counter() - began
            await asyncio.sleep(3)
            status = await asyncio.to_thread(Path(f"/proc/{child.pid}/status").read_text)
            rss_kib = next(
                int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")
            )
            return ready_s, rss_kib / 1024
    finally:
        child.terminate()
        await child.wait()
