"""What the tests here read: the catalogue, the rule files, their promtool tests,
the runbooks. No test lives here.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "rules" / "prometheus"
CONFIG = ROOT / "alerting" / "alertmanager" / "alertmanager.yml"
RULE_FILES = sorted(RULES.glob("*.rules.yaml"))
TEST_FILES = sorted((RULES / "tests").glob("*.test.yaml"))
BASE_URL = "https://github.com/paramedic/paramedic/blob/main/"


@dataclass(frozen=True)
class Alert:
    """One alert of the catalogue, with its rule, as far as there is one."""

    name: str
    chapter: str
    file: str
    extra: bool
    absence: str
    rule: dict[str, Any] | None


@cache
def catalogue() -> dict[str, Any]:
    """rules/catalogue.yaml."""
    return dict(yaml.safe_load((ROOT / "rules" / "catalogue.yaml").read_text()))


@cache
def rules() -> tuple[tuple[str, dict[str, Any]], ...]:
    """Every rule of every file, with the file's name without its ending."""
    return tuple(
        (path.name.split(".")[0], rule)
        for path in RULE_FILES
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    )


@cache
def alerts() -> tuple[Alert, ...]:
    """Every alert of the catalogue."""
    by_name = {rule["alert"]: rule for _, rule in rules() if "alert" in rule}
    return tuple(
        Alert(
            name=row["name"],
            chapter=chapter["slug"],
            file=chapter["rules"],
            extra=row.get("extra", False),
            absence=row.get("absence", ""),
            rule=by_name.get(row["name"]),
        )
        for chapter in catalogue()["chapters"]
        for row in chapter["alerts"]
    )


@cache
def cases(file: str) -> tuple[dict[str, Any], ...]:
    """The promtool tests of one rule file."""
    document = yaml.safe_load((RULES / "tests" / f"{file}.test.yaml").read_text())
    return tuple(document["tests"])


@cache
def own() -> tuple[Alert, ...]:
    """Paramedic's alerts on itself."""
    by_name = {rule["alert"]: rule for _, rule in rules() if "alert" in rule}
    told = catalogue()["own"]
    return tuple(
        Alert(a["name"], "paramedic", told["rules"], False, a["absence"], by_name.get(a["name"]))
        for a in told["alerts"]
    )


def case(alert: Alert, name: str) -> dict[str, Any] | None:
    """The promtool test "<alert>: <name>", or None."""
    return next((t for t in cases(alert.file) if t["name"] == f"{alert.name}: {name}"), None)


def expected(test: dict[str, Any], alert: Alert) -> list[list[dict[str, Any]]]:
    """What a promtool test expects of `alert`, look by look."""
    return [
        look["exp_alerts"] for look in test["alert_rule_test"] if look["alertname"] == alert.name
    ]


def records() -> dict[str, list[str]]:
    """The expressions of each recording rule."""
    found: dict[str, list[str]] = {}
    for _, rule in rules():
        if "record" in rule:
            found.setdefault(rule["record"], []).append(str(rule["expr"]))
    return found


WORDS = {
    "and",
    "or",
    "unless",
    "bool",
    "by",
    "on",
    "without",
    "ignoring",
    "group_left",
    "group_right",
    "offset",
}
LISTS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
NAMES = re.compile(r"(?<![\w:.])([a-zA-Z_:][\w:]*)(?![\w:]*\s*\()")
BY_NAME = re.compile(r'__name__=~"(\w+)\.\+"')


def metrics(expr: str) -> set[str]:
    """The metrics that an expression reads; of a selector by name,
    the common beginning with a star.
    """
    found = {f"{prefix}*" for prefix in BY_NAME.findall(expr)}
    text = re.sub(r'"(?:[^"\\]|\\.)*"', "", expr)
    text = LISTS.sub(" ", re.sub(r"\{[^}]*\}", "", text))
    text = re.sub(
        r"\[[^\]]*\]|\b(?:by|without|max|min|sum|count|topk)\b(?=\s*(?:by|without|\())", "", text
    )
    return found | {
        n for n in NAMES.findall(text) if n not in WORDS and n not in {"max", "min", "sum", "count"}
    }


def raw_metrics(expr: str) -> set[str]:
    """The exporters' metrics behind an expression, through every recording rule in between."""
    known, found, todo = records(), set[str](), [expr]
    seen: set[str] = set()
    while todo:
        for name in metrics(todo.pop()):
            if name in known:
                todo += known[name] if name not in seen else []
                seen.add(name)
            else:
                found.add(name)
    return found


def slugs(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a Markdown page."""
    found: set[str] = set()
    for line in re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S).splitlines():
        if heading := re.match(r"#{1,6}\s+(.*?)\s*#*$", line):
            text = re.sub(
                r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            )
            slug = text.replace(" ", "-")
            count = 1
            while slug in found:  # GitHub numbers a heading that was there before
                slug, count = f"{text.replace(' ', '-')}-{count}", count + 1
            found.add(slug)
    return found
