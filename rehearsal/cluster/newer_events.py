"""Events as events.k8s.io/v1 shows them: the objects of core/v1 under other
names, with stricter rules.

Both APIs read and write one object, as on a real server. Never here:
events of core/v1; who writes which.
"""

from collections.abc import Iterator, Mapping

from rehearsal.cluster import patches, reads, refusal, validation, writes
from rehearsal.cluster.objects import Object
from rehearsal.cluster.refusal import Cause
from rehearsal.cluster.resources import EVENTS, NEWER_EVENTS
from rehearsal.cluster.routing import Options, Target
from rehearsal.cluster.store import Store

_LONGEST_NOTE, _LONGEST_WORD = 1024, 128
_TYPES = ("Normal", "Warning")
_NAME_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)

# The name here, and that of core/v1, in the order in which the server writes them.
_NAMES = {
    "eventTime": "eventTime", "series": "series", "reportingController": "reportingComponent",
    "reportingInstance": "reportingInstance", "action": "action", "reason": "reason",
    "regarding": "involvedObject", "related": "related", "note": "message", "type": "type",
    "deprecatedSource": "source", "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp", "deprecatedCount": "count",
}  # fmt: skip
_EMPTY_IN_CORE = ("reportingComponent", "reportingInstance")  # there as "", and left out here
_FROZEN = tuple(name for name in _NAMES.values() if name not in ("series", "reportingInstance"))


def get(store: Store, target: Target, accept: str) -> Object:
    """One event, whichever API wrote it."""
    found = reads.in_form(reads.get(store, _core(target)), accept)
    return _newer(found) if found["kind"] == EVENTS.kind else found


def list_(store: Store, target: Target, query: Mapping[str, str], accept: str) -> Object:
    """As a list of core/v1, with its own field labels."""
    asked = dict(query)
    if query.get("fieldSelector"):
        asked["fieldSelector"] = _core_selector(query["fieldSelector"])
    found = reads.list_(store, _core(target), asked, accept)
    if found["kind"] != f"{EVENTS.kind}List":
        return found
    items = [_renamed(item) for item in found["items"]]
    return found | {"apiVersion": NEWER_EVENTS.api_version, "items": items}


def create(store: Store, target: Target, raw: bytes, options: Options) -> writes.Answer:
    """A new event, after the rules of this API: they do not hold for one that core/v1 writes."""
    new, warnings = writes.decoded_body(NEWER_EVENTS, raw, options)
    made = writes.created(store, _core(target), _of_core(new), options, rules=_of_new)
    return writes.Answer(201, _newer(made), warnings)


def patch(
    store: Store, target: Target, content_type: str, raw: bytes, options: Options
) -> writes.Answer:
    """Of the series; all else is immutable."""
    old = writes.existing(store, _core(target))
    kind = writes.type_of(NEWER_EVENTS)
    patched = patches.apply(_newer(old), content_type, writes.parse_patch(raw, content_type), kind)
    new, warnings = writes.decoded_object(NEWER_EVENTS, patched, options)

    def rules(_: str, now: Object) -> list[Cause]:
        return list(_of_change(old, now))

    answer = writes.updated(
        store, _core(target), old, _of_core(new), options, warnings, rules=rules
    )
    return writes.Answer(answer.code, _newer(answer.body), answer.warnings)


def _core(target: Target) -> Target:
    return Target(
        EVENTS, target.namespace, target.name, target.subresource, target.verb, target.emulated
    )


def _newer(core: Object) -> Object:
    head = {"kind": core["kind"], "apiVersion": NEWER_EVENTS.api_version}
    return head | _renamed(core)


def _renamed(core: Object) -> Object:
    left_out = {name for name in _EMPTY_IN_CORE if not core.get(name)}
    return {"metadata": core["metadata"]} | {
        newer: core[old] for newer, old in _NAMES.items() if old in core and old not in left_out
    }


def _of_core(newer: Object) -> Object:
    head = {"kind": EVENTS.kind, "apiVersion": EVENTS.api_version, "metadata": newer["metadata"]}
    return head | {old: newer[name] for name, old in _NAMES.items() if name in newer}


def _core_selector(text: str) -> str:
    """The clauses in words of core/v1. What is no label of this API is refused."""
    clauses = []
    for clause in filter(None, text.split(",")):
        path = clause.partition("=")[0].removesuffix("!")
        if path not in NEWER_EVENTS.selectable:
            raise refusal.bad_request(f"field label not supported: {path}")
        head, dot, rest = path.partition(".")
        clauses.append(_NAMES.get(head, head) + dot + rest + clause[len(path) :])
    return ",".join(clauses)


def _of_new(kind: str, obj: Object) -> list[Cause]:
    return [*validation.name(obj), *_rules(obj)]


def _rules(obj: Object) -> Iterator[Cause]:
    """In the server's order, and in the words of core/v1, as it gives them."""
    if not obj.get("eventTime"):
        yield _required("eventTime")
    yield from _series(obj)
    yield from _controller(obj.get("reportingComponent") or "")
    yield from _word("reportingInstance", obj)
    yield from _word("action", obj)
    yield from _word("reason", obj)
    if len(obj.get("message", "")) > _LONGEST_NOTE:
        yield _bad("message", f"can have at most {_LONGEST_NOTE} characters")
    if obj.get("type") not in _TYPES:
        yield _bad("type", f"has invalid value: {obj.get('type', '')}")
    for field in ("firstTimestamp", "lastTimestamp", "count", "source"):
        if obj.get(field):
            yield _bad(field, "needs to be unset")


def _series(obj: Object) -> Iterator[Cause]:
    series = obj.get("series")
    if series is None:
        return
    if series.get("count", 0) < 2:
        yield _bad("series.count", "should be at least 2")
    if not series.get("lastObservedTime"):
        yield _required("series.lastObservedTime")


def _controller(text: str) -> Iterator[Cause]:
    if text:
        return
    yield _required("reportingController")
    yield _bad("reportingController", "name part must be non-empty")
    yield _bad("reportingController", _NAME_RULE)


def _word(field: str, obj: Object) -> Iterator[Cause]:
    text = obj.get(field) or ""
    if not text:
        yield _required(field)
    elif len(text) > _LONGEST_WORD:
        yield _bad(field, f"can have at most {_LONGEST_WORD} characters")


def _of_change(old: Object, new: Object) -> Iterator[Cause]:
    if new.get("series") != old.get("series"):
        yield from _series(new)
    for field in _FROZEN:
        if new.get(field) != old.get(field):
            yield validation.bad(field, new.get(field), "field is immutable")


def _required(field: str) -> Cause:
    return Cause("FieldValueRequired", field, "Required value")


def _bad(field: str, why: str) -> Cause:
    """The server shows no value here."""
    return validation.bad(field, "", why)
