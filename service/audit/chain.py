"""What is hashed, and how: the content of a step, and a line of the chain. Pure.

Everything is canonical JSON (RFC 8785) before it is hashed, so a verifier in another language needs
this file and a key, not our Python.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeAlias

import rfc8785

from service.audit.keys import Key
from service.model.audit import AuditLine, LineKind
from service.model.journal import JournalEntry

ALGORITHM = "hmac-sha256"
START = ""  # what the first line follows

Json: TypeAlias = Mapping[str, Any]  # Any: JSON


def canonical(value: object) -> bytes:
    """RFC 8785. What it has no form for (integers beyond 2^53,
    lone surrogates) goes in as sorted ASCII JSON.
    """
    try:
        return rfc8785.dumps(value)  # type: ignore[arg-type]  # JSON it is: it comes from a JSON column
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
        return rfc8785.dumps({"python_json": text})


def digest(value: object) -> str:
    """SHA-256 of the canonical form, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def step_digest(step: JournalEntry) -> str:
    """Of a step whole. Playbook and target are the incident's,
    and may change with it; they are not in here.
    """
    return digest(_content(step, step.data))


def begun_digest(step: JournalEntry) -> str:
    """Of what will not change of a step that later looks are folded into:
    that it is there, since when, where.
    """
    return digest(_content(step, {"since": step.data.get("since")}))


def _content(step: JournalEntry, data: Json) -> Json:
    return {
        "id": step.id,
        "incident": step.incident_id,
        "at": _instant(step.at),
        "kind": step.kind,
        "data": data,
    }


def mac(key: Key, line: AuditLine, before: str) -> str:
    """The line's MAC, in hex. Algorithm and key are in it, so neither can be
    swapped for a weaker one.
    """
    content = {
        "version": 1,
        "algorithm": line.algorithm,
        "key": line.key_id,
        "seq": line.seq,
        "before": before,
        "kind": line.kind,
        "step": line.step_id,
        "incident": line.incident_id,
        "at": _instant(line.at),
        "digest": line.digest,
    }
    return hmac.new(key.secret, canonical(content), hashlib.sha256).hexdigest()


def chained(key: Key, lines: Sequence[AuditLine], seq: int, before: str) -> list[AuditLine]:
    """The lines behind line `seq`, whose MAC is `before`: numbered, and with their own."""
    made = []
    for line in lines:
        seq += 1
        signed = replace(line, seq=seq, algorithm=ALGORITHM, key_id=key.id)
        before = mac(key, signed, before)
        made.append(replace(signed, mac=before))
    return made


def step_line(step: JournalEntry, kind: LineKind, at: datetime) -> AuditLine:
    """A line about a step, still without number and MAC."""
    begun = kind is LineKind.BEGUN
    made = begun_digest(step) if begun else step_digest(step)
    return AuditLine(0, kind, step.id, step.incident_id, at, made, None, "", "", "", begun)


def pruned_line(count: int, hashed: str, cutoff: datetime, at: datetime) -> AuditLine:
    """The line about lines whose steps were pruned; `hashed` is `hash_of` their numbers."""
    data = {"lines": count, "sha256": hashed, "closed_before": _instant(cutoff)}
    return AuditLine(0, LineKind.PRUNED, None, None, at, digest(data), data, "", "", "")


def hash_of(numbers: Sequence[int]) -> str:
    """SHA-256 of numbers of lines, in their order."""
    made = hashlib.sha256()
    for number in numbers:
        made.update(numbered(number))
    return made.hexdigest()


def numbered(number: int) -> bytes:
    """A number as `hash_of` takes it in."""
    return b"%d\n" % number


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S.%fZ}"
