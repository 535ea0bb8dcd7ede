"""Verifies a chain line by line, and names the first wrong row.
Memory does not grow with the chain.

`Verifier` is pure; `verify` feeds it from a store.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from service.audit.chain import (
    ALGORITHM,
    START,
    begun_digest,
    digest,
    mac,
    numbered,
    step_digest,
)
from service.audit.keys import Keys
from service.model.audit import AuditLine, Checkpoint, Finding, Forgery, LineKind
from service.model.journal import JournalEntry
from service.store.audit import AuditReader

if TYPE_CHECKING:
    from hashlib import _Hash

_PAGE = 200


class Verifier:
    """Takes lines in their order, each with its step as it is now.
    `feed` and `end` tell the first wrong row.
    """

    def __init__(self, keys: Keys, checkpoints: Iterable[Checkpoint] = ()) -> None:
        self._keys = keys
        self._checkpoints: Iterator[Checkpoint] = iter(checkpoints)
        self._next = next(self._checkpoints, None)
        self.count = 0
        self.head = START
        self.last_step = 0
        self._rank: int | None = None
        self._growing: dict[str, int] = {}  # incident: the step that looks are folded into
        self._pruned: dict[int, tuple[int, _Hash]] = {}  # by the line that told of it

    def feed(
        self, line: AuditLine, step: JournalEntry | None, following: Sequence[AuditLine] = ()
    ) -> Finding | None:
        """The next line. `following` are some lines behind it, to tell a reordering from an
        edit.
        """
        found = (
            self._in_order(line)
            or self._by_our_key(line)
            or self._authentic(line, following)
            or self._of_its_step(line, step)
        )
        if found is not None:
            return found
        self.count, self.head = line.seq, line.mac
        return self._as_seen(line)

    def end(self, cursor: int = 0) -> Finding | None:
        """After the last line. `cursor`: the last step that the follower knows as chained."""
        if self._next is not None:
            told = f"a checkpoint of {self._next.at.isoformat()} saw {self._next.count} lines"
            return self._finding(Forgery.TRUNCATED, f"{told}, there are {self.count}")
        if cursor > self.last_step:
            told = f"steps up to {cursor} were chained, the last line is about {self.last_step}"
            return self._finding(Forgery.TRUNCATED, told)
        missing = min(self._pruned, default=None)
        if missing is not None:
            told = f"steps are marked as pruned by line {missing}, which tells of no pruning"
            return Finding(Forgery.DELETED, missing, None, told)
        return None

    def _finding(
        self, forgery: Forgery, detail: str, step_id: int | None = None, seq: int | None = None
    ) -> Finding:
        return Finding(forgery, seq or self.count + 1, step_id, detail)

    def _in_order(self, line: AuditLine) -> Finding | None:
        expected = self.count + 1
        if line.seq == expected:
            return None
        gone = f"lines {expected} to {line.seq - 1} are" if line.seq > expected + 1 else "it is"
        return self._finding(Forgery.DELETED, f"{gone} not there, line {line.seq} is")

    def _by_our_key(self, line: AuditLine) -> Finding | None:
        if line.algorithm != ALGORITHM:
            told = f"it claims {line.algorithm[:40]!r}, only {ALGORITHM} is taken"
            return self._finding(Forgery.ALGORITHM, told, line.step_id)
        rank = self._keys.rank(line.key_id)
        if rank is None:
            told = f"it claims a key {line.key_id[:40]!r} that is not in the key file"
            return self._finding(Forgery.KEY, told, line.step_id)
        if self._rank is not None and rank > self._rank:
            told = f"by key {line.key_id}, which had been replaced before this line"
            return self._finding(Forgery.KEY, told, line.step_id)
        self._rank = rank
        return None

    def _authentic(self, line: AuditLine, following: Sequence[AuditLine]) -> Finding | None:
        if self._fits(line):
            return None
        for other in following:
            if self._fits(replace(other, seq=line.seq)):
                told = f"what belongs here stands at line {other.seq}"
                return self._finding(Forgery.REORDERED, told, line.step_id)
        told = "its MAC is not that of its content behind the line before"
        return self._finding(Forgery.ALTERED, told, line.step_id)

    def _fits(self, line: AuditLine) -> bool:
        rank = self._keys.rank(line.key_id)
        if rank is None:
            return False
        return hmac.compare_digest(mac(self._keys.keys[rank], line, self.head), line.mac)

    def _of_its_step(self, line: AuditLine, step: JournalEntry | None) -> Finding | None:
        if line.step_id is None:
            return self._about_the_chain(line)
        if line.incident_id is not None and (found := self._grown_to_its_end(line)):
            return found
        if line.kind != LineKind.FOLDED:
            self.last_step = max(self.last_step, line.step_id)
        if line.pruned is not None:
            if step is not None:
                told = "the line says that its step was pruned, and it is there"
                return self._finding(Forgery.ALTERED, told, line.step_id)
            count, made = self._pruned.get(line.pruned, (0, hashlib.sha256()))
            made.update(numbered(line.seq))
            self._pruned[line.pruned] = (count + 1, made)
            return None
        if step is None:
            told = "the step is not there, and was not pruned"
            return self._finding(Forgery.DELETED, told, line.step_id)
        now = begun_digest(step) if line.kind == LineKind.BEGUN else step_digest(step)
        if now != line.digest:
            return self._finding(Forgery.EDITED, "the step is not what was chained", line.step_id)
        return None

    def _grown_to_its_end(self, line: AuditLine) -> Finding | None:
        """A step that others are folded into is chained whole right before the
        next one of its incident.
        """
        assert line.incident_id is not None
        assert line.step_id is not None
        growing = self._growing.pop(line.incident_id, None)
        expected = growing if line.kind == LineKind.FOLDED else None
        if growing != expected or (line.kind == LineKind.FOLDED and growing != line.step_id):
            told = f"step {growing} was never chained whole, and another one follows it"
            return self._finding(Forgery.ALTERED, told, growing)
        if line.kind == LineKind.BEGUN:
            self._growing[line.incident_id] = line.step_id
        return None

    def _about_the_chain(self, line: AuditLine) -> Finding | None:
        if digest(line.data) != line.digest or line.data is None:
            return self._finding(Forgery.ALTERED, "its data is not what was chained")
        count, made = self._pruned.pop(line.seq, (0, hashlib.sha256()))
        if (line.data.get("lines"), line.data.get("sha256")) != (count, made.hexdigest()):
            told = f"it tells of {line.data.get('lines')} lines pruned, {count} others say so"
            return self._finding(Forgery.DELETED, told)
        return None

    def _as_seen(self, line: AuditLine) -> Finding | None:
        """Every checkpoint of this length has seen this line."""
        while self._next is not None and self._next.count <= line.seq:
            seen, self._next = self._next, next(self._checkpoints, None)
            if seen.count == line.seq and seen.hash != line.mac:
                told = f"a checkpoint of {seen.at.isoformat()} saw another line here"
                return Finding(Forgery.REWRITTEN, line.seq, line.step_id, told)
        return None


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification came to. `finding` None: every line and every step is as it was
    chained.
    """

    count: int
    head: str
    finding: Finding | None


async def verify(
    store: AuditReader,
    keys: Keys,
    checkpoints: Iterable[Checkpoint] = (),
    progress: Callable[[int], None] = lambda count: None,
) -> Verified:
    """Reads the whole chain, page by page. `progress` is told how many lines are
    good. Raises Unavailable.
    """
    verifier = Verifier(keys, checkpoints)
    cursor = await store.cursor()  # before the lines: the chain may grow meanwhile
    checked = 0
    while page := await store.after(verifier.count, _PAGE):
        lines = [line for line, _ in page]
        for index, (line, step) in enumerate(page):
            found = verifier.feed(line, step, lines[index + 1 :])
            if found is not None:
                return Verified(verifier.count, verifier.head, found)
        stray = await store.unchained(checked + 1, verifier.last_step)
        if stray is not None:
            told = "this step was never chained, and stands among those that were"
            inserted = Finding(Forgery.INSERTED, lines[0].seq, stray, told)
            return Verified(verifier.count, verifier.head, inserted)
        checked = verifier.last_step
        progress(verifier.count)
    return Verified(verifier.count, verifier.head, verifier.end(cursor))
