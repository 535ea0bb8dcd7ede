"""CEL expressions as trees, so that names and types can be checked before anything runs.

The CEL library compiles and runs; it shows no tree. This reads the part of the language that
playbooks may use, and refuses the rest (messages, bytes, unsigned numbers, null) with a sentence.
Never here: what a name means or whether types fit (inference.py).
"""

import re
from typing import NoReturn

from service.playbooks.tree import (
    Call,
    Choice,
    Comprehension,
    Entries,
    Index,
    Items,
    Literal,
    Logic,
    Name,
    Node,
    Select,
)

LONGEST = 4_000  # characters; far longer ones exhaust the CEL library's stack and end the process

MACROS = {"exists": (2,), "all": (2,), "exists_one": (2,), "filter": (2,), "map": (2, 3)}

_TOKEN = re.compile(
    r"""(?P<space>[\s]+|//[^\n]*)
    |(?P<double>(?:[0-9]+\.[0-9]+|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)
    |(?P<int>0x[0-9a-fA-F]+|[0-9]+)
    |(?P<string>[rR](?:'[^'\n]*'|"[^"\n]*")|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign>&&|\|\||[<>=!]=|[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE,
)


class NotAnExpression(ValueError):
    """The text does not parse, or uses what playbooks may not use."""


def parse(text: str) -> Node:
    """The tree of an expression. Raises NotAnExpression."""
    if len(text) > LONGEST:
        raise NotAnExpression(f"it is longer than {LONGEST} characters")
    parser = _Parser(text)
    try:
        node = parser.expression()
    except RecursionError:
        raise NotAnExpression("it is nested too deeply") from None
    if parser.kind != "end":
        parser.fail()
    return node


def end_of_expression(text: str, start: int) -> int:
    """Where the `}}` stands that ends an expression which begins at `start`, or -1."""
    depth, place = 0, start
    while place < len(text):
        if depth == 0 and text.startswith("}}", place):
            return place
        found = _TOKEN.match(text, place)
        if found is None:
            return -1
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        place = found.end()
    return -1


class _Parser:
    """Recursive descent over CEL's grammar; `kind` and `token` are the token at hand."""

    def __init__(self, text: str) -> None:
        self._text, self._place = text, 0
        self.kind, self.token = "", ""
        self._advance()

    def fail(self, told: str = "") -> NoReturn:
        """Ends the parse with what is wrong at the token at hand."""
        at = f"{self.token!r} is out of place" if self.token else "something is missing at its end"
        raise NotAnExpression(told or at)

    def _advance(self) -> str:
        taken = self.token
        self.kind, self.token = "end", ""
        while self._place < len(self._text):
            found = _TOKEN.match(self._text, self._place)
            if found is None:
                self.fail(f"{self._text[self._place : self._place + 10]!r} is no part of CEL")
            self._place = found.end()
            if found.lastgroup != "space":
                self.kind, self.token = str(found.lastgroup), found[0]
                break
        return taken

    def _at(self, *tokens: str) -> bool:
        return self.kind in ("sign", "name") and self.token in tokens

    def _take(self, token: str) -> None:
        if not self._at(token):
            self.fail()
        self._advance()

    def expression(self) -> Node:
        condition = self._logic("||")
        if not self._at("?"):
            return condition
        self._advance()
        yes = self._logic("||")
        self._take(":")
        return Choice(condition, yes, self.expression())

    def _logic(self, sign: str) -> Node:
        operand = self._relation if sign == "&&" else lambda: self._logic("&&")
        operands = [operand()]
        while self._at(sign):
            self._advance()
            operands.append(operand())
        return operands[0] if len(operands) == 1 else Logic(sign, tuple(operands))

    def _relation(self) -> Node:
        left = self._sum()
        while self._at("<", "<=", ">", ">=", "==", "!=", "in"):
            left = Call(self._advance(), (left, self._sum()))
        return left

    def _sum(self) -> Node:
        left = self._product()
        while self._at("+", "-"):
            left = Call(self._advance(), (left, self._product()))
        return left

    def _product(self) -> Node:
        left = self._unary()
        while self._at("*", "/", "%"):
            left = Call(self._advance(), (left, self._unary()))
        return left

    def _unary(self) -> Node:
        if self._at("!", "-"):
            sign = self._advance()
            return Call("!" if sign == "!" else "-_", (self._unary(),))
        return self._member()

    def _member(self) -> Node:
        node = self._primary()
        while self._at(".", "["):
            if self._advance() == "[":
                node = Index(node, self.expression())
                self._take("]")
                continue
            if self.kind != "name":
                self.fail()
            field = self._advance()
            if not self._at("("):
                node = Select(node, field)
                continue
            arguments = self._arguments(")")
            node = (
                _comprehension(field, node, arguments)
                if field in MACROS
                else Call(field, (node, *arguments))
            )
        return node

    def _arguments(self, closing: str) -> tuple[Node, ...]:
        self._advance()
        found: list[Node] = []
        while not self._at(closing):
            found.append(self.expression())
            if not self._at(","):
                break
            self._advance()
        self._take(closing)
        return tuple(found)

    def _primary(self) -> Node:
        if self.kind in ("int", "double", "string"):
            kind = self.kind
            return Literal(kind, self._advance())
        if self.kind == "name":
            return self._named(self._advance())
        if self._at("("):
            self._advance()
            node = self.expression()
            self._take(")")
            return node
        if self._at("["):
            return Items(self._arguments("]"))
        if not self._at("{"):
            self.fail()
        return self._entries()

    def _named(self, name: str) -> Node:
        if name in ("true", "false"):
            return Literal("bool", name)
        if name == "null":
            self.fail("null compares with nothing: what is not known is left out")
        if not self._at("("):
            return Name(name)
        arguments = self._arguments(")")
        if name != "has":
            return Call(name, arguments)
        if len(arguments) != 1 or not isinstance(arguments[0], Select):
            self.fail("has() asks for one field, as in has(evidence.kafka.lag_total)")
        return Select(arguments[0].operand, arguments[0].field, asked=True)

    def _entries(self) -> Node:
        self._advance()
        found: list[tuple[Node, Node]] = []
        while not self._at("}"):
            key = self.expression()
            self._take(":")
            found.append((key, self.expression()))
            if not self._at(","):
                break
            self._advance()
        self._take("}")
        return Entries(tuple(found))


def _comprehension(macro: str, over: Node, arguments: tuple[Node, ...]) -> Node:
    if len(arguments) not in MACROS[macro] or not isinstance(arguments[0], Name):
        raise NotAnExpression(f"write {macro}(x, ...) with x for an element and what is asked of x")
    return Comprehension(macro, over, arguments[0].name, arguments[1:])
