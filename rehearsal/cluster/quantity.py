"""Kubernetes quantities (250m, 1Gi): their value, and the one spelling that the server stores."""

import re
from decimal import ROUND_CEILING, Decimal

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([eE][+-]?\d+|[numkKMGTPE]i?|)")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}

BAD_QUANTITY = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)


def _split(text: str) -> tuple[Decimal, str] | None:
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    number, suffix = Decimal(found[1]), found[2]
    if suffix in _BINARY:
        return number * 1024 ** _BINARY[suffix], "binary"
    if suffix in _DECIMAL:
        return number.scaleb(_DECIMAL[suffix]), "decimal"
    if suffix[:1] in {"e", "E"} and len(suffix) > 1 and not suffix.endswith("i"):
        return number.scaleb(int(suffix[1:])), "decimal"
    return None


def value(text: str) -> Decimal | None:
    """None when it is no quantity."""
    parts = _split(text)
    return None if parts is None else parts[0]


def canonical(text: str) -> str | None:
    """The spelling that comes back: 4096Mi -> 4Gi, 1000m -> 1, 0.5 -> 500m.
    None when it is no quantity.
    """
    parts = _split(text)
    if parts is None:
        return None
    number, family = parts
    if family == "binary" and abs(number) >= 1024:
        return _binary(int(number.to_integral_value(ROUND_CEILING)))
    return _decimal(number)


def _binary(number: int) -> str:
    power = 0
    while number and number % 1024 == 0 and power < len(_BINARY):
        number, power = number // 1024, power + 1
    return f"{number}{['', *_BINARY][power]}"


def _decimal(number: Decimal) -> str:
    whole = int(
        number.scaleb(9).to_integral_value(ROUND_CEILING)
    )  # nano is the finest the server keeps
    exponent = -9
    while whole and whole % 1000 == 0 and exponent < 18:
        whole, exponent = whole // 1000, exponent + 3
    if not whole:
        return "0"
    return f"{whole}{next(suffix for suffix, power in _DECIMAL.items() if power == exponent)}"
