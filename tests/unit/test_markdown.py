"""A decision record as Markdown: everything is on the page,
and nothing that came over the wire is markup on it.
"""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.desk.markdown import code, fenced, link, page

AT = "2026-11-23T20:34:12.000000Z"
LATER = "2026-11-23T20:40:12.000000Z"
NASTY = "\x1b[2J | `x` ```\n# head\n<script>alert(1)</script> [a](javascript:x) @team ![i](http://e/x.png)"


def known(**value: Any) -> dict[str, Any]:
    return {"value": value, "source": "kafka", "at": AT, "took_s": 0.1}


def record(**more: Any) -> dict[str, Any]:
    steps = [
        {"step": "diagnosed", "at": AT, "diagnosis": "high_latency", "took_s": 0.5, "evidence": {
            "kafka": known(lag_total=90000, group="g"),
            "pods": {"reason": "late", "source": "p", "at": AT, "took_s": 1.0, "detail": "no answer"},
        }},
        {"step": "decided", "at": AT, "action": "scale x from 2 to 3", "reason": None, "chosen": "scale-out",
         "considered": [
             {"rung": "kill-query", "when": "evidence.query.longest > 5", "reason": "does_not_hold", "detail": ""},
             {"rung": "scale-out", "when": "evidence.kafka.lag_total > 5", "reason": None, "detail": ""},
         ]},
        {"step": "ruled", "at": AT, "rung": "scale-out", "verdict": "allow", "guard": "all", "mode": "auto",
         "reason": "within_limits", "detail": "", "answers": [
             {"guard": "mode", "reason": None, "detail": ""},
             {"guard": "cooldown", "reason": "cooling_down", "detail": "for 5 s"},
         ]},
        {"step": "acted", "at": AT, "action": "scale x", "result": {
            "applied": "done", "reason": "done", "detail": "taken"}},
        {"step": "read", "at": LATER, "healed": "holds", "in_a_row": 1, "facts": {
            "kafka": {"lag_total": 10, "group": "g"}}},
        {"step": "called", "at": LATER, "say": "look", "commands": ["kubectl get x"]},
    ]  # fmt: skip
    action = {
        "action_id": "act-1", "kind": "scale", "rung": "scale-out", "mode": "auto", "intended_at": AT,
        "request": {"target": "Deployment/a/b", "from_replicas": 2, "to_replicas": 3}, "applied": "done",
        "applied_reason": "done", "applied_detail": "taken", "outcome": "healed", "outcome_reason": "readings_good",
        "outcome_detail": "",
    }  # fmt: skip
    alert = {
        "starts_at": AT, "status": "resolved", "deliveries": 3, "generator_url": "http://prom/graph?x=1",
        "labels": {"alertname": "ConsumerLagHigh", "namespace": "a"},
        "annotations": {"summary": "behind", "runbook_url": "https://runbooks/lag"},
    }  # fmt: skip
    return {
        "id": "inc-1", "playbook": "high-latency", "target": "Deployment/a/b", "state": "closed",
        "reason": "readings_good", "outcome": "healed", "opened_at": AT, "closed_at": LATER, "alerts": [alert],
        "actions": [action], "steps": steps, "more_after": None, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    "part",
    [
        "# Incident `inc-1`",
        "| Lasted | `0:06:00` |",
        "| `2026-11-23 20:34:12` | `ConsumerLagHigh` | `resolved` | `behind` | `namespace=a` |",
        "20:34:12  diagnosed high_latency in 0.50 s",
        "          $ kubectl get x",
        "| `kafka.lag_total` | `90000` | `10` |",
        "| `pods` | `unknown: late no answer` | - |",
        "| `kill-query` | `evidence.query.longest > 5` | `does_not_hold` | - |",
        "| `scale-out` | `evidence.kafka.lag_total > 5` | **chosen** | - |",
        "| `cooldown` | `cooling_down` | `for 5 s` |",
        "| `mode` | `pass` | - |",
        "```diff\n  target: Deployment/a/b\n- replicas: 2\n+ replicas: 3\n```",
        "Outcome: `healed` (`readings_good`)",
        "- Runbook: <https://runbooks/lag>",
        "- Rule: <http://prom/graph?x=1>",
    ],
)
def test_a_page_has_what_a_post_mortem_asks_for(part: str) -> None:
    assert part in page(record())


