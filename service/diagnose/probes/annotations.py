"""The `prometheus.io/*` annotations of the pod template, against those that scraping needs.

Never here: whether Prometheus goes by annotations.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from service.clients.kubernetes import Object
from service.diagnose.probes.snapshot import Snapshot

_PREFIX = "prometheus.io/"


@dataclass(frozen=True, slots=True)
class Annotations:
    """What the pod template says to Prometheus."""

    found: Mapping[
        str, str
    ]  # prometheus.io/... -> value, as they are; values of at most 100 characters
    wanted: Mapping[str, str]  # those that a playbook declares for this workload
    seen: Mapping[str, str]  # the values that are there of those that are wanted
    missing: tuple[str, ...]  # names that are wanted and not there
    wrong: tuple[str, ...]  # names that are there with another value
    complete: bool  # nothing is missing or wrong


async def annotations(snapshot: Snapshot, wanted: Mapping[str, Mapping[str, str]]) -> Annotations:
    """The annotations now; `wanted` is workload -> annotations, "*" for all others.
    Raises what the reader raises.
    """
    of = wanted.get(snapshot.target.name, wanted.get("*", {}))
    return compared(await snapshot.workload(), of)


def compared(workload: Object, wanted: Mapping[str, str]) -> Annotations:
    """The same from the workload, without waiting."""
    template = (workload.get("spec") or {}).get("template") or {}
    written = (template.get("metadata") or {}).get("annotations") or {}
    found = {
        str(key): str(value)[:100] for key, value in written.items() if key.startswith(_PREFIX)
    }
    missing = tuple(sorted(key for key in wanted if key not in found))
    wrong = tuple(sorted(key for key in wanted if key in found and found[key] != wanted[key]))
    seen = {key: found[key] for key in wanted if key in found}
    return Annotations(found, dict(wanted), seen, missing, wrong, not missing and not wrong)
