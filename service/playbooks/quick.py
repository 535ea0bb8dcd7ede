"""Reads and checks the parameters of quick diagnostics,
`quick.yaml` beside the folder of playbooks.

Never here: looking (diagnose/chapters/quick.py).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import TypeAdapter

from service.model.errors import BadConfig
from service.model.playbook import Argument, filled
from service.model.target import Target
from service.playbooks import source
from service.playbooks.arguments import Values
from service.playbooks.format import suggest
from service.playbooks.load import Chapter

NAME = "quick.yaml"

# The chapter's parameters for one target. Any: the chapter has a dataclass of its own for them.
ForTarget: TypeAlias = Callable[[Target], Any]

_FIELDS = ("with",)
_BEGINS = "this is a map; it begins with `with:`, then the parameters of quick diagnostics"


def beside(folder: Path, chapter: Chapter) -> ForTarget:
    """The parameters beside a folder of playbooks; without such a file the chapter's
    defaults. Raises BadConfig.
    """
    file = folder.parent / NAME
    return load(file, chapter) if file.exists() else _for_target({}, chapter, NAME)


def load(file: Path, chapter: Chapter) -> ForTarget:
    """The parameters of one file. Raises BadConfig with all mistakes."""
    content, mistakes = source.read(file, begins=_BEGINS)
    for name in content or ():
        if name not in _FIELDS:
            mistakes.add((name,), f"unknown field; {suggest(name, _FIELDS)}")
    given = (content or {}).get("with", {})
    made: Mapping[str, Argument] = {}
    if isinstance(given, dict):
        values = Values(chapter.name, "parameter", chapter.parameters, None, ("target",), mistakes)
        made = values.compiled(given, ("with",))
    else:
        mistakes.add(("with",), "this is a map of parameters")
    if found := mistakes.sentences():
        raise BadConfig("\n".join(found))
    return _for_target(made, chapter, str(file))


def _for_target(made: Mapping[str, Argument], chapter: Chapter, place: str) -> ForTarget:
    check: TypeAdapter[Any] = TypeAdapter(chapter.parameters)  # Any: see ForTarget

    def parameters(target: Target) -> Any:  # Any: see ForTarget
        return check.validate_python(filled(made, target, f"{place}: with"))

    return parameters
