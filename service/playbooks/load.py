"""Reads, checks and compiles playbook files. All mistakes of all files are told at once, each with its line."""

import dataclasses
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol, Self, TypeAlias, get_type_hints

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from service.model import matcher
from service.model.action import AnyKind, Kinds, Mode
from service.model.errors import BadConfig
from service.model.evidence import Evidence
from service.model.playbook import (
    Argument,
    Budget,
    Condition,
    Do,
    Limits,
    Playbook,
    Remedy,
    TargetTemplate,
    Template,
    VerifyPlan,
)
from service.playbooks import conditions
from service.playbooks.conditions import Vocabulary

Path_: TypeAlias = tuple[str | int, ...]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
LONGEST_WINDOW_S = 7 * 86400.0


class Chapter(Protocol):
    """A chapter as loading sees it; diagnose/ holds the real ones."""

    @property
    def name(self) -> str: ...

    @property
    def parameters(self) -> type[Any]: ...

    @property
    def evidence(self) -> type[Evidence]: ...


def _seconds(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"give a unit: {value}s, {value}m or {value}h")  # noqa: TRY004 - pydantic's protocol
    if not isinstance(value, str) or not re.fullmatch(rf"(?:{_DURATION.pattern})+", value):
        raise ValueError(f"{value!r} is no duration; write 30s, 5m, 1h or 1h30m")
    return sum(float(n) * _UNITS[unit] for n, unit in _DURATION.findall(value))


def _budget(value: object) -> object:
    count, _, window = str(value).partition("/")
    if not count.isdigit() or not window or int(count) < 1:
        raise ValueError(f"{value!r} is no budget; write COUNT/DURATION, as in 2/1h")
    window_s = float(str(_seconds(window)))
    if window_s > LONGEST_WINDOW_S:
        raise ValueError(
            f"{value!r}: a budget's window is at most 7d, as far as the guard looks back"
        )
    return Budget(int(count), window_s)


