"""Eyes: one coroutine a chapter of the troubleshooting playbook, built of probes, one a backend and question.

Lives here: `DIAGNOSES`, the chapters by the name that a playbook gives under `diagnose:`. A new chapter is its
evidence type in `service.model.evidence`, a module here with its parameters and its coroutine, and a line below;
playbooks/load.py then checks `with:` against the parameters and every condition against the evidence.
Called by: playbooks/load.py (types), pipeline and verify (run).
Never here: conclusions from evidence (decide), or a client that can write (act).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from service.diagnose.performance import PerformanceParams, performance
from service.model.evidence import Evidence, PerformanceEvidence


@dataclass(frozen=True)
class Diagnosis:
    """A chapter. `run(eyes, target, params, *, deadline, clock, observe)` gives the evidence and raises nothing."""

    name: str
    params_type: type
    evidence_type: type[Evidence]
    run: Callable[..., Awaitable[Any]]  # the parameters' type differs from chapter to chapter


DIAGNOSES: Mapping[str, Diagnosis] = {
    d.name: d
    for d in (Diagnosis("performance", PerformanceParams, PerformanceEvidence, performance),)
}
