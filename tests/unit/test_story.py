"""A decision record as text: every step is told, and what came over the wire
cannot steer the terminal.
"""

from typing import Any

import pytest

from service.desk.story import listing, step_lines, story

AT = "2026-11-23T20:34:12.000000Z"
STEPS: list[tuple[dict[str, Any], list[str]]] = [
    (
        {
            "step": "diagnosed", "diagnosis": "high_latency", "took_s": 0.5,
            "evidence": {
                "kafka": {"value": {"lag_total": 5, "rate": 0.123456, "lag_by_partition": {}}, "source": "k",
                          "at": AT, "took_s": 0.1},
                "pods": {"reason": "late", "source": "p", "at": AT, "took_s": 1.0, "detail": "no answer in time"},
            },
        },
        ["diagnosed high_latency in 0.50 s", "lag_total=5", "rate=0.123", "pods: UNKNOWN, late: no answer in time"],
    ),
    (
        {
            "step": "decided", "action": "scale x from 2 to 3", "reason": None,
            "considered": [
                {"rung": "kill", "when": "", "reason": "does_not_hold", "detail": ""},
                {"rung": "scale", "when": "", "reason": None, "detail": "scale x"},
            ],
        },
        ["decided: scale x from 2 to 3", "kill: does_not_hold", "scale: CHOSEN scale x"],
    ),
    ({"step": "decided", "action": None, "reason": "no_rung_holds", "considered": []}, ["nothing (no_rung_holds)"]),
    (
        {"step": "ruled", "guard": "cooldown", "verdict": "deny", "reason": "cooling_down", "detail": "for 5 s"},
        ["guard cooldown: deny (cooling_down) for 5 s"],
    ),
    (
        {"step": "acted", "action": "scale x", "result": {"applied": "done", "reason": "done", "detail": "2 -> 3"}},
        ["acted: scale x: done (done) 2 -> 3"],
    ),
    (
        {"step": "tried", "action": "scale x", "reason": "unreachable", "detail": "refused", "again_at": AT},
        ["tried: scale x: (unreachable) refused; asked again at 20:34:12"],
    ),
    (
        {"step": "called", "say": "raise the limit", "commands": ["kubectl get x\nkubectl set y"]},
        ["a person is called: raise the limit", "$ kubectl get x", "$ kubectl set y"],
    ),
    (
        {"step": "again", "times": 7, "last_at": AT, "last": {"moved": {"reason": "no_rung_holds"}}},
        ["looked again 7x, last at 20:34:12, nothing changed (no_rung_holds)"],
    ),
    ({"step": "read", "healed": "holds", "in_a_row": 2, "facts": {}}, ["healed holds, 2 in a row"]),
    (
        {"step": "verified", "outcome": {"kind": "healed", "reason": "readings_good", "detail": "d"}},
        ["verified: healed (readings_good) d"],
    ),
    ({"step": "moved", "state": "closed", "reason": "readings_good", "detail": "d"},
     ["now closed (readings_good) d"]),
    ({"step": "of a later version", "x": 1}, ["'x': 1"]),
]  # fmt: skip


def record(**more: Any) -> dict[str, Any]:
    alert = {
        "starts_at": AT, "status": "firing", "deliveries": 3, "labels": {"alertname": "ConsumerLagHigh"},
        "annotations": {"summary": "behind"},
    }  # fmt: skip
    return {
        "id": "inc-1", "playbook": "high-latency", "target": "Deployment/a/b", "state": "open", "reason": None,
        "outcome": None, "opened_at": AT, "closed_at": None, "alerts": [alert], "steps": [], **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("step", "parts"), STEPS, ids=[s["step"] + str(n) for n, (s, _) in enumerate(STEPS)]
)
def test_each_step_is_told_with_its_reason(step: dict[str, Any], parts: list[str]) -> None:
    head, *below = step_lines({"at": AT, **step})
    assert head.startswith("20:34:12  ")
    assert all(line.startswith("          ") for line in below)
    text = "\n".join([head, *below])
    assert all(part in text for part in parts), text


def test_the_story_begins_with_what_where_and_how_it_stands() -> None:
    text = story(record(state="closed", reason="readings_good", outcome="healed", closed_at=AT))
    assert text.splitlines()[0] == "inc-1: high-latency on Deployment/a/b"
    assert "outcome healed, opened 2026-11-23 20:34:12, closed 2026-11-23 20:34:12 (UTC)" in text
    assert "alert ConsumerLagHigh firing, seen 3x  behind" in text


def test_an_escalated_incident_says_whose_it_is() -> None:
    assert "it is yours" in story(record(state="escalated", reason="human_needed"))
    assert "it is yours" not in story(record(state="healed", reason="readings_good"))


def test_an_incident_that_nothing_happened_to_yet_is_told_too() -> None:
    assert "open (new), outcome none" in story(record())


def test_what_an_alert_says_cannot_steer_the_terminal() -> None:
    nasty = record()["alerts"][0] | {
        "annotations": {"summary": "\x1b[2J\x1b]0;owned\x07\r\nfake line\x9b1m"}
    }
    step = {
        "at": AT,
        "step": "moved",
        "state": "open",
        "reason": "x",
        "detail": "\x1b[31m\nnow closed",
    }
    text = story(record(alerts=[nasty], steps=[step]))
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text.replace("\n", ""))
    assert not any(line.startswith(("fake line", "now closed")) for line in text.splitlines())


def test_a_listing_has_a_line_an_incident() -> None:
    assert listing([]) == "no incidents"
    (line,) = listing([record()]).splitlines()
    assert all(
        part in line for part in ("inc-1", "open", "high-latency", "Deployment/a/b", "(new)")
    )


def test_a_target_cannot_steer_the_terminal_either() -> None:
    assert "\x1b" not in listing([record(target="Deployment/a/\x1b[2J")])
