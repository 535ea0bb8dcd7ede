"""Reads, checks and compiles playbook files. All mistakes of all files are told at
once, each with its line.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from service.model import matcher
from service.model.action import AnyKind, Kinds, Mode
from service.model.errors import BadConfig
from service.model.evidence import SERIES, Evidence
from service.model.playbook import (
    Do,
    Playbook,
    Remedy,
    ReturnOn,
    TargetTemplate,
    Template,
)
from service.model.target import RUNNING, WORKLOADS, TargetKind
from service.playbooks import agreement, conditions, format, source
from service.playbooks.arguments import Values, adapter_of, fits
from service.playbooks.format import PlaybookFile, Rung, TargetFields, suggest
from service.playbooks.inference import UnknownName
from service.playbooks.source import Mistakes, Place
from service.playbooks.tree import Literal
from service.playbooks.vocabulary import STRING, NoForm, Vocabulary

MOST = 500  # playbooks in a folder


class Chapter(Protocol):
    """A chapter as loading sees it; diagnose/ holds the real ones."""

    @property
    def name(self) -> str: ...

    @property
    def parameters(self) -> type[Any]: ...  # Any: a dataclass

    @property
    def evidence(self) -> type[Evidence]: ...

    @property
    def stateful(self) -> bool: ...

    @property
    def origins(self) -> Mapping[str, str]: ...


def load(folder: Path, chapters: Mapping[str, Chapter], kinds: Kinds) -> tuple[Playbook, ...]:
    """Every playbook of a folder, in the order of file names. Raises BadConfig with all
    mistakes.
    """
    if not folder.is_dir():
        raise BadConfig(f"{folder}: no such folder; point `playbooks` at the folder of playbooks")
    files = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    if not 0 < len(files) <= MOST:
        told = f"more than {MOST} playbooks" if files else "no playbook (*.yaml)"
        raise BadConfig(f"{folder}: {told} here; point `playbooks` at a folder that has some")
    playbooks: list[Playbook] = []
    found: list[str] = []
    for file in files:
        playbook, mistakes = _load_file(file, chapters, kinds)
        found += mistakes
        if playbook is None:
            continue
        twin = next((p for p in playbooks if p.name == playbook.name), None)
        if twin:
            found.append(f"{playbook.source}: the name {playbook.name!r} is taken by {twin.source}")
        playbooks.append(playbook)
    if found:
        raise BadConfig("\n".join(found))
    return tuple(playbooks)


def _load_file(
    file: Path, chapters: Mapping[str, Chapter], kinds: Kinds
) -> tuple[Playbook | None, list[str]]:
    content, mistakes = source.read(file)
    parsed = format.parse(content, mistakes) if content is not None else None
    built = _build(parsed, mistakes, chapters, kinds) if parsed is not None else None
    return (None if mistakes.found else built), mistakes.sentences()


def _build(
    parsed: PlaybookFile, mistakes: Mistakes, chapters: Mapping[str, Chapter], kinds: Kinds
) -> Playbook | None:
    chapter = chapters.get(parsed.diagnose)
    if chapter is None:
        near = suggest(parsed.diagnose, list(chapters))
        mistakes.add(("diagnose",), f"unknown diagnosis; {near}")
        return None
    series = parsed.with_.get(SERIES)
    try:
        vocabulary = Vocabulary.of(chapter.evidence, series if isinstance(series, dict) else ())
    except NoForm as error:
        mistakes.add(("diagnose",), f"{chapter.name} cannot be used by conditions: {error}")
        return None
    builder = _Builder(mistakes, vocabulary, kinds, chapter)
    parameters = Values(chapter.name, "parameter", chapter.parameters, None, ("target",), mistakes)
    return Playbook(
        name=parsed.playbook,
        matchers=builder.matchers(parsed.match),
        target=builder.targets(parsed),
        diagnose=parsed.diagnose,
        params=parameters.compiled(parsed.with_, ("with",)),
        remedies=builder.remedies(parsed),
        healed=builder.condition(parsed.healed, ("healed",), may_ask_has=True),
        worse=builder.condition(parsed.worse, ("worse",)) if parsed.worse is not None else None,
        limits=parsed.limits.limits(),
        source=f"{mistakes.file}:1",
        workloads=builder.workloads(parsed),
    )


@dataclass(slots=True)
class _Builder:
    """Compiles the parts of one playbook and notes what is wrong with them."""

    mistakes: Mistakes
    vocabulary: Vocabulary
    kinds: Kinds
    chapter: Chapter

    def matchers(self, texts: list[str]) -> tuple[matcher.LabelMatcher, ...]:
        found: list[matcher.LabelMatcher] = []
        for place, text in enumerate(texts):
            try:
                found.append(matcher.parse(text))
            except ValueError as error:
                self.mistakes.add(("match", place), str(error))
        return tuple(found)

    def condition(self, text: str, place: Place, **options: Any) -> conditions.CelCondition:
        """A condition; `options` are those of conditions.condition."""
        try:
            return conditions.condition(text, self.vocabulary, **options)
        except ValueError as error:
            self._note(error, place)
            return conditions.never(text)

    def _note(self, error: ValueError, place: Place) -> None:
        told = str(error)
        if isinstance(error, UnknownName):
            told = f"{told}; {suggest(error.name, error.candidates)}"
        self.mistakes.add(place, told)

    def targets(self, parsed: PlaybookFile) -> tuple[TargetTemplate, ...]:
        """How labels name the target: in one shape, or in several."""
        several = ("target", 0) in self.mistakes.lines
        return tuple(
            self._target(shape, ("target", number) if several else ("target",))
            for number, shape in enumerate(parsed.target)
        )

    def _target(self, shape: TargetFields, place: Place) -> TargetTemplate:
        """One shape. A kind that is written out is one that there is."""
        if "{{" not in shape.kind and shape.kind not in tuple(TargetKind):
            near = suggest(shape.kind, [k.value for k in TargetKind])
            self.mistakes.add((*place, "kind"), f"unknown kind {shape.kind!r}; {near}")
        return TargetTemplate(
            self._of_labels(shape.kind, (*place, "kind")),
            self._of_labels(shape.namespace, (*place, "namespace")),
            self._of_labels(shape.name, (*place, "name")),
        )

    def workloads(self, parsed: PlaybookFile) -> tuple[TargetKind, ...]:
        """What the remedies are made for, of what runs pods."""
        if parsed.workloads is None:
            return WORKLOADS
        known = [kind.value for kind in RUNNING]
        for number, name in enumerate(parsed.workloads):
            if name not in known:
                told = f"{name!r} runs no pods; {suggest(name, known)}"
                self.mistakes.add(("workloads", number), told)
        return tuple(kind for kind in RUNNING if kind.value in parsed.workloads)

    def _of_labels(self, text: str, place: Place) -> Template:
        try:
            made = conditions.template(text, None, may_name=("labels",))
        except ValueError as error:
            self._note(error, place)
            return conditions.CelTemplate(text, (text,))
        if not fits(made.kind, STRING):
            self.mistakes.add(place, f"{text!r} gives {made.kind}, and this takes string")
        return made

    def remedies(self, parsed: PlaybookFile) -> tuple[Remedy, ...]:
        """The ladder."""
        names = [rung.name for rung in parsed.remedies]
        for place, name in enumerate(names):
            if name in names[:place]:
                told = f"the name {name!r} is taken by a rung above"
                self.mistakes.add(("remedies", place, "name"), told)
        rungs = [self._rung(parsed, rung, place) for place, rung in enumerate(parsed.remedies)]
        return tuple(rung for rung in rungs if rung is not None)

    def _rung(self, parsed: PlaybookFile, rung: Rung, place: int) -> Remedy | None:
        above: Place = ("remedies", place)
        ((name, given),) = rung.do.items()
        kind = self.kinds.get(name)
        # The last rung may call a person whatever was seen;
        # any other would hide those below, or act on nothing.
        last_resort = place == len(parsed.remedies) - 1 and (kind is None or kind.for_people)
        when = self.condition(
            rung.when,
            (*above, "when"),
            may_name=("evidence", "now"),
            may_be_constant=last_resort and rung.when.strip() == "true",
        )
        if kind is None:
            near = suggest(name, list(self.kinds))
            self.mistakes.add((*above, "do", name), f"unknown action; {near}")
            return None
        if kind.step_only:
            others = sorted(k.name for k in self.kinds.values() if not k.step_only)
            near = suggest(name, others)
            told = f"{name} is a step of a saga, and no remedy of its own; {near}"
            self.mistakes.add((*above, "do", name), told)
        if kind.by_people and rung.mode is Mode.AUTO:
            told = (
                f"{name} is asked for by one person and approved by another; write `mode: approve`"
            )
            self.mistakes.add((*above, "mode"), told)
        self._two_sources(kind, when, (*above, "when"))
        arguments = Values(
            name,
            "argument",
            kind.arguments,
            self.vocabulary,
            ("evidence", "target"),
            self.mistakes,
        )
        return Remedy(
            name=rung.name,
            when=when,
            do=Do(
                kind,
                arguments.compiled(given or {}, (*above, "do", name)),
                _checker(kind),
            ),
            mode=rung.mode or parsed.mode,
            times=rung.times,
            verify=(rung.verify or parsed.verify).plan(),
            return_on=self._return_on(rung, kind, above),
            consent=(rung.approval or parsed.approval).plan(),
        )

    def _return_on(self, rung: Rung, kind: AnyKind, above: Place) -> ReturnOn:
        """When the change goes back. A rung that may be tried again builds on what it
        did: then only worse does.
        """
        if not kind.reversible:
            if rung.return_ is not None:
                told = f"{kind.name} cannot be taken back, so there is nothing to say here"
                self.mistakes.add((*above, "return"), told)
            return ReturnOn.NEVER
        return rung.return_ or (ReturnOn.WORSE if rung.times > 1 else ReturnOn.NOT_HEALED)

    def _two_sources(self, kind: AnyKind, when: conditions.CelCondition, place: Place) -> None:
        """What is disruptive rests on two systems that agree, for each of them may be wrong."""
        disruptive = kind.disruptive or (kind.interrupts and self.chapter.stateful)
        if not disruptive or isinstance(when.expression.node, Literal):  # noted already
            return
        origins = self.chapter.origins
        agreed = agreement.agreeing(when.expression.node, origins)
        if len(agreed) >= agreement.WANTED:
            return
        others = sorted(set(origins.values()) - agreed)
        told = f"{kind.name} is disruptive here, and its condition rests on "
        told += f"{' and '.join(sorted(agreed)) or 'no one system'} alone; let a second one agree"
        self.mistakes.add(place, f"{told}: {', '.join(others)}")


def _checker(kind: AnyKind) -> Callable[[Mapping[str, Any]], Any]:
    adapter = adapter_of(kind.arguments)

    def check(filled: Mapping[str, Any]) -> Any:
        return adapter.validate_python(dict(filled))

    return check