Seconds = Annotated[float, BeforeValidator(_seconds)]
BudgetText = Annotated[Any, BeforeValidator(_budget)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Target(_Strict):
    kind: str
    namespace: str
    name: str


class _Verify(_Strict):
    settle: Seconds = 30.0
    within: Seconds = 600.0
    every: Annotated[Seconds, Field(ge=0.1)] = 10.0
    readings: int = Field(3, ge=1)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        least_s = self.settle + (self.readings - 1) * self.every
        if self.within < least_s:
            raise ValueError(
                f"within is too short for settle and {self.readings} readings: at least {least_s:g}s"
            )
        return self


class _Remedy(_Strict):
    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    when: str
    do: dict[str, dict[str, Any]] = Field(min_length=1, max_length=1)
    mode: Mode = Mode.APPROVE
    times: int = Field(1, ge=1)
    verify: _Verify | None = None


class _Limits(_Strict):
    per_target: BudgetText = Budget(2, 3600.0)
    per_playbook: BudgetText = Budget(6, 3600.0)
    cooldown: Annotated[Seconds, Field(le=LONGEST_WINDOW_S)] = 300.0


class PlaybookFile(_Strict):
    """The format of one playbook."""

    playbook: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    match: list[str] = Field(min_length=1)
    target: _Target
    diagnose: str
    with_: dict[str, Any] = Field({}, alias="with")
    remedies: list[_Remedy] = []
    healed: str
    worse: str | None = None
    verify: _Verify = _Verify()
    limits: _Limits = _Limits()


@dataclass(slots=True)
class _Mistakes:
    """Mistakes of one file, with the line each stands on."""

    file: Path
    lines: Mapping[Path_, int]
    found: list[str] = field(default_factory=list)

    def add(self, path: Path_, sentence: str) -> None:
        line = next(
            (self.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.lines), 1
        )
        place = ".".join(str(p) for p in path)
        self.found.append(f"{self.file}:{line}: {place + ': ' if place else ''}{sentence}")


def load(folder: Path, chapters: Mapping[str, Chapter], kinds: Kinds) -> tuple[Playbook, ...]:
    """Every playbook of a folder, in the order of file names. Raises BadConfig with all mistakes."""
    if not folder.is_dir():
        raise BadConfig(f"{folder}: no such folder; point `playbooks` at the folder of playbooks")
    files = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    if not files:
        raise BadConfig(
            f"{folder}: no playbook (*.yaml) here; point `playbooks` at a folder that has some"
        )
    playbooks: list[Playbook] = []
    found: list[str] = []
    for file in files:
        playbook, mistakes = _load_file(file, chapters, kinds)
        found += mistakes
        if playbook:
            twin = next((p for p in playbooks if p.name == playbook.name), None)
            if twin:
                found.append(
                    f"{playbook.source}: the name {playbook.name!r} is taken by {twin.source}"
                )
            playbooks.append(playbook)
    if found:
        raise BadConfig("\n".join(found))
    return tuple(playbooks)


def _load_file(
    file: Path, chapters: Mapping[str, Chapter], kinds: Kinds
) -> tuple[Playbook | None, list[str]]:
    try:
        root = yaml.compose(file.read_text(), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return None, [f"{file}: {' '.join(str(error).split())}"]
    if not isinstance(root, yaml.MappingNode):
        return None, [f"{file}:1: a playbook is a map; it begins with `playbook: its-name`"]
    lines: dict[Path_, int] = {}
    mistakes = _Mistakes(file, lines)
    content = _content(root, (), lines, mistakes)
    try:
        parsed = PlaybookFile.model_validate(content)
    except ValidationError as error:
        for mistake in error.errors(include_url=False):
            mistakes.add(tuple(mistake["loc"]), _sentence(mistake))
        return None, mistakes.found
    built = _build(parsed, mistakes, chapters, kinds)
    return (None if mistakes.found else built), mistakes.found


def _content(node: yaml.Node, path: Path_, lines: dict[Path_, int], mistakes: _Mistakes) -> object:
    """The node as plain data, remembering the line of every path; a key twice is a mistake."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        content: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            lines[(*path, key)] = key_node.start_mark.line + 1
            if key in content:
                mistakes.add((*path, key), "this key stands here twice")
            content[key] = _content(value_node, (*path, key), lines, mistakes)
        return content
    if isinstance(node, yaml.SequenceNode):
        return [
            _content(item, (*path, place), lines, mistakes) for place, item in enumerate(node.value)
        ]
    try:
        return yaml.SafeLoader("").construct_object(node, deep=True)
    except (
        yaml.YAMLError,
        ValueError,
    ) as error:  # a tag of another program, or a date that is none
        mistakes.add(path, " ".join(str(error).split()))
        return None


def _sentence(mistake: Any) -> str:  # Any: pydantic's error details
    if mistake["type"] == "extra_forbidden":
        place = mistake["loc"]
        owner: dict[str, list[str]] = {
            "remedies": list(_Remedy.model_fields), "target": list(_Target.model_fields),
            "verify": list(_Verify.model_fields), "limits": list(_Limits.model_fields),
        }  # fmt: skip
        top = [f.alias or name for name, f in PlaybookFile.model_fields.items()]
        known = top if len(place) == 1 else owner.get(str(place[-2]), owner.get(str(place[0]), top))
        return f"unknown field; {suggest(str(place[-1]), known)}"
    if mistake["type"] == "missing":
        return "this field is required"
    return str(mistake["msg"]).removeprefix("Value error, ")


def suggest(name: str, known: Sequence[str]) -> str:
    """`did you mean X?`, or the list of what there is."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"


def _build(
    parsed: PlaybookFile, mistakes: _Mistakes, chapters: Mapping[str, Chapter], kinds: Kinds
) -> Playbook | None:
    known = chapters.get(parsed.diagnose)
    if known is None:
        mistakes.add(
            ("diagnose",), f"unknown diagnosis; {suggest(parsed.diagnose, list(chapters))}"
        )
        return None
    _check_params(parsed, known, mistakes)
    builder = _Builder(
        mistakes, Vocabulary.of(known.evidence, parsed.with_.get("series") or {}), kinds
    )
    parsed_matchers = [builder.matcher(text, ("match", n)) for n, text in enumerate(parsed.match)]
    names = [r.name for r in parsed.remedies]
    for n, name in enumerate(names):
        if name in names[:n]:
            mistakes.add(("remedies", n, "name"), f"the name {name!r} is taken by a rung above")
    remedies = [builder.remedy(r, n, parsed.verify) for n, r in enumerate(parsed.remedies)]
    healed = builder.condition(parsed.healed, ("healed",), may_ask_has=True)
    return Playbook(
        name=parsed.playbook,
        matchers=tuple(m for m in parsed_matchers if m),
        target=builder.target(parsed.target),
        diagnose=parsed.diagnose,
        params={name: builder.param(value, ("with", name)) for name, value in parsed.with_.items()},
        remedies=tuple(r for r in remedies if r),
        healed=healed,
        worse=builder.condition(parsed.worse, ("worse",), may_ask_has=False)
        if parsed.worse
        else None,
        limits=Limits(parsed.limits.per_target, parsed.limits.per_playbook, parsed.limits.cooldown),
        source=f"{mistakes.file}:1",
    )


def _check_params(parsed: PlaybookFile, known: Chapter, mistakes: _Mistakes) -> None:
    names = [f.name for f in dataclasses.fields(known.parameters)]
    for name in parsed.with_.keys() - set(names):
        mistakes.add(("with", name), f"unknown parameter of {known.name}; {suggest(name, names)}")
    try:
        TypeAdapter(known.parameters).validate_python(
            {n: v for n, v in parsed.with_.items() if n in names}
        )
    except ValidationError as error:
        for mistake in error.errors(include_url=False):
            missing = mistake["type"] in ("missing", "missing_argument")
            sentence = f"{known.name} needs this parameter" if missing else str(mistake["msg"])
            mistakes.add(("with", *mistake["loc"]), sentence)


@dataclass(slots=True)
class _Builder:
    """Compiles the parts of one playbook and notes what is wrong with them."""

    mistakes: _Mistakes
    vocabulary: Vocabulary
    kinds: Kinds

    def matcher(self, text: str, path: Path_) -> matcher.LabelMatcher | None:
        try:
            return matcher.parse(text)
        except ValueError as error:
            self.mistakes.add(path, str(error))
            return None

    def condition(self, text: str, path: Path_, *, may_ask_has: bool) -> Condition:
        try:
            return conditions.condition(text, self.vocabulary, may_ask_has=may_ask_has)
        except ValueError as error:
            self._note(error, path)
            return conditions.never(text)

    def template(self, text: str, path: Path_, may_name: tuple[str, ...]) -> Template:
        try:
            return conditions.template(text, self.vocabulary, may_name=may_name)
        except ValueError as error:
            self._note(error, path)
            return conditions.CelTemplate(text, (text,))

    def param(self, value: object, path: Path_) -> object:
        """A value of `with`: its texts may be templates over the target."""
        if isinstance(value, dict):
            return {k: self.param(v, (*path, k)) for k, v in value.items()}
        if isinstance(value, list):
            return [self.param(v, (*path, n)) for n, v in enumerate(value)]
        if isinstance(value, str) and "{{" in value:
            return self.template(value, path, ("target",))
        return value

    def _note(self, error: ValueError, path: Path_) -> None:
        if isinstance(error, conditions.UnknownName):
            self.mistakes.add(
                path, f"unknown field {error.name}; {suggest(error.name, error.candidates)}"
            )
        else:
            self.mistakes.add(path, str(error))

    def target(self, parsed: _Target) -> TargetTemplate:
        kind, namespace, name = (
            self.template(getattr(parsed, part), ("target", part), ("labels",))
            for part in ("kind", "namespace", "name")
        )
        return TargetTemplate(kind, namespace, name)

    def remedy(self, parsed: _Remedy, place: int, verify: _Verify) -> Remedy | None:
        path: Path_ = ("remedies", place)
        ((kind, args),) = parsed.do.items()
        known = self.kinds.get(kind)
        if known is None:
            self.mistakes.add(
                (*path, "do", kind), f"unknown action; {suggest(kind, list(self.kinds))}"
            )
            return None
        plan = parsed.verify or verify
        return Remedy(
            name=parsed.name,
            when=self.condition(parsed.when, (*path, "when"), may_ask_has=False),
            do=Do(known, self._arguments(known, args, (*path, "do", kind)), _checker(known)),
            mode=parsed.mode,
            times=parsed.times,
            verify=VerifyPlan(plan.settle, plan.within, plan.readings, plan.every),
        )

    def _arguments(
        self, kind: AnyKind, args: Mapping[str, Any], path: Path_
    ) -> Mapping[str, Argument]:
        fields = {f.name.rstrip("_"): f for f in dataclasses.fields(kind.arguments)}
        for name in args.keys() - fields.keys():
            known = list(fields) or ["(it takes none)"]
            self.mistakes.add(
                (*path, name), f"unknown argument of {kind.name}; {suggest(name, known)}"
            )
        required = {
            name
            for name, f in fields.items()
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        }
        for name in required - args.keys():
            self.mistakes.add(path, f"{kind.name} needs the argument {name!r}")
        hints = get_type_hints(kind.arguments, include_extras=True)
        return {
            fields[n].name: self._argument(hints[fields[n].name], v, (*path, n))
            for n, v in args.items()
            if n in fields
        }

    def _argument(self, wanted: Any, value: Any, path: Path_) -> Argument:
        if isinstance(value, dict):
            return {k: self._argument(object, v, (*path, k)) for k, v in value.items()}
        if isinstance(value, list):
            return [self._argument(object, v, (*path, n)) for n, v in enumerate(value)]
        if isinstance(value, str) and "{{" in value:
            return self.template(value, path, ("evidence", "target"))
        if wanted is not object:
            try:
                TypeAdapter(wanted).validate_python(
                    value, strict=not isinstance(value, int) or isinstance(value, bool)
                )
            except ValidationError as error:
                self.mistakes.add(path, f"{value!r}: {error.errors()[0]['msg']}")
        plain: Argument = value
        return plain


def _checker(kind: AnyKind) -> Callable[[Mapping[str, Any]], Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(kind.arguments)

    def check(filled: Mapping[str, Any]) -> Any:
        return adapter.validate_python(dict(filled))

    return check
