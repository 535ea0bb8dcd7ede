"""What the README and the reference say of settings, metrics, reasons and guards is what the code
has.
"""

import re

from service.desk import reference
from service.guard.chain import CHAIN
from service.model.reasons import Reason
from service.settings import Settings, variables
from tests.servers import ROOT

README = (ROOT / "README.md").read_text()


def test_the_reference_is_what_the_code_makes_of_it() -> None:
    found = (ROOT / "docs/reference.md").read_text()
    assert found == reference.page(), "renew it with `make manifests`"


def test_the_readme_has_the_guards_as_the_code_has_them() -> None:
    assert reference.guards_table() in README, "renew it with `paramedic reference guards`"


def test_every_setting_says_what_it_is() -> None:
    assert all(row.split("|")[3].strip() for row in reference.settings_table().splitlines()[2:])
    assert len(reference.settings_table().splitlines()) > len(Settings.model_fields)


def test_every_reason_is_explained() -> None:
    assert set(re.findall(r"^\| `(\w+)` ", reference.reasons_table(), re.MULTILINE)) == set(Reason)


def test_every_guard_says_where_it_is_written_and_every_setting_of_guards_has_one() -> None:
    assert set(reference.WRITTEN) == set(CHAIN)
    named = {place for places in reference.WRITTEN.values() for place in places}
    settings = {name for name, _ in variables() if name.startswith("PARAMEDIC_GUARD__")}
    assert settings <= named
    assert {name for name in named if name.startswith("PARAMEDIC_")} <= dict(variables()).keys()
    assert all(reference.reasons_of(guard) for guard in CHAIN.values())


def test_every_link_of_the_documents_leads_somewhere() -> None:
    broken = []
    for document in (
        *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")),
        *(ROOT / folder / "README.md" for folder in ("alerting", "deploy")),
        *sorted((ROOT / "docs").rglob("*.md")),
    ):
        for link in re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text()):
            if not (document.parent / link).exists():
                broken.append(f"{document.name}: {link}")
    assert broken == []
