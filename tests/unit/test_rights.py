"""The rights of the enabled kinds: enough for what deploy/ ships,
and nothing that no kind asks for.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from service import publish
from service.act import KINDS, rights
from service.act.rights import Accounts
from service.model.action import Mode, Permission
from tests.unit.made import shipped_playbooks

BASE = Path(__file__).resolve().parents[2] / "deploy" / "base" / "rbac.yaml"
NAMESPACE = "carbon-ingestion"


def allowed(rules: Iterable[Mapping[str, Any]]) -> set[tuple[str, str, str]]:
    """Each right as group, resource and verb."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def roles(documents: Iterable[Mapping[str, Any]]) -> dict[str, set[tuple[str, str, str]]]:
    return {
        found["metadata"]["name"]: allowed(found["rules"])
        for found in documents
        if found["kind"] in ("Role", "ClusterRole")
    }


def enabled() -> set[str]:
    """The kinds of all rungs of the shipped playbooks that may ever act."""
    playbooks = shipped_playbooks().values()
    return {r.do.kind.name for p in playbooks for r in p.remedies if r.mode is not Mode.OBSERVE}


def test_deploy_ships_exactly_the_least_rights_that_the_playbooks_need() -> None:
    made = rights.as_yaml(rights.of(KINDS, enabled()), [NAMESPACE], also=publish.needs())
    assert BASE.read_text() == made, "run `make manifests`"


def test_reading_and_acting_are_two_accounts() -> None:
    subjects = {
        found["metadata"]["name"]: found["subjects"][0]["name"]
        for found in yaml.safe_load_all(BASE.read_text())
        if found["kind"].endswith("Binding")
    }
    assert subjects["paramedic-read"] != subjects["paramedic-act"]


def test_the_reading_account_can_change_nothing_whatever_is_enabled() -> None:
    made = roles(rights.manifests(tuple(KINDS.values()), [NAMESPACE], Accounts()))
    assert {verb for _, _, verb in made["paramedic-read"]} == {"get", "list"}
    assert not {resource for _, resource, _ in made["paramedic-read"]} & {"secrets", "pods/exec"}


def test_nobody_may_touch_a_secret_run_a_command_or_delete_more_than_pods() -> None:
    made = roles(rights.manifests(tuple(KINDS.values()), [NAMESPACE], Accounts()))
    every = set().union(*made.values())
    assert not {resource for _, resource, _ in every} & {"secrets", "pods/exec", "*"}
    assert {resource for _, resource, verb in every if verb == "delete"} == {"pods"}
    assert not any(verb in ("*", "escalate", "bind", "impersonate") for _, _, verb in every)


def test_the_accounts_are_apart_and_bound_in_each_namespace() -> None:
    made = rights.manifests(tuple(KINDS.values()), ["a", "b"], Accounts("here", "reads", "acts"))
    bound = [
        (found["metadata"].get("namespace"), found["roleRef"]["name"], found["subjects"][0]["name"])
        for found in made
        if found["kind"].endswith("Binding")
    ]
    assert bound == [
        ("a", "paramedic-read", "reads"),
        ("a", "paramedic-act", "acts"),
        ("b", "paramedic-read", "reads"),
        ("b", "paramedic-act", "acts"),
        (None, "paramedic-nodes", "reads"),
    ]


def test_what_is_not_enabled_gives_no_right() -> None:
    made = roles(rights.manifests(rights.of(KINDS, ["kill_query", "human"]), ["a"], Accounts()))
    assert "paramedic-act" not in made


@pytest.mark.parametrize("name", [n for n, kind in KINDS.items() if not kind.for_people])
def test_every_kind_that_writes_says_what_it_needs(name: str) -> None:
    kind = KINDS[name]
    verbs = {v for need in kind.needs if isinstance(need, Permission) for v in need.verbs}
    assert rights.grants([kind], "u") or verbs & {"patch", "delete", "create"}


def test_grants_are_narrowed_to_the_databases_where_a_right_allows_it() -> None:
    kinds = rights.of(KINDS, ["kill_query", "backup_database", "drop_partitions"])
    made = rights.grants(kinds, "acts`x", ["carbon"])
    assert "GRANT BACKUP ON `carbon`.* TO `acts\\`x`" in made
    assert "GRANT ALTER DELETE ON `carbon`.* TO `acts\\`x`" in made
    assert "GRANT KILL QUERY ON *.* TO `acts\\`x`" in made
    assert "GRANT SELECT ON system.backups TO `acts\\`x`" in made
