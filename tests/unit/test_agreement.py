"""What is disruptive rests on two systems that agree: which ones a condition needs,
and what `check` says without.
"""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from service.act import KINDS
from service.diagnose import CHAPTERS
from service.diagnose.chapter import Look
from service.diagnose.origin import origins
from service.diagnose.sources import Sources
from service.kit.clock import SystemClock
from service.kit.deadline import Deadline
from service.model.errors import BadConfig
from service.model.evidence import Evidence
from service.playbooks.agreement import agreeing
from service.playbooks.load import load
from service.playbooks.syntax import parse
from tests.unit.made import TARGET

ORIGINS = {"pods": "kubernetes", "logs": "kubernetes", "kafka": "kafka", "series": "prometheus"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("evidence.pods.ready < 1", {"kubernetes"}),
        ("evidence.pods.ready < 1 && evidence.logs.errors > 0", {"kubernetes"}),
        ("evidence.pods.ready < 1 && evidence.kafka.lag > 0", {"kubernetes", "kafka"}),
        ("evidence.pods.ready < evidence.kafka.members", {"kubernetes", "kafka"}),
        ("evidence.pods.ready < 1 || evidence.kafka.lag > 0", set()),
        ("(evidence.pods.a || evidence.kafka.b) && evidence.series.x > 1.0", {"prometheus"}),
        ("(evidence.pods.a && evidence.kafka.b) || (evidence.kafka.c && evidence.series.x > 1.0)", {"kafka"}),
        ("!(evidence.pods.a || evidence.kafka.b)", {"kubernetes", "kafka"}),
        ("!(evidence.pods.a && evidence.kafka.b)", set()),
        ("!!(evidence.pods.a && evidence.kafka.b)", {"kubernetes", "kafka"}),
        ("evidence.pods.a ? evidence.kafka.b : evidence.series.c", {"kubernetes"}),
        ("evidence.pods.a ? evidence.kafka.b : evidence.kafka.c", {"kubernetes", "kafka"}),
        ("evidence.pods.items.exists(p, p.name == evidence.kafka.name)", {"kubernetes", "kafka"}),
        ("evidence.kafka.name in [evidence.pods.name]", {"kubernetes", "kafka"}),
        ("evidence.pods.by[evidence.kafka.name] == 'x'", {"kubernetes", "kafka"}),
        ("before.kafka.lag > 1 && evidence.pods.a", {"kubernetes"}),
        ("evidence.unheard.of && evidence.pods.a", {"kubernetes"}),
        ("size({'a': evidence.kafka.b}) > 0", {"kafka"}),
        ("true", set()),
    ],
)  # fmt: skip
def test_a_condition_needs_the_word_of_those_without_whom_it_cannot_hold(
    text: str, expected: set[str]
) -> None:
    assert agreeing(parse(text), ORIGINS) == expected


PLAYBOOK = """
playbook: toy
match: ['alertname="X"']
target: {{kind: StatefulSet, namespace: "{{{{ labels.namespace }}}}", name: "{{{{ labels.workload }}}}"}}
diagnose: {chapter}
with: {parameters}
remedies:
  - name: act
    when: {when}
    do: {do}
healed: evidence.pods.ready == evidence.pods.{all}
"""
DELETE = '{delete_pod: {pod: "{{ evidence.pods.stuck }}", uid: "{{ evidence.pods.stuck_uid }}"}}'
STUCK = "\"evidence.pods.stuck != ''\""


def loaded(folder: Path, chapter: str, when: str, do: str) -> None:
    every = {"kafka": "total"}.get(chapter, "desired")
    given = {"kafka": "{broker_pods: StatefulSet/kafka}"}.get(chapter, "{}")
    text = PLAYBOOK.format(chapter=chapter, parameters=given, when=when, do=do, all=every)
    (folder / "0.yaml").write_text(text)
    load(folder, CHAPTERS, KINDS)


def test_a_disruptive_rung_on_one_source_is_a_mistake_with_its_line_and_who_could_agree(
    tmp_path: Path,
) -> None:
    told = (
        r"0\.yaml:9: remedies\.0\.when: delete_pod is disruptive here, and its condition rests on kubernetes alone; "
        r"let a second one agree: kafka"
    )
    with pytest.raises(BadConfig, match=told):
        loaded(tmp_path, "kafka", STUCK, DELETE)


def test_with_a_second_source_that_agrees_it_is_good(tmp_path: Path) -> None:
    agreed = STUCK.replace('"evidence', '"evidence.brokers.offline == 0 && evidence')
    loaded(tmp_path, "kafka", agreed, DELETE)


def test_a_restart_is_disruptive_where_data_is_kept_and_not_elsewhere(tmp_path: Path) -> None:
    down = '"evidence.pods.ready == 0"'
    loaded(tmp_path, "service_restarts", down, "{rollout_restart: {}}")
    with pytest.raises(BadConfig, match="rollout_restart is disruptive here"):
        loaded(tmp_path, "clickhouse", down, "{rollout_restart: {}}")


def test_a_condition_that_is_wrong_anyway_is_told_once(tmp_path: Path) -> None:
    with pytest.raises(BadConfig) as caught:
        loaded(tmp_path, "kafka", "\"evidence.pods.stuk != ''\"", DELETE)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_reading_comes_from_the_system_that_its_type_is_listed_with(name: str) -> None:
    chapter = CHAPTERS[name]
    given: dict[str, Any] = {}
    for field in dataclasses.fields(chapter.parameters):
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            given[field.name] = "x" if field.type in ("str", str) else ()
    look = Look(Sources(), TARGET, Deadline.after(30.0), SystemClock(), lambda *told: None)

    async def diagnose() -> Evidence:
        seen: Evidence = await chapter.diagnose(look, chapter.parameters(**given))
        return seen

    seen = asyncio.run(diagnose())
    found = {reading: value.source for reading, value in seen.readings().items()}
    assert found == dict(origins(chapter.evidence))


def test_what_deletes_drops_or_restores_is_disruptive() -> None:
    assert {name for name, kind in KINDS.items() if kind.disruptive} >= {
        "delete_pod", "drop_partitions", "restore_database", "operator_restart",
    }  # fmt: skip
