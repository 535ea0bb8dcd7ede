"""What deploy/ gives the service: settings that there are, and every backend that a chapter reads."""

from pathlib import Path

import yaml

from service.settings import Settings

BASE = Path(__file__).resolve().parents[2] / "deploy" / "base" / "paramedic.yaml"
# What has an address or a file of its own, and is evidence of some chapter.
BACKENDS = ("kafka__bootstrap", "clickhouse__host", "prometheus__url", "schema_registry__url")


def shipped() -> dict[str, str]:
    """The settings of the ConfigMap, by their names without the prefix."""
    found = [o for o in yaml.safe_load_all(BASE.read_text()) if o["kind"] == "ConfigMap"]
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
