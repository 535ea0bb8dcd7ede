"""The search for planted secrets finds them: in what is printed, logged,
and printed by child processes.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT

SHOWN = {
    "printed": "print('hunter2')",
    "logged": "import structlog; structlog.get_logger().warning('no answer', url='http://u:s3cret@h')",
    "by a library": "import logging; logging.getLogger('x').warning('hunter2')",
    "by a child": "import subprocess; subprocess.run(['echo', 'hunter2'])",
}


@pytest.mark.parametrize("line", [*SHOWN.values(), "print('nothing')"], ids=[*SHOWN, "not at all"])
def test_a_test_that_shows_a_secret_fails(line: str, tmp_path: Path) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(f"def test_it():\n    {line}\n")
    options = ("-p", "tests.leaks", "-p", "no:cacheprovider", "-c", "/dev/null", "-q", str(file))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # loading them takes two seconds
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == (1 if line in SHOWN.values() else 0), done.stdout
    assert ("in what it printed or logged" in done.stdout) == (line in SHOWN.values())
