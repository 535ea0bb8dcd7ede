"""Texts that others wrote, without their secrets and short enough for a record:
query texts and log lines.

A query text is for recognising a query, not for reading it: every literal in it is hidden,
whatever its name, and numbers, identifiers and keywords stay. A log line is for reading:
what follows a secret's name is hidden, and what looks like a credential by itself. Labels
and annotations are lines with a name each.
Never here: deciding what is shown where.
"""

import re
import unicodedata
from collections.abc import Mapping

MAX_TEXT = 500
MAX_LINE = 1000
HIDDEN = "***"

# What ClickHouse's lexer takes for one token that may hold anything: comments (dropped),
# literals (hidden), and quoted identifiers. One that is cut off reaches to the end of the text.
_TOKEN = re.compile(
    r"""
    (?P<comment>  --[^\n]*  |  /\*.*?(?:\*/|\Z)  |  \#[ !][^\n]* )
  | (?P<single>   '(?:[^'\\]|\\.|'')*(?:'|\\?\Z) )
  | (?P<double>   "(?:[^"\\]|\\.|"")*(?:"|\\?\Z) )
  | (?P<curly>    \u2018[^\u2019]*(?:\u2019|\Z)  |  \u201c[^\u201d]*(?:\u201d|\Z) )
  | (?P<backtick> `(?:[^`\\]|\\.|``)*(?:`|\\?\Z) )
  | (?P<heredoc>  (?<![\w$])\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z) )
    """,
    re.VERBOSE | re.DOTALL,
)
_PLAIN_NAME = re.compile(r"`[A-Za-z_][\w.]{0,63}`")
# From here on an INSERT carries rows, in a form of its own and perhaps without quotes.
_ROWS = re.compile(r"(?is)^(\W*insert\b.*?\b(?:values|format\s+\w+))\b.*")
_HEX = re.compile(r"(?i)\b0x[0-9a-f]{9,}")

_SECRET = re.compile(
    r"(?i)password|passwd|passphrase|pwd|secret|token|credential|authorization|cookie|jaas"
    r"|(?:api|access|private|encryption|signing|account|shared|aes|ssh)[_.-]?key"
)
_HEADER = re.compile(r"(?i)-*(?:(?:proxy-)?authorization|(?:set-)?cookie)")
# A name and what stands between it and its value. Possessive:
# each character of a long line is looked at once.
_NAMED_IN_SQL = re.compile(
    r"(?i)(?<![\w.-])(?P<name>[\w.-]++)\s*+(?:=+|!=|<>|:|i?like\b|in\b|by\b)\s*+\(?\s*+"
)
_NAMED_IN_LINE = re.compile(
    r"(?<![\w.-])(?P<name>[\w.-]++)(?P<between>\\*+[\"']?\s*+[:=]>?\s*+|\s++)"
)
_WORD = re.compile(r"[\w$./+-]+")
_VALUE = re.compile(
    r"\\+\"(?:(?!\\+\").)*(?:\\+\"|\Z)|\"(?:[^\"\\]|\\.)*(?:\"|\\?\Z)|'(?:[^'\\]|\\.|'')*(?:'|\\?\Z)"
    r"|[^\s,;&\"')}\]]+"
)
_HEADERS_VALUE = re.compile(r"(?P<quote>\\*[\"']?)[^\"'\\\n]+")
_IDENTIFIED = re.compile(r"(?i)\b(identified\b[\w\s]{0,60}?\bby\s+)[\w$./+-]+")
_URL = re.compile(r"://([^\s'\"<>]*+)")
_KNOWN_FORMS = re.compile(
    r"\beyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){0,4}"  # JWT
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12,}"  # AWS
    r"|\b(?:gh[pousr]_|github_pat_|glpat-|glsa_|xox[abprs]-|sk-|npm_|pypi-|hvs\.)[A-Za-z0-9_-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
_SCHEME = re.compile(r"(?i)\b(bearer|basic|digest|negotiate|token)\s+[A-Za-z0-9._~+/=-]{6,}")
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|(?:\x1b[\]P^_X]|[\x9d\x90\x9e\x9f\x98]).*?(?:\x07|\x1b\\|\x9c|\Z)"  # titles, links
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)


def redacted(text: str) -> str:
    """A query text on one line, all its literals hidden and its comments dropped,
    at most MAX_TEXT characters.
    """
    text = _TOKEN.sub(_without_content, _without_invisible(text[: 20 * MAX_TEXT]))
    text = _ROWS.sub(rf"\1 {HIDDEN}", text)
    text = _HEX.sub(HIDDEN, text)
    # In SQL a secret without quotes is a mistake, but it is recorded all the same.
    text = _IDENTIFIED.sub(rf"\1{HIDDEN}", _without_named(text, _NAMED_IN_SQL, _WORD))
    return _bounded(_without_forms(text), MAX_TEXT)


def redacted_line(text: str) -> str:
    """A log line as one printable line without what looks like a secret,
    at most MAX_LINE characters.
    """
    text = _without_invisible(_ESCAPES.sub("", text[: 20 * MAX_LINE]))
    return _bounded(_without_forms(_without_named(text, _NAMED_IN_LINE, _VALUE)), MAX_LINE)


def redacted_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels or annotations of an alert: what a name says is a secret is hidden,
    the others are lines as above.
    """
    return {
        name: HIDDEN if _SECRET.search(name) and value else redacted_line(value)
        for name, value in labels.items()
    }


def _without_named(text: str, named: re.Pattern[str], value: re.Pattern[str]) -> str:
    """The text with the value hidden that follows the name of a secret."""
    parts, end = [], 0
    for found in named.finditer(text):
        name = found["name"]
        if found.start() < end or not _SECRET.search(name):
            continue
        if found.re is _NAMED_IN_LINE and found["between"].isspace() and name[0] != "-":
            continue  # only an option of a command takes its value after a space
        is_header = found.re is _NAMED_IN_LINE and _HEADER.fullmatch(name)
        secret = (_HEADERS_VALUE if is_header else value).match(text, found.end())
        if secret:
            parts += [text[end : found.end()], HIDDEN]
            end = secret.end()
    return "".join(parts) + text[end:]


def _without_forms(text: str) -> str:
    """The text without what is a credential by its form, whatever stands before it."""
    text = _SCHEME.sub(rf"\1 {HIDDEN}", _KNOWN_FORMS.sub(HIDDEN, text))
    return _URL.sub(_without_userinfo, text)


def _without_userinfo(url: re.Match[str]) -> str:
    # To the last @, for a password may hold one: an address in a path goes with
    # it, and that is no loss.
    return f"://{HIDDEN}@{url[1].rpartition('@')[2]}" if "@" in url[1] else url[0]


def _without_content(token: re.Match[str]) -> str:
    if token["comment"] is not None:
        return " "
    if token["double"] is not None:  # an identifier here, a value in other dialects: nobody knows
        return f'"{HIDDEN}"'
    if token["backtick"] is not None:
        return token[0] if _PLAIN_NAME.fullmatch(token[0]) else f"`{HIDDEN}`"
    return f"'{HIDDEN}'"


def _without_invisible(text: str) -> str:
    """Control characters are spaces; what has no width or turns the direction is gone."""
    kept = []
    for character in text:
        kind = unicodedata.category(character)
        if character == "\n" or kind not in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co"):
            kept.append(character)
        elif kind in ("Cc", "Zl", "Zp"):
            kept.append(" ")
    return "".join(kept)


def _bounded(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
