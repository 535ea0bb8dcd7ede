"""Playbook files: every mistake is told at once, with its line and what to write instead."""

from pathlib import Path

import pytest

from service.act import KINDS
from service.diagnose import CHAPTERS
from service.model.action import Mode
from service.model.errors import BadConfig
from service.model.playbook import Budget
from service.playbooks.load import load
from tests.unit.made import GOOD, PLAYBOOKS, ROOT, TARGET, playbooks_in, shipped


def told(folder: Path, *texts: str) -> list[str]:
    with pytest.raises(BadConfig) as caught:
        playbooks_in(folder, *texts)
    return str(caught.value).splitlines()


def line_of(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if part in line)


@pytest.mark.parametrize("path", sorted(PLAYBOOKS.glob("*.yaml")), ids=lambda p: p.name)
def test_the_shipped_playbooks_load(path: Path) -> None:
    assert path.stem in {
        p.source.split("/")[-1].removesuffix(".yaml:1") for p in load(PLAYBOOKS, CHAPTERS, KINDS)
    }


def test_the_shipped_playbook_of_chapter_3_1_is_what_its_file_says() -> None:
    playbook = shipped()
    kill, scale = playbook.remedies
    assert (kill.name, kill.mode, kill.times, kill.verify.within_s) == (
        "kill-runaway-query",
        Mode.AUTO,
        1,
        120.0,
    )
    assert (scale.name, scale.mode, scale.times, scale.verify.settle_s) == (
        "scale-out",
        Mode.AUTO,
        2,
        30.0,
    )
    assert kill.do.args["min_elapsed_s"] == 300.0
    assert playbook.limits.per_target == Budget(4, 3600.0)
    assert playbook.limits.cooldown_s == 120.0
    params = playbook.params_for(TARGET)
    assert params["consumer_group"] == "normalization-consumer"
    assert TARGET.namespace in str(params["series"])


MISTAKES = [
    pytest.param("mode: auto", "mdoe: auto", "mdoe", "did you mean 'mode'?", id="unknown field of a rung"),
    pytest.param("healed:", "cured:", "cured", "unknown field; known are", id="unknown field of the file"),
    pytest.param("kind: Deployment", "sort: Deployment", "sort", "known are kind", id="unknown field of the target"),
    pytest.param("mode: auto", "mode: automatic", "automatic", "'auto'", id="unknown mode"),
    pytest.param(
        "evidence.kafka.lag_growing", "evidence.kafka.lag_grows", "lag_grows",
        "did you mean 'evidence.kafka.lag_growing'?", id="unknown name in a condition",
    ),
    pytest.param(
        "lag_total < 5000", "lag_totl < 5000", "lag_totl", "did you mean 'evidence.kafka.lag_total'?",
        id="unknown name in healed",
    ),
    pytest.param("lag_total < 5000", "lag_total < 'x'", "< 'x'", "mixes types", id="mixed types"),
    pytest.param("when: evidence", "when: has(evidence.kafka.members) && evidence", "when:", "has()",
                 id="has in a rung"),
    pytest.param("do: {scale:", "do: {scael:", "scael", "did you mean 'scale'?", id="unknown action"),
    pytest.param("by: 1", "bye: 1", "bye", "did you mean 'by'?", id="unknown argument"),
    pytest.param("by: 1, ", "", "do:", "needs the argument 'by'", id="missing argument"),
    pytest.param("by: 1", "by: 0", "by: 0", "has to be above 0", id="an argument of zero"),
    pytest.param("by: 1", "by: one", "by: one", "'one' is no int", id="an argument of another type"),
    pytest.param("by: 1", "by: true", "by: true", "is no int", id="a truth as a number"),
    pytest.param("by: 1", "by: 1.5", "by: 1.5", "is no int", id="a fraction as a count"),
    pytest.param("mode: auto", "mode: auto\n    verify: {settle: 30}", "settle: 30", "give a unit: 30s",
                 id="no unit"),
    pytest.param(
        "mode: auto", "mode: auto\n    verify: {within: soon}", "soon", "'soon' is no duration; write 30s",
        id="a duration that is none",
    ),
    pytest.param(
        "healed:", "limits: {per_target: 2}\nhealed:", "per_target", "write COUNT/DURATION, as in 2/1h",
        id="a budget without a window",
    ),
    pytest.param("healed:", "limits: {per_target: 0/1h}\nhealed:", "per_target", "is no budget",
                 id="a budget of none"),
    pytest.param(
        "healed:", "limits: {per_playbook: 5/8d}\nhealed:", "per_playbook", "at most 7d", id="a budget of too long"
    ),
    pytest.param("mode: auto", "mode: auto\n    mode: observe", "mode: observe", "stands here twice",
                 id="a key twice"),
    pytest.param("diagnose: high_latency", "diagnose: perfomance", "perfomance", "did you mean 'performance'?",
                 id="unknown diagnosis"),
    pytest.param("{consumer_group: g}", "{consumer_group: 2026-13-45}", "with:", "month must be in 1..12",
                 id="a date that is none"),
    pytest.param("{consumer_group: g}", "{consumer_group: !!python/name:os.system x}", "with:", "constructor",
                 id="a tag that runs code"),
    pytest.param("{consumer_group: g}", "{}", "with:", "performance needs this parameter", id="missing parameter"),
    pytest.param("{consumer_group: g}", "{consumer_group: g, sample: 5}", "with:", "did you mean 'sample_s'?",
                 id="unknown parameter"),
    pytest.param("{consumer_group: g}", "{consumer_group: g, sample_s: soon}", "with:", "valid number",
                 id="a parameter of another type"),
    pytest.param("alertname=\"ConsumerLagHigh\"", "alertname", "match:", "is no matcher", id="a bad matcher"),
    pytest.param("{{ labels.workload }}", "{{ evidence.workload }}", "target:", "names evidence", id="a bad target"),
    pytest.param("playbook: lag", "playbook: High Lag", "High Lag", "match pattern", id="a name that is none"),
    pytest.param("healed: evidence.kafka.lag_total < 5000\n", "", "playbook: lag", "required", id="no healed"),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "at", "sentence"), MISTAKES)