def test_what_changed_comes_first() -> None:
    rows = re.findall(r"^\| `(kafka\.\w+)`", page(record()), re.MULTILINE)
    assert rows == ["kafka.lag_total", "kafka.group"]


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        pytest.param({"key": "LEVEL", "from_": "INFO", "to": "DEBUG"},
                     ["  key: LEVEL", "- value: INFO", "+ value: DEBUG"], id="a value"),
        pytest.param({"target": "x"}, ["+ target: x"], id="no before"),
    ],
)  # fmt: skip
def test_a_change_is_a_diff(request_: dict[str, Any], told: list[str]) -> None:
    action = record()["actions"][0] | {"request": request_}
    assert "\n".join(["```diff", *told, "```"]) in page(record(actions=[action]))


def test_an_incident_that_nothing_happened_to_yet_has_a_page_too() -> None:
    text = page(record(steps=[], actions=[], alerts=[], closed_at=None, outcome=None, reason=None))
    assert "Nothing has happened yet." in text
    assert "Nothing was changed." in text


def test_nothing_that_came_over_the_wire_is_markup() -> None:
    nasty = record(target=NASTY)
    nasty["alerts"][0]["annotations"] = {"summary": NASTY, "runbook_url": "javascript:alert(1)"}
    nasty["alerts"][0]["labels"] = {"alertname": NASTY, NASTY: NASTY}
    nasty["steps"][0]["evidence"]["kafka"]["value"] = {NASTY: NASTY}
    nasty["steps"][-1] |= {"say": NASTY, "commands": [NASTY]}
    nasty["actions"][0] |= {"applied_detail": NASTY, "request": {"to": NASTY, "from_": NASTY}}
    text = page(nasty)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text.replace("\n", ""))
    outside = outside_of_code(text)
    for bad in ("<script", "javascript:", "@team", "](", "# head", "e/x.png"):
        assert bad not in outside, bad
    assert all(line.startswith("|") for line in outside.splitlines() if "| --- |" in line)


def outside_of_code(text: str) -> str:
    """What a renderer takes for markup: without fenced blocks and code spans,
    as CommonMark finds them.
    """
    kept, fence = [], ""
    for line in text.splitlines():
        opening = re.match("`{3,}", line)
        if fence:
            if line == fence:
                fence = ""
        elif opening and "`" not in line[opening.end() :]:
            fence = opening[0]
        else:
            kept.append(re.sub(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", "", line))
    assert not fence, "a fence is never closed"
    return "\n".join(kept)


@given(st.text(max_size=80) | st.text(alphabet="\\|` a", max_size=12))
def test_a_code_span_holds_any_text_on_one_line(text: str) -> None:
    made = code(text)
    assert "\n" not in made
    assert outside_of_code(made) in ("", "-")
    assert "|" not in re.sub(r"\\[!-/:-@[-`{-~]", "", made)  # as the scanner of rows takes escapes


@given(st.lists(st.text(max_size=40), max_size=4))
def test_a_fence_holds_any_lines(lines: list[str]) -> None:
    assert outside_of_code("\n".join(fenced(lines))) == ""


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://a.b/c?d=e", "<https://a.b/c?d=e>"),
        ("https://a.b/c>[x](y)\n", "<https://a.b/c%3E%5Bx%5D%28y%29%0A>"),
        ("javascript:alert(1)", "`javascript:alert(1)`"),
        ("https://user@evil", "`https://user@evil`"),
    ],
)
def test_a_link_leads_to_the_web_or_is_text(url: str, told: str) -> None:
    assert link(url) == told
