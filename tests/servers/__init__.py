"""Real servers for tests, one module a server. What is missing is named,
never silently passed over.

`require` skips the test with the reason, or fails it when STRICT=1 (as CI runs).
What was missing is printed again in the last lines of the run by tests/conftest.py.
"""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVERS = Path(os.environ.get("PARAMEDIC_SERVERS", ROOT / ".servers"))

absent: dict[str, str] = {}  # server -> how to get it; read by the terminal summary


def require(name: str, found: Path | None, hint: str) -> Path:
    """The path of the server `name`, or a skip (STRICT=1: a failure) that says how to get it."""
    if found is not None:
        return found
    absent[name] = hint
    if os.environ.get("STRICT") == "1":
        pytest.fail(f"{name} is missing: {hint}", pytrace=False)
    pytest.skip(f"{name} is missing: {hint}")
