"""The tree of a CEL expression: what each piece is, and no more.

Never here: reading texts (syntax.py) or types (inference.py).
"""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Literal:
    """A value; `text` as it stands. `kind` is bool, int, double or string."""

    kind: str
    text: str

    @property
    def plain(self) -> str | None:
        """A text's content, where it has no escapes."""
        body = self.text.lstrip("rR")
        return None if "\\" in body else body[1:-1]


@dataclass(frozen=True, slots=True)
class Name:
    """A root, or a variable of a comprehension."""

    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`; `asked` inside has()."""

    operand: "Node"
    field: str
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """`operand[index]`."""

    operand: "Node"
    index: "Node"


@dataclass(frozen=True, slots=True)
class Call:
    """A function, or a method with its operand first. Operators are calls too: `+`, `!`, `-_`."""

    function: str
    arguments: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Logic:
    """Several operands joined by `&&` or `||`."""

    sign: str
    operands: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Choice:
    """`condition ? yes : no`."""

    condition: "Node"
    yes: "Node"
    no: "Node"


@dataclass(frozen=True, slots=True)
class Comprehension:
    """`over.macro(variable, steps)`."""

    macro: str
    over: "Node"
    variable: str
    steps: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Items:
    """`[a, b]`."""

    items: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Entries:
    """`{'a': 1}`."""

    entries: "tuple[tuple[Node, Node], ...]"


Node: TypeAlias = (
    Literal | Name | Select | Index | Call | Logic | Choice | Comprehension | Items | Entries
)
