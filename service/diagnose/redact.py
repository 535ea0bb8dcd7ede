"""Query texts without their secrets, short enough for a record.

Called by: probes/clickhouse_load.py. Never here: deciding what is shown where.
"""

import re

MAX_TEXT = 500
HIDDEN = "'***'"
_LITERAL = re.compile(r"'(?:[^'\\]|\\.|'')*'?")  # the last one may be cut off
_NAME = (
    r"(?:identified(?:\s+with\s+\w+)?\s+by"
    r"|\w*(?:password|passwd|pwd|secret|token|api_?key|access_?key|credential|authorization)\w*)"
)
_NAMED = re.compile(rf"(?i)\b{_NAME}[\s=:,(]*$")  # stands right before a literal
_IS_NAME = re.compile(rf"(?i)'{_NAME}'")  # a key of a map: the next literal is its value
# Table functions and engines whose arguments hold credentials: all their literals go.
_FUNCTION = re.compile(
    r"(?i)\b((?:s3|gcs|cosn|oss|azureblobstorage|mysql|postgresql|mongodb|redis|remote|jdbc|odbc|url|hdfs|iceberg"
    r"|deltalake|hudi)\w*\s*\()((?:[^()']|'(?:[^'\\]|\\.|'')*'?)*)"
)
_URL = re.compile(r"(\w+://)[^/\s'@]+@")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?")


def redacted(text: str) -> str:
    """`text` on one line, with literals that follow a secret's name hidden, at most MAX_TEXT characters."""
    text = _without_named(text[: 20 * MAX_TEXT])
    text = _FUNCTION.sub(lambda m: m[1] + _LITERAL.sub(HIDDEN, m[2]), text)
    text = _URL.sub(r"\1***@", text)
    text = _BEARER.sub(r"\1 ***", text)
    text = " ".join(_JWT.sub("***", text).split())
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _without_named(text: str) -> str:
    parts, end, named = [], 0, False
    for literal in _LITERAL.finditer(text):
        before = text[end : literal.start()]
        hide = _NAMED.search(before) is not None or (named and before.strip(" ,:=\t\n") == "")
        parts += [before, HIDDEN if hide else literal[0]]
        end, named = literal.end(), not hide and _IS_NAME.fullmatch(literal[0]) is not None
    return "".join(parts) + text[end:]
