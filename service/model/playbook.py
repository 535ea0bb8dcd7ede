"""A playbook: which alerts it answers, what it aims at, the ladder of
remedies, and what healed means.

Conditions and templates arrive compiled, behind the two protocols here,
so that route and decide can use them without knowing CEL.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeAlias, runtime_checkable

from service.model.action import AnyKind, Mode
from service.model.errors import BadInput
from service.model.evidence import Facts
from service.model.matcher import LabelMatcher
from service.model.reasons import Reason
from service.model.target import WORKLOADS, Target, TargetKind


class Truth(StrEnum):
    """A condition's answer. Unknown is neither yes nor no."""

    HOLDS = "holds"
    FAILS = "fails"
    UNKNOWN = "unknown"


class Condition(Protocol):
    """A compiled condition over the evidence."""

    @property
    def text(self) -> str: ...

    def judge(self, facts: Mapping[str, Any]) -> Truth:
        """The condition's truth under `{"evidence": ..., "before": ...,
        "now": ...}` (Any: see Facts).
        """
        ...


@runtime_checkable
class Template(Protocol):
    """Text with `{{ expression }}` in it, compiled."""

    @property
    def text(self) -> str: ...

    def render(self, facts: Mapping[str, Any]) -> object | None:
        """The value (of its own type where the text is one expression),
        or None when a part is missing.
        """
        ...


@dataclass(frozen=True, slots=True)
class TargetTemplate:
    """One way in which an alert's labels may name the target."""

    kind: Template
    namespace: Template
    name: Template
    kinds: tuple[TargetKind, ...] = tuple(TargetKind)


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `count` actions in any `window_s` seconds."""

    count: int
    window_s: float

    def __str__(self) -> str:
        return f"{self.count} in {self.window_s:g} s"


@dataclass(frozen=True, slots=True)
class Limits:
    """Budgets of a playbook's actions, and the rest a target gets after one."""

    per_target: Budget
    per_playbook: Budget
    cooldown_s: float
    per_rung: Budget | None = None  # of one rung on one target


@dataclass(frozen=True, slots=True)
class VerifyPlan:
    """How an action is proved: wait, then read until `readings` good ones in a
    row, at most `within_s`.
    """

    settle_s: float
    within_s: float
    readings: int
    every_s: float


@dataclass(frozen=True, slots=True)
class ConsentPlan:
    """How long a proposal waits for a yes (`approve`) or a no (`veto`),
    and whether two people have to say yes.

    None: as long as the settings say.
    """

    expires_s: float | None = None
    veto_s: float | None = None
    two_people: bool = False


CONSENT = ConsentPlan()

# An argument of an action as it stands in the file: plain values, with templates still open.
Argument: TypeAlias = (
    "Template | bool | int | float | str | Sequence[Argument] | Mapping[str, Argument]"
)


@dataclass(frozen=True, slots=True)
class Do:
    """The action of a rung: its kind and its arguments, templates still open.

    `check` makes the kind's arguments of filled ones; it raises ValueError with a sentence
    for what is out of bounds.
    """

    kind: AnyKind
    arguments: Mapping[str, Argument]
    check: Callable[[Mapping[str, Any]], Any]  # Any: each kind has arguments of its own


class ReturnOn(StrEnum):
    """After which outcome of its action a rung takes back what it changed."""

    NOT_HEALED = "not_healed"  # and after worse
    WORSE = "worse"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Remedy:
    """A rung of the ladder."""

    name: str
    when: Condition
    do: Do
    mode: Mode
    times: int  # how often it may be tried in one incident
    verify: VerifyPlan  # the playbook's, unless the rung says otherwise
    return_on: ReturnOn = ReturnOn.NEVER
    consent: ConsentPlan = CONSENT  # the same


@dataclass(frozen=True, slots=True)
class Playbook:
    """One playbook, checked and compiled."""

    name: str
    matchers: tuple[LabelMatcher, ...]
    target: tuple[TargetTemplate, ...]  # the first that has a value for every part is taken
    diagnose: str
    params: Mapping[str, object]  # `with`: its texts may be templates over the target
    remedies: tuple[Remedy, ...]
    healed: Condition
    worse: Condition | None
    limits: Limits
    source: str  # file:line
    # What its remedies are made for, of what runs pods. A pod leads to its owner,
    # unless it is among them.
    workloads: tuple[TargetKind, ...] = WORKLOADS

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(m.matches(labels) for m in self.matchers)

    def params_for(self, target: Target) -> Mapping[str, object]:
        """`with` for one target. Raises BadInput(target_unresolved) when a
        template has no value for it.
        """
        return filled(self.params, target, f"playbook {self.name}: with")


def filled(params: Mapping[str, object], target: Target, place: str) -> Mapping[str, object]:
    """Parameters for one target; `place` is where they stand. Raises
    BadInput(target_unresolved).
    """
    view = {"target": target.view}
    return {name: _filled(value, view, f"{place}.{name}") for name, value in params.items()}


def _filled(value: object, view: Mapping[str, Facts], place: str) -> object:
    if isinstance(value, Mapping):
        return {k: _filled(v, view, f"{place}.{k}") for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(v, view, place) for v in value]
    if not isinstance(value, Template):
        return value
    filled = value.render(view)
    if filled is None:
        raise BadInput(
            Reason.TARGET_UNRESOLVED,
            f"{place}: {value.text} has no value for {view['target']}",
        )
    return filled
