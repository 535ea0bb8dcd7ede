"""Which systems have to agree before a condition holds: what one of them says wrongly
is then no reason to act.

Never here: which system a reading comes from (the chapter knows),
or what needs two of them (the kind of action).
"""

from collections.abc import Mapping

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

WANTED = 2


def agreeing(node: Node, origins: Mapping[str, str]) -> frozenset[str]:
    """The systems without whose word the condition cannot hold.
    Of an `||` only what all of its sides need.
    """
    return _needed(node, origins, True)


def _needed(node: Node, origins: Mapping[str, str], wanted: bool) -> frozenset[str]:
    match node:
        case Logic():
            sides = [_needed(side, origins, wanted) for side in node.operands]
            every = (node.sign == "&&") == wanted  # to be false, one false side of an && is enough
            return frozenset.union(*sides) if every else frozenset.intersection(*sides)
        case Call("!", (operand,)):
            return _needed(operand, origins, not wanted)
        case Choice():
            either = _needed(node.yes, origins, wanted) & _needed(node.no, origins, wanted)
            return _named(node.condition, origins) | either
        case _:
            return _named(node, origins)


def _named(node: Node, origins: Mapping[str, str]) -> frozenset[str]:
    """The systems whose readings an expression names, wherever in it."""
    if isinstance(node, Select) and node.operand == Name("evidence"):
        return frozenset({origins[node.field]} if node.field in origins else ())
    return frozenset[str]().union(*(_named(part, origins) for part in _parts(node)))


def _parts(node: Node) -> tuple[Node, ...]:
    match node:
        case Select():
            return (node.operand,)
        case Index():
            return node.operand, node.index
        case Call():
            return node.arguments
        case Logic():
            return node.operands
        case Choice():
            return node.condition, node.yes, node.no
        case Comprehension():
            return node.over, *node.steps
        case Items():
            return node.items
        case Entries():
            return tuple(part for entry in node.entries for part in entry)
        case Literal() | Name():
            return ()
