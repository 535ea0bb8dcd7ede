"""What the README says of settings, metrics and reasons is what the code has."""

import re
from collections.abc import Callable

import pytest

from service.desk import reference
from service.model.reasons import Reason
from service.settings import Settings
from tests.servers import ROOT

README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(reference.settings_table, id="settings"),
        pytest.param(reference.metrics_table, id="metrics"),
        pytest.param(reference.reasons_table, id="reasons"),
    ],
)
def test_the_readme_has_the_table_as_the_code_makes_it(table: Callable[[], str]) -> None:
    assert table() in README, "renew it with `paramedic reference`"


def test_every_setting_says_what_it_is() -> None:
    assert all(row.split("|")[3].strip() for row in reference.settings_table().splitlines()[2:])
    assert len(reference.settings_table().splitlines()) > len(Settings.model_fields)


def test_every_reason_is_explained() -> None:
    assert set(re.findall(r"^\| `(\w+)` ", reference.reasons_table(), re.MULTILINE)) == set(Reason)


def test_every_link_of_the_documents_leads_somewhere() -> None:
    broken = []
    for document in (ROOT / "README.md", ROOT / "alerting/README.md", ROOT / "deploy/README.md"):
        for link in re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text()):
            if not (document.parent / link).exists():
                broken.append(f"{document.name}: {link}")
    assert broken == []
