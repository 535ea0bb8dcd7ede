"""Log lines and messages of strangers, made fit for a record: one line, bounded,
without secrets, without controls.

Never here: which lines matter.
"""

import re

from service.diagnose.redact import redacted

LONGEST = 300  # characters of a line that is kept
_READ = 2_000  # characters of a line that are looked at
_NAMES = (
    r"[\w.-]*(?:passwo?r?d|passwd|pwd|passphrase|secret|token|api[_-]?key|access[_-]?key"
    r"|private[_-]?key|credential|authorization)[\w.-]*"
)
_PAIR = re.compile(
    rf"""(?i)(["']?{_NAMES}["']?\s*[=:]\s*)"""
    r"""(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|(?:bearer|basic)\s+\S+|[^\s,;&}\]]+)"""
)
_SPOKEN = re.compile(r"(?i)\b(identified\s+by|password\s+is|token\s+is)\s+\S+")
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.*")
_KEYS = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}|\bxox[abpr]-[\w-]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


def safe(text: str, longest: int = LONGEST) -> str:
    """`text` as one line of at most `longest` characters,
    values that follow a secret's name hidden.
    """
    text = _CONTROLS.sub(" ", text[:_READ])
    text = _PAIR.sub(r"\1***", text)
    text = _SPOKEN.sub(r"\1 ***", text)
    text = _KEYS.sub("***", _PEM.sub("***", text))
    text = redacted(text)
    return text if len(text) <= longest else text[: longest - 1] + "…"
