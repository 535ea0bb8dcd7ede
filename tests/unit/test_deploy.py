"""What deploy/ gives the service: settings that there are, files where they say,
and every backend that is read.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.model.errors import BadConfig
from service.settings import Settings
from service.web.credentials import Role
from service.web.people import people, who

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
BASE = DEPLOY / "base" / "paramedic.yaml"
# What has an address or a file of its own, and is evidence of some chapter.
BACKENDS = ("kafka__bootstrap", "clickhouse__host", "prometheus__url", "schema_registry__url")


def objects(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text()))


def example() -> dict[str, Any]:
    """The Secret of people, as it is to be filled in."""
    (secret,) = objects(DEPLOY / "example" / "people.yaml")
    return secret


def shipped() -> dict[str, str]:
    """The settings of the ConfigMap, by their names without the prefix."""
    found = [o for o in objects(BASE) if o["kind"] == "ConfigMap"]
    (settings,) = [o["data"] for o in found if o["metadata"]["name"] == "paramedic"]
    return {name.removeprefix("PARAMEDIC_").lower(): value for name, value in settings.items()}


def test_every_setting_that_is_shipped_is_one() -> None:
    for name in shipped():
        group, _, field = name.partition("__")
        assert group in Settings.model_fields, name
        if field:
            kind = Settings.model_fields[group].annotation
            assert kind is not None
            assert field in kind.model_fields, name


def test_every_backend_that_a_chapter_reads_is_named() -> None:
    assert set(BACKENDS) <= set(shipped())


def test_every_file_that_is_set_lies_in_a_volume_and_is_a_key_of_what_is_mounted() -> None:
    (pod,) = [o["spec"]["template"]["spec"] for o in objects(BASE) if o["kind"] == "Deployment"]
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounted = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    keys = {"paramedic-token": {"token"}, "paramedic-people": set(example()["stringData"])}
    files = [Path(text) for name, text in shipped().items() if name.endswith("_file")]
    assert len(files) == 2
    for file in files:
        secret = mounted[str(file.parent)]["secret"]["secretName"]
        assert file.name in keys[secret], f"{secret} has no {file.name}"
    assert not [m for m in container["volumeMounts"] if "subPath" in m]  # it would never be renewed


def test_the_example_of_people_has_no_credentials_and_is_refused_as_it_stands(
    tmp_path: Path,
) -> None:
    file = tmp_path / "people.yaml"
    file.write_text(example()["stringData"]["people.yaml"])
    with pytest.raises(BadConfig) as refused:
        people(file)
    lines = str(refused.value).splitlines()
    assert [line.partition(": ")[2][:8] for line in lines] == ["`sha256`"] * 3


def test_the_example_of_people_is_right_once_its_digests_are_filled_in(tmp_path: Path) -> None:
    def digest(found: re.Match[str]) -> str:
        return hashlib.sha256(found.group().encode()).hexdigest()

    file = tmp_path / "people.yaml"
    file.write_text(re.sub("DIGEST-[A-Z-]+", digest, example()["stringData"]["people.yaml"]))
    everybody = {person.name: person.roles for person in people(file)}
    assert everybody == {
        "anna": {Role.READ, Role.OPERATE, Role.APPROVE},
        "ben": {Role.READ, Role.APPROVE},
        "carla": {Role.READ},
    }
    found = who(people(file), "DIGEST-OF-BENS-TOKEN")
    assert found is not None
    assert found.name == "ben"


def test_the_example_is_not_deployed_with_the_rest() -> None:
    (kustomization,) = objects(BASE.parent / "kustomization.yaml")
    assert not [resource for resource in kustomization["resources"] if "example" in resource]
    secrets = [o for o in objects(BASE) if o["kind"] == "Secret"]
    assert not [s for s in secrets if s.get("data") or s.get("stringData")]
