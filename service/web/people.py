"""People who may ask and decide over HTTP: names, roles and tokens, from one YAML file.

The file is read at each question, so that whoever was taken out is out at once; it
is parsed anew only when it has changed. No sentence about a mistake shows a value:
a token may stand where it does not belong.
Never here: what a role is good for.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

import yaml

from service.model.errors import BadConfig, Unavailable
from service.model.reasons import Reason
from service.settings import secret

_LARGEST = 64 * 1024  # bytes
_SHORTEST = 16  # characters of a token: a shorter one is a password that somebody made up
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_FIELDS = ("name", "roles", "token", "token_file", "sha256")
_EXAMPLE = "write `- name: anna`, `roles: [read, approve]`, `token_file: /path` for each person"


class Role(StrEnum):
    """What a caller may do."""

    SEND = "send"  # post webhooks
    READ = "read"  # ask the API
    OPERATE = "operate"  # pause, resume, change the mode, open and end windows, start a recovery
    APPROVE = "approve"  # say yes or no to a proposal


@dataclass(frozen=True, slots=True)
class Person:
    """One entry. `digest` is SHA-256 of the token, in hex; a token is kept nowhere."""

    name: str
    roles: frozenset[Role]
    digest: str


@dataclass(frozen=True, slots=True)
class _Entry:
    line: int
    name: str
    roles: frozenset[Role]
    token: str | None
    token_file: Path | None
    sha256: str | None


def people(file: Path) -> Sequence[Person]:
    """Everybody in the file. Raises BadConfig with a line a mistake,
    Unavailable while it cannot be read.
    """
    try:
        with file.open("rb") as opened:
            raw = opened.read(_LARGEST + 1)
    except OSError as error:
        raise Unavailable(Reason.CREDENTIALS_UNREADABLE, f"{file}: {error.strerror}") from error
    mistakes: list[str] = []
    entries = _entries(raw, file, mistakes)
    found = [person for entry in entries if (person := _person(entry, file, mistakes))]
    _refuse_twins(found, entries, file, mistakes)
    if mistakes:
        raise BadConfig("\n".join(mistakes))
    return found


def who(everybody: Sequence[Person], shown: str) -> Person | None:
    """Whose token it is. Each is compared, in constant time, whoever it is."""
    digest = hashlib.sha256(shown.encode("utf-8", "surrogateescape")).hexdigest()
    found = None
    for person in everybody:
        if hmac.compare_digest(digest, person.digest):
            found = person
    return found


def _entries(raw: bytes, file: Path, mistakes: list[str]) -> Sequence[_Entry]:
    entries, told = _parsed(raw, file)
    mistakes += told
    return entries


@lru_cache(maxsize=4)
def _parsed(raw: bytes, file: Path) -> tuple[Sequence[_Entry], Sequence[str]]:
    """The file's entries and its mistakes. Token files are not read here:
    they may change without this one.
    """
    mistakes: list[str] = []
    if len(raw) > _LARGEST:
        return (), [f"{file}:1: it is larger than {_LARGEST // 1024} KiB; {_EXAMPLE}"]
    try:
        root = yaml.compose(raw, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        return (), [f"{file}:{mark.line + 1 if mark else 1}: this is not YAML; {_EXAMPLE}"]
    found = dict(_fields(root, ("people",), file, mistakes)).get("people")
    if not isinstance(found, yaml.SequenceNode):
        line = _line(found) if found is not None else 1
        mistakes.append(f"{file}:{line}: it has to begin with `people:` and a list; {_EXAMPLE}")
        return (), mistakes
    entries = [_entry(node, file, mistakes) for node in found.value]
    if not entries:
        mistakes.append(f"{file}:{_line(found)}: nobody stands in it; {_EXAMPLE}")
    return [entry for entry in entries if entry is not None], mistakes


def _fields(
    node: yaml.Node | None, known: Sequence[str], file: Path, mistakes: list[str]
) -> Iterator[tuple[str, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
        if name not in known or name in seen:
            why = "stands here twice" if name in seen else f"is none of {', '.join(known)}"
            mistakes.append(f"{file}:{_line(key)}: this field {why}")
            continue
        seen.add(name)
        yield name, value


def _entry(node: yaml.Node, file: Path, mistakes: list[str]) -> _Entry | None:
    before, line = len(mistakes), _line(node)

    def wrong(at: yaml.Node | None, sentence: str) -> None:
        mistakes.append(f"{file}:{_line(at) if at is not None else line}: {sentence}")

    if not isinstance(node, yaml.MappingNode):
        wrong(node, f"a person is a map; {_EXAMPLE}")
        return None
    fields = dict(_fields(node, _FIELDS, file, mistakes))
    texts = {name: _text(value) for name, value in fields.items()}
    name = texts.get("name") or ""
    if not _NAME.fullmatch(name):
        wrong(fields.get("name"), "`name` has to be letters, digits, and . _ @ -, at most 64")
    roles = _roles(fields.get("roles"))
    if not roles:
        wrong(fields.get("roles"), "`roles` has to be a list of read, operate, approve")
    ways = [way for way in ("token", "token_file", "sha256") if way in fields]
    if len(ways) != 1:
        wrong(None, "exactly one of `token`, `token_file` and `sha256` has to be there")
    elif not texts[ways[0]]:
        wrong(fields[ways[0]], f"`{ways[0]}` is empty")
    sha256 = texts.get("sha256")
    if sha256 and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        told = '`sha256` has to be 64 hex digits: printf %s "$TOKEN" | sha256sum'
        wrong(fields["sha256"], told)
    if len(mistakes) > before:
        return None
    path = texts.get("token_file")
    token_file = file.parent / path if path else None
    return _Entry(line, name, roles, texts.get("token"), token_file, sha256)


def _roles(node: yaml.Node | None) -> frozenset[Role]:
    """The roles; none when one of them is no role of a person. Whoever may decide may also look."""
    items = node.value if isinstance(node, yaml.SequenceNode) else [node]
    words = [_text(item) for item in items if item is not None]
    if not words or not all(word in ("read", "operate", "approve") for word in words):
        return frozenset()
    return frozenset({Role.READ, *(Role(word) for word in words)})


def _person(entry: _Entry, file: Path, mistakes: list[str]) -> Person | None:
    if entry.sha256:
        return Person(entry.name, entry.roles, entry.sha256.lower())
    try:
        token = secret(entry.token_file) if entry.token_file else entry.token
    except Unavailable:
        mistakes.append(f"{file}:{entry.line}: the token file of {entry.name} cannot be read")
        return None
    token = (token or "").strip()
    if len(token) < _SHORTEST:
        told = f"the token of {entry.name} is shorter than {_SHORTEST} characters"
        mistakes.append(f"{file}:{entry.line}: {told}; make one: openssl rand -hex 24")
        return None
    return Person(entry.name, entry.roles, hashlib.sha256(token.encode()).hexdigest())


def _refuse_twins(
    found: Sequence[Person], entries: Sequence[_Entry], file: Path, mistakes: list[str]
) -> None:
    """Two entries of one name, or one token, would leave open who it was."""
    lines = {entry.name: entry.line for entry in entries}
    names: set[str] = set()
    digests: dict[str, str] = {}
    for person in found:
        if person.name in names:
            mistakes.append(f"{file}:{lines[person.name]}: {person.name} stands here twice")
        elif person.digest in digests:
            other = digests[person.digest]
            told = f"{person.name} and {other} have the same token; give each an own one"
            mistakes.append(f"{file}:{lines[person.name]}: {told}")
        names.add(person.name)
        digests[person.digest] = person.name


def _text(node: yaml.Node) -> str:
    return str(node.value).strip() if isinstance(node, yaml.ScalarNode) else ""


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
