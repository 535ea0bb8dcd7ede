"""Scenarios: one file for each row of the troubleshooting playbook,
each breaks the demo's world in its way.

`SCENARIOS` has all of them by name. A new one owns one file here, and its line below.
"""

import difflib

from rehearsal.scenarios import (
    approval,
    authentication,
    clickhouse,
    complete_recovery,
    data_flow,
    data_quality,
    high_latency,
    kafka,
    logging,
    low_throughput,
    metrics,
    network,
    outage,
    persistence,
    quick,
    service_restarts,
    service_start,
    worse,
)
from rehearsal.scenarios.scenario import Scenario

_ALL = (
    quick.SCENARIO,
    service_start.MEMORY,
    service_start.DEPENDENCY,
    service_restarts.MEMORY,
    data_flow.POLICY,
    data_flow.REGISTRY,
    data_quality.SCENARIO,
    high_latency.SCENARIO,
    low_throughput.SCENARIO,
    kafka.QUORUM,
    kafka.BROKER,
    clickhouse.HOG,
    authentication.SCENARIO,
    network.SCENARIO,
    metrics.ANNOTATIONS,
    metrics.PROMETHEUS,
    logging.SCENARIO,
    outage.RESTART,
    outage.DEPENDENCY,
    persistence.BACKUP,
    persistence.DISK,
    complete_recovery.SCENARIO,
    approval.SCENARIO,
    worse.SCENARIO,
)

SCENARIOS = {scenario.name: scenario for scenario in _ALL}


def find(name: str) -> Scenario:
    """The scenario of this name, with its row or without it,
    or the first of the row with this number.

    LookupError, with the one that was probably meant, where there is none.
    """
    of_row = next((s for s in SCENARIOS.values() if name in (s.row, *_also(s))), None)
    if found := SCENARIOS.get(name, of_row):
        return found
    near = difflib.get_close_matches(name, SCENARIOS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(SCENARIOS)}"
    raise LookupError(f"there is no scenario {name!r}; {hint}")


def _also(scenario: Scenario) -> tuple[str, str]:
    """Its name with its row and without it: `7.2-disk`, `disk`; `3.2-approval`, `approval`."""
    bare = scenario.name.removeprefix(f"{scenario.row}-")
    return bare, f"{scenario.row}-{bare}"


def table() -> str:
    """All of them as the README shows them."""
    lines = ["| scenario | what breaks | what Paramedic does |", "| --- | --- | --- |"]
    lines += [f"| `{s.name}` | {s.breaks} | {s.does} |" for s in SCENARIOS.values()]
    return "\n".join(lines) + "\n"
