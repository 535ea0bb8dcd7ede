"""A rung for people: it writes nothing, and says what is missing and the exact
commands that would mend it.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from service.act.kind import Kind, Writers
from service.model.action import NotPossible
from service.model.target import Target

_SENTENCE = 1_000  # characters
_COMMAND = 4_000


@dataclass(frozen=True, slots=True)
class HumanArguments:
    """A sentence, and commands or patches a person would apply;
    each may be a template over the evidence.
    """

    say: Annotated[str, Field(min_length=1)]
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CallHuman:
    """Escalate with a sentence and commands."""

    target: Target
    say: str
    commands: tuple[str, ...]

    def __str__(self) -> str:
        return f"call a person: {self.say}"


def plan(target: Target, arguments: HumanArguments) -> CallHuman | NotPossible:
    """What a person is told, bounded."""
    commands = tuple(command[:_COMMAND] for command in arguments.commands[:20])
    return CallHuman(target, arguments.say[:_SENTENCE], commands)


def _bind(writers: Writers) -> None:
    return None


KIND = Kind(
    name="human",
    arguments=HumanArguments,
    request=CallHuman,
    plan=plan,
    bind=_bind,
    for_people=True,
)
