"""A playbook's text as plain data, with the line of every value.

YAML is read in the plain form that people write by hand: maps, lists, texts, numbers,
true and false. What makes a file larger or other than it looks (aliases, merge keys,
tags, several documents) is refused, and so is what no playbook needs (more than 64 KiB,
20 levels or 3,000 values), so that any file at all is answered within a second.
Never here: what a playbook has to hold.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import yaml

LARGEST = 64 * 1024  # bytes
DEEPEST = 20  # levels
MOST = 3_000  # values

# Where a value stands: the keys and places that lead to it.
Place: TypeAlias = tuple[str | int, ...]

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
# libyaml's parser where PyYAML was built with it: eight times quicker, and the same events.
_LOADER: Any = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)  # Any: two classes without a common one
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_DIGITS = 18  # of an int; more do not fit into 64 bits


@dataclass(slots=True)
class Mistakes:
    """What is wrong with one file, with the line each mistake stands on."""

    file: Path
    lines: Mapping[Place, int] = field(default_factory=dict)
    found: list[tuple[int, str]] = field(default_factory=list)

    def at(self, line: int, sentence: str, place: Place = ()) -> None:
        """Notes a mistake on a line."""
        path = ".".join(_printable(str(step)) for step in place)
        told = _printable(" ".join(sentence.split()), 600)
        self.found.append((line, f"{self.file}:{line}: {path + ': ' if path else ''}{told}"))

    def add(self, place: Place, sentence: str) -> None:
        """Notes a mistake at a place, or at the nearest one above that stands in the file."""
        above = (place[:n] for n in range(len(place), -1, -1))
        line = next((self.lines[p] for p in above if p in self.lines), 1)
        self.at(line, sentence, place)

    def sentences(self) -> list[str]:
        """All of them, from the first line to the last."""
        return [sentence for _, sentence in sorted(self.found, key=lambda mistake: mistake[0])]


class _Unreadable(Exception):
    """Reading ends here; the mistake is noted."""


_PLAYBOOK = "a playbook is a map; it begins with `playbook: its-name`"


def read(file: Path, *, begins: str = _PLAYBOOK) -> tuple[Mapping[str, object] | None, Mistakes]:
    """The file's content, or None, and what is wrong with it. Raises nothing.
    `begins` tells how a map begins.
    """
    mistakes = Mistakes(file)
    try:
        text = _text(file, mistakes)
        content = _Reader(text, mistakes).document()
    except _Unreadable:
        return None, mistakes
    if not isinstance(content, dict):
        mistakes.at(1, begins)
        return None, mistakes
    return content, mistakes


def _text(file: Path, mistakes: Mistakes) -> str:
    try:
        with file.open("rb") as opened:
            raw = opened.read(LARGEST + 1)
    except OSError as error:
        mistakes.at(1, f"it cannot be read: {error.strerror}")
        raise _Unreadable from error
    if len(raw) > LARGEST:
        mistakes.at(1, f"it is larger than {LARGEST // 1024} KiB, and no playbook is")
        raise _Unreadable
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        mistakes.at(line, "it is not UTF-8; save the file as UTF-8")
        raise _Unreadable from error


class _Reader:
    """Builds plain data from YAML's events, so that nothing grows or recurses before it is seen."""

    def __init__(self, text: str, mistakes: Mistakes) -> None:
        self._text, self._mistakes = text, mistakes
        self._lines: dict[Place, int] = {}
        mistakes.lines = self._lines

    def document(self) -> object:
        events = self._events()
        content: object = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._end(event, "a second document; one file holds one playbook")
            elif isinstance(event, yaml.NodeEvent):
                content = self._value(event, events, ())
        return content

    def _events(self) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(self._text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            lines = self._text.splitlines()
            # The end of the file may be told as the line after the last one.
            line = min(mark.line + 1, max(1, len(lines))) if mark else 1
            told = error.problem or str(error)
            if mark and lines and lines[line - 1][mark.column :].startswith("\t"):
                told = "a tab; YAML is indented with spaces"
            self._mistakes.at(line, f"this is not YAML: {told}")
            raise _Unreadable from error
        except yaml.reader.ReaderError as error:
            line = self._text[: error.position].count("\n") + 1
            self._mistakes.at(
                line, f"a character that YAML does not allow: #x{error.character:04x}"
            )
            raise _Unreadable from error
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            # An escape for a character that there is not, for one: the library lets it through.
            self._mistakes.at(1, f"this is not YAML: {error}")
            raise _Unreadable from error

    def _value(self, event: yaml.Event, events: Iterator[yaml.Event], place: Place) -> object:
        self._lines.setdefault(place, _line(event))
        self._check(event, place)
        if isinstance(event, yaml.MappingStartEvent):
            return self._map(events, place)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[object] = []
            while not isinstance(item := next(events), yaml.SequenceEndEvent):
                items.append(self._value(item, events, (*place, len(items))))
            return items
        if not isinstance(event, yaml.ScalarEvent):
            self._end(event, "a value is a map, a list, a text or a number", place)
        return self._scalar(event, place)

    def _map(self, events: Iterator[yaml.Event], place: Place) -> dict[str, object]:
        found: dict[str, object] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            self._check(event, place)
            if not isinstance(event, yaml.ScalarEvent):
                self._end(event, "a key is a word, no map or list", place)
            key = str(event.value)
            if key == "<<":
                self._end(event, "merge keys (<<) are not read; write the fields out", place)
            if key in found:
                line = _line(event)
                self._mistakes.at(line, "this key stands here twice", (*place, key))
            self._lines[(*place, key)] = _line(event)
            found[key] = self._value(next(events), events, (*place, key))
        return found

    def _check(self, event: yaml.Event, place: Place) -> None:
        """Refuses what makes a file other than it looks."""
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self._end(event, "anchors and aliases (& and *) are not read; write it out", place)
        if tag := getattr(event, "tag", None):
            self._end(event, f"tags ({tag}) are not read; quote a text that begins with !", place)
        if len(place) > DEEPEST:
            self._end(event, f"more than {DEEPEST} levels")
        if len(self._lines) > MOST:
            self._end(event, f"more than {MOST} values")

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> object:
        text = str(event.value)
        if any("\ud800" <= c <= "\udfff" for c in text):
            self._end(event, "half a character (a lone surrogate)", place)
        if event.style:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text):
            if len(text.lstrip("+-")) > _DIGITS:
                self._end(event, f"a number of more than {_DIGITS} digits", place)
            return int(text)
        if _NOT_FINITE.fullmatch(text) or (_FLOAT.fullmatch(text) and abs(float(text)) > 1e300):
            self._end(event, f"{text[:20]} is no number to count with", place)
        return float(text) if _FLOAT.fullmatch(text) else text

    def _end(self, event: yaml.Event, sentence: str, place: Place = ()) -> NoReturn:
        self._mistakes.at(_line(event), sentence, place)
        raise _Unreadable


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _printable(text: str, longest: int = 80) -> str:
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return shown if len(shown) <= longest else f"{shown[: longest - 3]}..."
