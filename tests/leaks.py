"""No output of any test shows a planted secret.

Tests plant the words below wherever a secret may stand: settings, URLs, query texts, YAML, labels,
log lines, answers of backends. What a test printed, logged, or had its child processes print is
searched here when it has passed.
"""

from collections.abc import Generator
from typing import Any

import pytest

PLANTED = ("hunter2", "s3cret")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
    call: pytest.CallInfo[Any],  # Any: whatever the test returned
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fails a test that passed, and showed a secret while it did."""
    report = yield
    shown = "\n".join(text for _, text in report.sections)
    leaked = [secret for secret in PLANTED if secret in shown]
    if leaked and report.passed:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: {' and '.join(leaked)} in what it printed or logged"
    return report
