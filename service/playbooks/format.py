"""The format of a playbook file: its fields, their forms and bounds.

Never here: what depends on the chapter or on the kinds of action (load.py, arguments.py).
"""

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from service.model.action import Mode
from service.model.playbook import Budget, ConsentPlan, Limits, ReturnOn, VerifyPlan
from service.playbooks.source import Mistakes, Place

LONGEST_S = 7 * 86_400.0  # of every duration; as far as the guard looks back

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")
_BUDGET = re.compile(r"([0-9]{1,6})/(.+)")
_NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"


def _seconds(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"give a unit: {value}s, {value}m or {value}h")  # noqa: TRY004 - pydantic's protocol
    if not isinstance(value, str) or not re.fullmatch(rf"(?:{_DURATION.pattern})+", value):
        raise ValueError(f"{value!r} is no duration; write 30s, 5m, 1h or 1h30m")
    seconds = sum(float(n) * _UNITS[unit] for n, unit in _DURATION.findall(value))
    if seconds > LONGEST_S:
        raise ValueError(f"{value!r} is too long; at most 7d")
    return seconds


def _budget(value: object) -> object:
    parts = _BUDGET.fullmatch(value) if isinstance(value, str) else None
    if parts is None or int(parts[1]) < 1:
        raise ValueError(f"{value!r} is no budget; write COUNT/DURATION, as in 2/1h")
    window_s = float(str(_seconds(parts[2])))
    if window_s < 1:
        raise ValueError(f"{value!r}: the window of a budget is at least 1s, as in 2/1h")
    return Budget(int(parts[1]), window_s)


Seconds = Annotated[float, BeforeValidator(_seconds)]
BudgetText = Annotated[Any, BeforeValidator(_budget)]
Text = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TargetFields(_Strict):
    """`target:`; each may be a template over the alert's labels."""

    kind: Text
    namespace: Text
    name: Text


class Verify(_Strict):
    """`verify:` of the playbook, or of one rung."""

    settle: Seconds = 30.0
    within: Seconds = 600.0
    every: Annotated[Seconds, Field(ge=0.1)] = 10.0
    readings: Annotated[int, Field(ge=1, le=1_000, strict=True)] = 3

    @model_validator(mode="after")
    def _possible(self) -> Self:
        least_s = self.settle + (self.readings - 1) * self.every
        if self.within < least_s or self.within <= 0:
            raise ValueError(
                f"within is too short for settle and {self.readings} readings: at least {least_s:g}s"
            )
        return self

    def plan(self) -> VerifyPlan:
        """As the model has it."""
        return VerifyPlan(self.settle, self.within, self.readings, self.every)


class Approval(_Strict):
    """`approval:` of the playbook, or of one rung."""

    expires: Annotated[Seconds, Field(ge=1)] | None = None
    veto: Annotated[Seconds, Field(ge=1)] | None = None
    two_people: Annotated[bool, Field(strict=True)] = False

    def plan(self) -> ConsentPlan:
        """As the model has it."""
        return ConsentPlan(self.expires, self.veto, self.two_people)


class Rung(_Strict):
    """One of `remedies:`."""

    name: Annotated[str, Field(pattern=_NAME, max_length=63)]
    when: Text
    do: Annotated[dict[str, dict[str, Any] | None], Field(min_length=1, max_length=1)]
    mode: Mode | None = None  # the playbook's
    times: Annotated[int, Field(ge=1, le=100, strict=True)] = 1
    verify: Verify | None = None
    return_: Annotated[ReturnOn | None, Field(alias="return")] = None
    approval: Approval | None = None


class LimitFields(_Strict):
    """`limits:`."""

    per_rung: BudgetText | None = None
    per_target: BudgetText = Budget(2, 3600.0)
    per_playbook: BudgetText = Budget(6, 3600.0)
    cooldown: Seconds = 300.0

    def limits(self) -> Limits:
        """As the model has it."""
        return Limits(self.per_target, self.per_playbook, self.cooldown, self.per_rung)


def _listed(value: object) -> object:
    """One shape or several: several in any case."""
    return [value] if isinstance(value, dict) else value


class PlaybookFile(_Strict):
    """The whole file."""

    playbook: Annotated[str, Field(pattern=_NAME, max_length=63)]
    match: Annotated[list[str], Field(min_length=1, max_length=50)]
    target: Annotated[
        list[TargetFields], BeforeValidator(_listed), Field(min_length=1, max_length=10)
    ]
    workloads: Annotated[list[str], Field(min_length=1, max_length=10)] | None = None
    diagnose: str
    with_: Annotated[dict[str, Any], Field(alias="with")] = {}
    remedies: Annotated[list[Rung], Field(max_length=50)] = []
    healed: Text
    worse: Text | None = None
    verify: Verify = Verify()
    limits: LimitFields = LimitFields()
    mode: Mode = Mode.APPROVE
    approval: Approval = Approval()


_FIELDS: Mapping[str, type[BaseModel]] = {
    "remedies": Rung, "target": TargetFields, "verify": Verify, "limits": LimitFields,
    "approval": Approval,
}  # fmt: skip


def parse(content: Mapping[str, object], mistakes: Mistakes) -> PlaybookFile | None:
    """The file, or None with every mistake of its form noted."""
    try:
        return PlaybookFile.model_validate(content)
    except ValidationError as error:
        for mistake in error.errors(include_url=False):
            mistakes.add(_where(tuple(mistake["loc"]), content), sentence(mistake))
        return None


def _where(place: Place, content: Mapping[str, object]) -> Place:
    """The place as it stands in the file, where a single target is no list."""
    single = place[:2] == ("target", 0) and isinstance(content.get("target"), dict)
    return ("target", *place[2:]) if single else place


def sentence(mistake: Any) -> str:  # Any: pydantic's error details
    """What is wrong, and what to write instead."""
    match mistake["type"]:
        case "extra_forbidden":
            return f"unknown field; {suggest(str(mistake['loc'][-1]), _siblings(mistake['loc']))}"
        case "missing" | "missing_argument":
            return "this field is required"
        case "string_pattern_mismatch":
            return f"{mistake['input']!r} is no name; write small letters, digits and dashes"
        case "too_short" | "string_too_short":
            return "it is empty"
        case _:
            return str(mistake["msg"]).removeprefix("Value error, ")


def _siblings(place: tuple[str | int, ...]) -> Collection[str]:
    """The fields that stand where the unknown one does."""
    owners = [_FIELDS[str(step)] for step in place[:-1] if str(step) in _FIELDS]
    owner = owners[-1] if owners else PlaybookFile
    return [f.alias or name for name, f in owner.model_fields.items()]


def suggest(name: str, known: Collection[str]) -> str:
    """`did you mean X?`, or the list of what there is."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    shown = sorted(known)
    more = f" and {len(shown) - 30} more" if len(shown) > 30 else ""
    return f"known are {', '.join(shown[:30])}{more}"
