"""Conditions that ask nothing: whatever the evidence, their answer is the same.

Never here: types and names (inference.py).
"""

from service.playbooks.tree import Call, Choice, Literal, Logic, Node


def constant(node: Node) -> bool | None:
    """The one answer that the condition ever has, or None where it depends on something."""
    match node:
        case Literal("bool", text):
            return text == "true"
        case Call("!", (operand,)):
            inner = constant(operand)
            return None if inner is None else not inner
        case Call("==" | "<=" | ">=", (left, right)) if left == right:
            return True
        case Call("!=" | "<" | ">", (left, right)) if left == right:
            return False
        case Call("==" | "!=" as sign, (Literal() as left, Literal() as right)):
            return (left.text == right.text) == (sign == "==")
        case Logic(sign, operands):
            return _logic(sign, [constant(o) for o in operands])
        case Choice(condition, yes, no):
            return _choice(constant(condition), constant(yes), constant(no))
        case _:
            return None


def _logic(sign: str, answers: list[bool | None]) -> bool | None:
    decides = sign == "||"  # one true decides an `||`, one false an `&&`
    if decides in answers:
        return decides
    return None if None in answers else not decides


def _choice(condition: bool | None, yes: bool | None, no: bool | None) -> bool | None:
    if condition is None:
        return yes if yes == no else None
    return yes if condition else no
