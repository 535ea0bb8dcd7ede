"""Quantities of Kubernetes (512Mi, 1.5G, 1e9, 250m): their value,
and a spelling that the server keeps as it is.

Pure. Never here: what a quantity is for.
"""

import re
from decimal import ROUND_CEILING, Decimal

_FORM = re.compile(
    r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))([eE][+-]?[0-9]{1,2}|[KMGTPE]i|[numkMGTPE]|)"
)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_LONGEST = 40  # characters; nobody writes a longer one

KI, MI = 1024, 1024**2


def value(text: str) -> Decimal | None:
    """The value in units, None where the server would not read it as a
    quantity: `8 Gi`, `8gb`, `-`.
    """
    found = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        return None
    number, suffix = Decimal(found[1]), found[2]
    if suffix in _BINARY:
        return number * Decimal(1024) ** _BINARY[suffix]
    if suffix in _DECIMAL:
        return number.scaleb(_DECIMAL[suffix])
    return number.scaleb(int(suffix[1:]))


def size(text: str) -> int | None:
    """Bytes of memory, rounded up; None for what is no quantity or lacks its unit.

    Kubernetes takes `8` and `512m` for 8 bytes and half a byte. No container runs in less than 1Mi,
    so whoever says that has forgotten the unit.
    """
    found = value(text)
    if found is None or found < MI:
        return None
    return int(found.to_integral_value(ROUND_CEILING))


def spelled(size_bytes: int) -> str:
    """The shortest binary spelling: 2147483648 is 2Gi. The server keeps it
    for every multiple of 1Ki.
    """
    power = 0
    while size_bytes and size_bytes % KI == 0 and power < len(_BINARY):
        size_bytes, power = size_bytes // KI, power + 1
    return f"{size_bytes}{['', *_BINARY][power]}"
