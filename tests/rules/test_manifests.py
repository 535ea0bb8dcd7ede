"""The objects of prometheus-operator say what the files say that they are made from."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from alerting import manifests
from tests.rules.rulebook import CONFIG, RULE_FILES
from tests.servers.monitoring import run


@pytest.mark.parametrize("path", manifests.files(), ids=lambda path: path.name)
def test_the_files_are_as_they_are_made_now(path: Path) -> None:
    assert path.read_text() == manifests.files()[path], "run `make manifests`"


def test_every_rule_file_is_an_object_with_its_groups() -> None:
    made = yaml.safe_load_all((manifests.MADE / "prometheusrules.yaml").read_text())
    groups = [found["spec"]["groups"] for found in made]
    assert groups == [yaml.safe_load(path.read_text())["groups"] for path in RULE_FILES]


def test_promtool_accepts_the_rules_as_the_operator_writes_them_out(tmp_path: Path) -> None:
    for found in manifests.prometheus_rules():
        path = tmp_path / f"{found['metadata']['name']}.yaml"
        path.write_text(yaml.safe_dump(found["spec"]))
    done = run("promtool", "check", "rules", *sorted(tmp_path.glob("*.yaml")))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_object_read_back_is_the_configuration(tmp_path: Path) -> None:
    made = yaml.safe_load((manifests.MADE / "alertmanagerconfig.yaml").read_text())
    config = yaml.safe_load(CONFIG.read_text())
    del config["global"]
    back = written_out(made["spec"])
    assert back == config
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(back))
    done = run("amtool", "check-config", tmp_path / "alertmanager.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("receiver", "said"),
    [
        pytest.param("slack_configs: []", "slack_configs", id="a receiver that is no webhook"),
        pytest.param("webhook_configs: [{max_alerts: 3}]", "max_alerts", id="an unknown setting"),
    ],
)
def test_what_has_no_form_there_is_refused_and_not_left_out(
    tmp_path: Path, receiver: str, said: str
) -> None:
    path = tmp_path / "alertmanager.yml"
    path.write_text(f"route: {{receiver: a}}\nreceivers:\n- name: a\n  {receiver}\n")
    with pytest.raises(KeyError, match=said):
        manifests.alertmanager_config(path)


def written_out(spec: dict[str, Any]) -> dict[str, Any]:
    """The configuration that the operator makes of it, without its matcher of the namespace."""
    return {
        "route": route(spec["route"]),
        "receivers": [receiver(one) for one in spec["receivers"]],
        "inhibit_rules": [
            {
                "source_matchers": matchers(one["sourceMatch"]),
                "target_matchers": matchers(one["targetMatch"]),
                "equal": one["equal"],
            }
            for one in spec["inhibitRules"]
        ],
    }


def route(made: dict[str, Any]) -> dict[str, Any]:
    names = {"groupBy": "group_by", "groupWait": "group_wait", "groupInterval": "group_interval"}
    found = {names.get(n, n): v for n, v in made.items() if n != "repeatInterval"}
    if "repeatInterval" in made:
        found["repeat_interval"] = made["repeatInterval"]
    if "matchers" in made:
        found["matchers"] = matchers(made["matchers"])
    if "routes" in made:
        found["routes"] = [route(one) for one in made["routes"]]
    return found


def receiver(made: dict[str, Any]) -> dict[str, Any]:
    hooks = []
    for one in made["webhookConfigs"]:
        hook = {"url": one["url"], "send_resolved": one["sendResolved"]}
        if "httpConfig" in one:
            authorization = one["httpConfig"]["authorization"]
            secret = authorization["credentials"]
            file = f"/etc/alertmanager/secrets/{secret['name']}"
            hook["http_config"] = {
                "authorization": {"type": authorization["type"], "credentials_file": file},
                "follow_redirects": one["httpConfig"]["followRedirects"],
            }
        hooks.append(hook)
    return {"name": made["name"], "webhook_configs": hooks}


def matchers(made: list[dict[str, str]]) -> list[str]:
    return [f'{one["name"]}{one["matchType"]}"{one["value"]}"' for one in made]