def test_a_mistake_is_told_with_file_line_and_advice(
    tmp_path: Path, good: str, bad: str, at: str, sentence: str
) -> None:
    text = GOOD.replace(good, bad, 1)
    assert text != GOOD
    lines = told(tmp_path, text)
    found = [line for line in lines if sentence in line]
    assert found, lines
    assert found[0].startswith(f"{tmp_path}/0.yaml:{line_of(text, at)}: ")


def test_all_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    first = GOOD.replace("lag_growing", "lag_grows").replace("scale:", "scael:")
    second = GOOD.replace("playbook: lag", "playbook: other").replace("mode: auto", "mode: maybe")
    lines = told(tmp_path, first, second)
    assert sum("0.yaml" in line for line in lines) == 2
    assert sum("1.yaml" in line for line in lines) == 1


def test_a_rungs_name_may_stand_once_only(tmp_path: Path) -> None:
    rung = GOOD[GOOD.index("  - name") : GOOD.index("healed:")]
    text = GOOD.replace("healed:", rung + "healed:")
    (line,) = told(tmp_path, text)
    assert line.startswith(f"{tmp_path}/0.yaml:11: ")
    assert "'scale-out' is taken by a rung above" in line


def test_a_playbooks_name_may_stand_once_only(tmp_path: Path) -> None:
    (line,) = told(tmp_path, GOOD, GOOD)
    assert line == f"{tmp_path}/1.yaml:1: the name 'lag' is taken by {tmp_path}/0.yaml:1"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("playbook: [", "line 1", id="bad YAML"),
        pytest.param("- a\n- b\n", "a playbook is a map", id="a list"),
        pytest.param("", "a playbook is a map", id="an empty file"),
        pytest.param("a: 1\n---\nb: 2\n", "single document", id="two documents"),
    ],
)
def test_a_file_that_is_no_playbook_is_told(tmp_path: Path, text: str, sentence: str) -> None:
    (line,) = told(tmp_path, text)
    assert line.startswith(f"{tmp_path}/0.yaml")
    assert sentence in line


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(BadConfig, match=r"a\.yaml"):
        load(tmp_path, CHAPTERS, KINDS)


def test_a_folder_without_playbooks_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="no playbook"):
        load(tmp_path, CHAPTERS, KINDS)


def test_both_endings_of_yaml_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(GOOD.replace("playbook: lag", "playbook: other"))
    assert [p.name for p in load(tmp_path, CHAPTERS, KINDS)] == ["lag", "other"]


def test_the_tests_run_on_the_repositorys_own_playbooks() -> None:
    assert PLAYBOOKS == ROOT / "rules" / "playbooks"
