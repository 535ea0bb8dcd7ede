"""Reads and checks the table of causes and effects, `causes.yaml` beside the folder of playbooks.

Never here: what follows while a cause has an open incident (guard/explained.py).
"""

from collections.abc import Collection, Mapping
from pathlib import Path

from service.model.causes import Causes
from service.model.errors import BadConfig
from service.playbooks import source
from service.playbooks.format import suggest
from service.playbooks.source import Mistakes, Place

NAME = "causes.yaml"
SCOPES = ("namespace",)  # cause and effect are in one namespace

_FIELDS = ("scope", "explained_by")
_BEGINS = "this is a map; it begins with `scope: namespace`, then `explained_by:`"
_MOST = 100  # causes of one playbook


def beside(folder: Path, playbooks: Collection[str]) -> Causes:
    """The table beside a folder of playbooks; an empty one where there is no
    such file. Raises BadConfig.
    """
    file = folder.parent / NAME
    return load(file, playbooks) if file.exists() else Causes()


def load(file: Path, playbooks: Collection[str]) -> Causes:
    """The table. `playbooks` are the names of those that are loaded.
    Raises BadConfig with all mistakes.

    A name may be that of a playbook which is not loaded, for a folder need not hold all of them;
    but a pair of names of which neither is loaded says nothing, and one of them is misspelt.
    """
    content, mistakes = source.read(file, begins=_BEGINS)
    table = _table(content, mistakes) if content is not None else {}
    for effect, causes in table.items():
        for number, cause in enumerate(causes):
            place: Place = ("explained_by", effect, number)
            if cause == effect:
                mistakes.add(place, f"{effect} cannot explain itself")
            elif effect not in playbooks and cause not in playbooks:
                near = suggest(cause, playbooks)
                told = f"neither {cause!r} nor {effect!r} is a playbook of the folder; {near}"
                mistakes.add(place, told)
    for effect in table:
        if ring := _ring(effect, table):
            told = f"{' <- '.join(ring)} goes in a circle: each would wait for the other"
            mistakes.add(("explained_by", effect), told)
            break  # the same circle would be told once for each of its playbooks
    if found := mistakes.sentences():
        raise BadConfig("\n".join(found))
    return Causes(table)


def _table(content: Mapping[str, object], mistakes: Mistakes) -> dict[str, tuple[str, ...]]:
    for name in content:
        if name not in _FIELDS:
            mistakes.add((name,), f"unknown field; {suggest(name, _FIELDS)}")
    scope = content.get("scope")
    if scope not in SCOPES:
        mistakes.add(("scope",), f"{scope!r} is no scope; {suggest(str(scope), SCOPES)}")
    rows = content.get("explained_by")
    if not isinstance(rows, dict):
        told = "this is a map: a playbook, and the list of those that explain it"
        mistakes.add(("explained_by",), told)
        return {}
    return {effect: _causes(effect, given, mistakes) for effect, given in rows.items()}


def _causes(effect: str, given: object, mistakes: Mistakes) -> tuple[str, ...]:
    place: Place = ("explained_by", effect)
    if not isinstance(given, list) or not 0 < len(given) <= _MOST:
        mistakes.add(place, "this is a list of playbooks, as in [kafka, clickhouse]")
        return ()
    found: list[str] = []
    for number, cause in enumerate(given):
        if not isinstance(cause, str):
            mistakes.add((*place, number), f"{cause!r} is no name of a playbook")
        elif cause in found:
            mistakes.add((*place, number), f"{cause!r} stands here twice")
        else:
            found.append(cause)
    return tuple(found)


def _ring(start: str, table: Mapping[str, tuple[str, ...]]) -> list[str] | None:
    """The way from a playbook back to itself, over at least one other; None where there is none."""
    ways: list[list[str]] = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        for cause in table.get(way[-1], ()):
            if cause == start and len(way) > 1:
                return [*way, cause]
            if cause not in seen and cause != start:
                seen.add(cause)
                ways.append([*way, cause])
    return None
