"""Quick diagnostics for a person: of what chapter 0 saw, what is wrong first;
as text for 3 a.m. and as JSON.

The order is that in which people should look: nodes, data stores, volumes, workloads,
endpoints, lag, the rest. What could not be read is said after what is known to be wrong,
and never counted as well.
Never here: reading anything, doing anything.
"""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import Any, TypeVar

from service.diagnose.chapters.quick import QuickEvidence
from service.diagnose.probes.endpoints import Endpoints
from service.model.evidence import Known, Reading, Unknown
from service.model.reasons import Reason

V = TypeVar("V")

MOST_EXAMPLES = 5
WIDTH = 110  # columns of the text
MOST_LINES = 4  # of one finding
_NAME_IT = "PARAMEDIC_KUBERNETES__KUBECONFIG=~/.kube/config paramedic diagnose"
_STORES = ("kafka", "clickhouse", "zookeeper")
_OPTIONAL = ("health", "metrics", "kafka", "clickhouse", "logs")  # these may be left unconfigured


class Weight(StrEnum):
    """How bad it is."""

    DOWN = "down"  # something does not work
    BAD = "bad"  # something works badly, or will not for long
    UNKNOWN = "unknown"  # nobody could tell


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, in a sentence, and where to look next."""

    weight: Weight
    what: str
    next: str = ""  # a command, "" for none


class Outcome(StrEnum):
    """What became of looking, in one word."""

    NOTHING_WRONG = "nothing_wrong"  # all that is configured could be read, and nothing is wrong
    WRONG = "wrong"
    COULD_NOT_LOOK = (
        "could_not_look"  # nothing is known to be wrong, and something could not be read
    )


@dataclass(frozen=True, slots=True)
class Quick:
    """The whole answer: what is wrong, worst first."""

    namespace: str
    at: datetime
    findings: tuple[Finding, ...]
    not_asked: tuple[str, ...] = ()  # readings that nobody asked for, each with why

    @property
    def outcome(self) -> Outcome:
        if any(f.weight is not Weight.UNKNOWN for f in self.findings):
            return Outcome.WRONG
        return Outcome.COULD_NOT_LOOK if self.findings else Outcome.NOTHING_WRONG


def quick(seen: QuickEvidence, namespace: str, now: datetime, *, inside: bool = True) -> Quick:
    """What is wrong, in the order in which to look.

    `inside` says that this runs in the cluster: from outside an endpoint's
    silence says nothing about it.
    """
    found = [*_findings(seen, namespace, inside)]
    order = list(Weight)
    found.sort(
        key=lambda f: order.index(f.weight)
    )  # stable: within a weight the order of looking stays
    return Quick(namespace, now, tuple(found), tuple(_not_asked(seen, inside)))


def as_text(answer: Quick) -> str:
    """Plain lines of at most WIDTH columns but for commands: the worst first,
    each with what shows more.
    """
    head = f"{answer.namespace} at {answer.at:%Y-%m-%d %H:%M:%S} UTC"
    known = [f for f in answer.findings if f.weight is not Weight.UNKNOWN]
    if answer.outcome is Outcome.NOTHING_WRONG:
        lines = [f"{head}: nothing is wrong"]
    else:
        count = "could not look"
        first = "nothing is known to be wrong, and that says little: what follows could not be read"
        if known:
            count = f"{len(known)} finding{'' if len(known) == 1 else 's'}"
            first = f"look first: {known[0].what}"
        lines = [f"{head}: {count}", *_wrapped(first, ""), ""]
    for finding in answer.findings:
        lines += _wrapped(finding.what, f"{finding.weight.upper():8}")
        if finding.next:
            lines.append(f"        $ {finding.next}")  # whole: it is to be copied
    if answer.not_asked:
        lines += ["", "not looked at:"]
        lines += [line for one in answer.not_asked for line in _wrapped(one, " " * 8)]
    return "\n".join(map(_printable, lines)) + "\n"


def as_json(answer: Quick, seen: QuickEvidence) -> Mapping[str, Any]:  # Any: JSON
    """The findings and everything that was seen, as plain JSON values."""
    return {
        "namespace": answer.namespace,
        "at": answer.at.isoformat(),
        "outcome": answer.outcome.value,
        "findings": [_plain(f) for f in answer.findings],
        "not_asked": list(answer.not_asked),
        "evidence": {name: _reading(reading) for name, reading in seen.readings().items()},
    }


def from_json(told: Mapping[str, Any]) -> Quick:  # Any: JSON
    """The answer that `as_json` wrote. Raises KeyError, TypeError or ValueError for anything
    else.
    """
    return Quick(
        namespace=str(told["namespace"]),
        at=datetime.fromisoformat(told["at"]),
        findings=tuple(
            Finding(Weight(f["weight"]), str(f["what"]), str(f["next"])) for f in told["findings"]
        ),
        not_asked=tuple(str(one) for one in told["not_asked"]),
    )


def _findings(seen: QuickEvidence, namespace: str, inside: bool) -> Iterable[Finding]:
    yield from _nodes(seen)
    yield from _workloads(seen, namespace)
    yield from _volumes(seen, namespace)
    yield from _pods(seen, namespace)
    yield from _ends(seen, namespace, inside)
    yield from _data(seen)
    yield from _logs(seen, namespace)
    yield from _unknown(seen)


def _nodes(seen: QuickEvidence) -> Iterable[Finding]:
    nodes = _of(seen.nodes)
    for node in nodes.nodes if nodes else ():
        if not node.ready:
            text = f"node {node.name} is not ready"
            yield Finding(Weight.DOWN, text, f"kubectl describe node {node.name}")
        elif node.pressures:
            text = f"node {node.name} has {', '.join(node.pressures)}"
            yield Finding(Weight.BAD, text, f"kubectl describe node {node.name}")


def _workloads(seen: QuickEvidence, namespace: str) -> Iterable[Finding]:
    workloads, pods = _of(seen.workloads), _of(seen.pods)
    if workloads and pods and not workloads.workloads and not pods.total:
        text = f"there is no workload and no pod in {namespace}: is that its name?"
        yield Finding(Weight.DOWN, text, "kubectl get namespaces")
    wrong = [w for w in workloads.workloads if w.problem] if workloads else []
    # What others depend on comes first: a service that waits for Kafka is no cause.
    wrong.sort(key=lambda w: not any(store in w.workload for store in _STORES))
    for w in wrong:
        weight = Weight.DOWN if w.problem == "down" else Weight.BAD
        text = f"{w.workload} is {w.problem}: {w.ready} of {w.desired} ready"
        if w.problem in ("not all ready", "rolling out"):
            text = f"{w.workload}: {w.problem}, {w.ready} of {w.desired} ready"
        yield Finding(weight, text, f"kubectl -n {namespace} describe {w.workload}")


def _volumes(seen: QuickEvidence, namespace: str) -> Iterable[Finding]:
    volumes = _of(seen.volumes)
    if volumes is None:
        return
    for name in volumes.lost:
        text = f"claim {name} has lost its volume"
        yield Finding(Weight.DOWN, text, f"kubectl -n {namespace} describe pvc {name}")
    for name in volumes.pending:
        text = f"claim {name} gets no volume"
        yield Finding(Weight.BAD, text, f"kubectl -n {namespace} describe pvc {name}")
    if volumes.fullest_ratio is not None and volumes.fullest_ratio > 0.9:
        text = f"claim {volumes.fullest} is {volumes.fullest_ratio:.0%} full"
        yield Finding(Weight.BAD, text, f"kubectl -n {namespace} describe pvc {volumes.fullest}")


def _pods(seen: QuickEvidence, namespace: str) -> Iterable[Finding]:
    pods = _of(seen.pods)
    if pods is None:
        return
    for reason, count in sorted(pods.waiting.items(), key=lambda item: (-item[1], item[0])):
        said = [(p.name, c) for p in pods.worst for c in p.containers if c.waiting == reason]
        example = f", as {said[0][0]}/{said[0][1].name}: {said[0][1].message}" if said else ""
        show = f"kubectl -n {namespace} describe pod {said[0][0]}" if said else ""
        yield Finding(Weight.BAD, f"{count} containers wait, {reason}{example}", show)
    for pod in (p for p in pods.worst if p.unschedulable):
        text = f"no node takes {pod.name}: {pod.unschedulable}"
        yield Finding(Weight.BAD, text, f"kubectl -n {namespace} describe pod {pod.name}")
    for name in pods.oom_killed[:MOST_EXAMPLES]:
        pod_name, _, container = name.partition("/")
        show = f"kubectl -n {namespace} logs {pod_name} -c {container} --previous"
        yield Finding(Weight.BAD, f"{name} was killed for its memory", show)


def _ends(seen: QuickEvidence, namespace: str, inside: bool) -> Iterable[Finding]:
    services = _of(seen.services)
    for name in services.without_ready if services else ():
        text = f"Service {name} has no ready endpoint"
        yield Finding(Weight.DOWN, text, f"kubectl -n {namespace} describe service {name}")
    for which, reading in (("health", seen.health), ("metrics", seen.metrics)):
        ends = _of(reading)
        if ends is None or _out_of_reach(ends, inside):
            continue
        for end in (e for e in ends.endpoints if not e.ok):
            said = f"answers {end.status}" if end.status else f"does not answer ({end.problem})"
            weight = Weight.DOWN if which == "health" else Weight.BAD
            yield Finding(weight, f"{which} of {end.name} {said}", f"curl -i {end.url}")


def _data(seen: QuickEvidence) -> Iterable[Finding]:
    lags = _of(seen.kafka)
    for lag in lags.groups if lags else ():
        if lag.lag_growing:
            text = f"{lag.group} falls behind: {lag.lag_total} messages, {lag.members} members"
            yield Finding(Weight.BAD, text)
    load = _of(seen.clickhouse)
    if load is not None and load.longest_query_s > 300.0:
        text = f"ClickHouse runs one query for {load.longest_query_s:.0f} s, of {load.longest_query_user}"
        yield Finding(Weight.BAD, text)
    free = load.disk_free_ratio if load else None
    if load is not None and free is not None and free < 0.1:
        yield Finding(Weight.BAD, f"ClickHouse disk {load.disk_fullest} has {free:.0%} free")


def _logs(seen: QuickEvidence, namespace: str) -> Iterable[Finding]:
    several = _of(seen.logs)
    for workload, logs in several.workloads.items() if several else ():
        if logs.errors:
            lines = f"{logs.errors} error line{'' if logs.errors == 1 else 's'}"
            text = f"{workload}: {lines} in the last logs, the newest: {logs.examples[-1]}"
            yield Finding(Weight.BAD, text, f"kubectl -n {namespace} logs {workload} --tail=100")


def _unknown(seen: QuickEvidence) -> Iterable[Finding]:
    """One finding a source and reason: a backend that is away is one thing, however many asked
    it.
    """
    alike: dict[tuple[str, str], list[tuple[str, Unknown]]] = {}
    for name, reading in seen.readings().items():
        if isinstance(reading, Unknown) and not _optional(name, reading):
            alike.setdefault((reading.source, reading.reason), []).append((name, reading))
    for readings in alike.values():
        name, first = readings[0]
        detail = f": {first.detail}" if first.detail else ""
        if len(readings) == 1:
            yield Finding(Weight.UNKNOWN, f"{name} could not be read, {first.reason}{detail}")
            continue
        names = ", ".join(name for name, _ in readings)
        text = f"{first.source} could not be read, {first.reason}{detail} ({names})"
        bare = first.reason is Reason.NOT_CONFIGURED and first.source == "kubernetes"
        yield Finding(Weight.UNKNOWN, text, _NAME_IT if bare else "")
    for what, part in (("lag", _of(seen.kafka)), ("logs", _of(seen.logs))):
        for name, why in part.unread.items() if part else ():
            yield Finding(Weight.UNKNOWN, f"{what} of {name} could not be read, {why}")


def _optional(name: str, reading: Unknown) -> bool:
    """Nobody asked for it. The cluster is no choice: without it nothing was looked at."""
    return reading.reason is Reason.NOT_CONFIGURED and name in _OPTIONAL


def _not_asked(seen: QuickEvidence, inside: bool) -> Iterable[str]:
    for name, reading in seen.readings().items():
        if isinstance(reading, Unknown) and _optional(name, reading):
            yield f"{name}: {reading.detail or reading.reason}"
    for name, ends in (("health", _of(seen.health)), ("metrics", _of(seen.metrics))):
        if ends is not None and _out_of_reach(ends, inside):
            yield f"{name}: no endpoint answers from here, outside of the cluster"


def _out_of_reach(ends: Endpoints, inside: bool) -> bool:
    return not inside and all(end.status is None for end in ends.endpoints)


def _of(reading: Reading[V]) -> V | None:
    return reading.value if isinstance(reading, Known) else None


def _wrapped(text: str, first: str) -> Sequence[str]:
    """At most MOST_LINES lines of at most WIDTH columns, the following ones indented."""
    return textwrap.wrap(
        _printable(text), WIDTH, initial_indent=first, subsequent_indent=" " * len(first),
        max_lines=MOST_LINES, placeholder=" …", break_on_hyphens=False,
    )  # fmt: skip


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else " " for c in line)


def _reading(reading: Reading[object]) -> Mapping[str, Any]:
    shared = {"source": reading.source, "at": reading.at.isoformat(), "took_s": reading.took_s}
    if isinstance(reading, Unknown):
        return {"unknown": reading.reason.value, "detail": reading.detail, **shared}
    return {"value": _plain(reading.value), **shared}


def _plain(value: object) -> Any:
    """As JSON has it; numbers that JSON cannot hold become null."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)
