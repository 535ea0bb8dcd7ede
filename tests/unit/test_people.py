"""Named people: their file, their tokens, and what each may do."""

import base64
import hashlib
from pathlib import Path

import pytest

from service.model.errors import BadConfig, Unavailable
from service.model.reasons import Reason
from service.settings import IntakeSettings
from service.web.credentials import Caller, Credentials, Denied, Role

ANNA, BEN, CLEO = "anna-0123456789-abcdef", "ben-0123456789-abcdefg", "cleo-0123456789-abcdef"
MACHINE = "the-token-of-alertmanager"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "cleo").write_text(f"{CLEO}\n")
    path = tmp_path / "people.yaml"
    path.write_text(
        f"""people:
  - name: anna
    roles: [operate, approve]
    token: {ANNA}
  - {{name: ben, roles: [read], sha256: {hashlib.sha256(BEN.encode()).hexdigest()}}}
  - name: cleo
    roles: [approve]
    token_file: cleo
"""
    )
    return path


@pytest.fixture
def bearer(tmp_path: Path) -> Path:
    path = tmp_path / "bearer"
    path.write_text(MACHINE)
    return path


def asked(credentials: Credentials, token: str | None, role: Role) -> str:
    """The caller's name, or the code of the refusal."""
    found = credentials.demand(f"Bearer {token}" if token else None, role)
    return found.name if isinstance(found, Caller) else str(found.status)


@pytest.mark.parametrize(
    ("token", "read", "operate", "approve", "send"),
    [
        pytest.param(ANNA, "anna", "anna", "anna", "403", id="operates and approves, so reads"),
        pytest.param(BEN, "ben", "403", "403", "403", id="reads, by the digest of a token"),
        pytest.param(CLEO, "cleo", "403", "cleo", "403", id="approves, by a token file"),
        pytest.param(MACHINE, "bearer", "403", "403", "bearer", id="a machine sends and reads"),
        pytest.param("nobody-0123456789", "401", "401", "401", "401", id="nobody"),
        pytest.param(ANNA[:-1], "401", "401", "401", "401", id="a token's first part"),
        pytest.param(None, "401", "401", "401", "401", id="nothing shown"),
    ],
)
def test_each_may_do_what_his_roles_say(
    file: Path, bearer: Path, token: str | None, read: str, operate: str, approve: str, send: str
) -> None:
    credentials = Credentials(IntakeSettings(people_file=file, bearer_file=bearer))
    credentials.check()
    wanted = {Role.READ: read, Role.OPERATE: operate, Role.APPROVE: approve, Role.SEND: send}
    assert {role: asked(credentials, token, role) for role in Role} == wanted


@pytest.mark.parametrize("role", [Role.OPERATE, Role.APPROVE])
@pytest.mark.parametrize("shown", [None, MACHINE])
def test_without_a_people_file_nobody_operates_and_the_setting_is_named(
    bearer: Path, role: Role, shown: str | None
) -> None:
    settings = IntakeSettings(bearer_file=bearer) if shown else IntakeSettings()
    found = Credentials(settings).demand(f"Bearer {shown}" if shown else None, role)
    assert isinstance(found, Denied)
    assert (found.status, found.reason) == (403, Reason.ROLE_MISSING)
    assert "PARAMEDIC_INTAKE__PEOPLE_FILE" in found.detail


def test_with_people_and_no_secret_for_machines_webhooks_come_in_and_nothing_is_read(
    file: Path,
) -> None:
    credentials = Credentials(IntakeSettings(people_file=file))
    assert {role: asked(credentials, None, role) for role in Role} == {
        Role.SEND: "anyone",
        Role.READ: "401",
        Role.OPERATE: "401",
        Role.APPROVE: "401",
    }
    assert asked(credentials, "wrong-0123456789-abc", Role.SEND) == "401"


@pytest.mark.parametrize(
    ("user", "token", "who"),
    [("anna", ANNA, "anna"), ("ben", ANNA, None), ("", ANNA, None), ("anna", "", None)],
)
def test_a_browser_shows_name_and_token_and_both_have_to_fit(
    file: Path, user: str, token: str, who: str | None
) -> None:
    header = "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()
    found = Credentials(IntakeSettings(people_file=file)).caller(header)
    assert (found.name if found else None) == who


def test_who_is_taken_out_is_out_at_once_and_a_new_token_counts_at_once(file: Path) -> None:
    credentials = Credentials(IntakeSettings(people_file=file))
    assert asked(credentials, CLEO, Role.APPROVE) == "cleo"
    (file.parent / "cleo").write_text("another-0123456789-abc")
    assert asked(credentials, CLEO, Role.APPROVE) == "401"
    assert asked(credentials, "another-0123456789-abc", Role.APPROVE) == "cleo"
    file.write_text(f"people: [{{name: ben, roles: [read], token: {BEN}}}]")
    assert asked(credentials, ANNA, Role.OPERATE) == "401"
    assert asked(credentials, BEN, Role.READ) == "ben"


def test_a_mistake_made_while_running_stops_people_and_no_webhook(file: Path, bearer: Path) -> None:
    credentials = Credentials(IntakeSettings(people_file=file, bearer_file=bearer))
    file.write_text("people: 7")
    assert asked(credentials, MACHINE, Role.SEND) == "bearer"
    with pytest.raises(Unavailable, match="credentials_unreadable") as caught:
        credentials.demand(f"Bearer {ANNA}", Role.READ)
    assert f"{file}:1" in caught.value.detail


LONG = "t0ken-0123456789-abcdef"
PERSON = f"people:\n  - name: anna\n    roles: [read]\n    token: {LONG}\n"


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        pytest.param("", 1, "has to begin with `people:`", id="empty"),
        pytest.param("- name: anna", 1, "has to begin with `people:`", id="a list"),
        pytest.param("people: []", 1, "nobody stands in it", id="nobody"),
        pytest.param("people: [anna]", 1, "a person is a map", id="only a name"),
        pytest.param("people:\n  - {name: a: b", 2, "not YAML", id="no YAML"),
        pytest.param("peopel: []", 1, "is none of people", id="misspelt"),
        pytest.param(PERSON.replace("token", "tokne"), 4, "is none of name", id="a field misspelt"),
        pytest.param(PERSON + "    name: ben\n", 5, "twice", id="a field twice"),
        pytest.param(PERSON.replace("anna", "an na"), 2, "`name` has to be", id="a name of two"),
        pytest.param(PERSON.replace("read", "admin"), 3, "`roles` has to be", id="no role"),
        pytest.param(PERSON.replace("read", "send"), 3, "`roles` has to be", id="a machine's role"),
        pytest.param(PERSON.replace("[read]", "[]"), 3, "`roles` has to be", id="no roles"),
        pytest.param(PERSON.replace("    token:", "    #"), 2, "exactly one", id="no token"),
        pytest.param(PERSON + f"    sha256: {'0' * 64}\n", 2, "exactly one", id="two ways"),
        pytest.param(PERSON.replace(LONG, "''"), 4, "is empty", id="an empty token"),
        pytest.param(PERSON.replace(LONG, "short"), 2, "shorter than 16", id="a short token"),
        pytest.param(PERSON.replace("token:", "sha256:"), 4, "64 hex digits", id="no digest"),
        pytest.param(PERSON.replace("token:", "token_file:"), 2, "cannot be read", id="no file"),
        pytest.param(
            PERSON + f"  - {{name: anna, roles: [read], token: {LONG}x}}\n", 5, "twice", id="a name"
        ),
        pytest.param(
            PERSON + f"  - {{name: ben, roles: [read], token: {LONG}}}\n",
            5,
            "ben and anna have the same token",
            id="one token for two",
        ),
        pytest.param("[" * 5_000, 1, "not YAML", id="very deep"),
        pytest.param("#" * 70_000, 1, "larger than 64 KiB", id="very large"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_without_a_value(
    tmp_path: Path, text: str, line: int, told: str
) -> None:
    path = tmp_path / "people.yaml"
    path.write_text(text)
    with pytest.raises(BadConfig) as caught:
        Credentials(IntakeSettings(people_file=path)).check()
    assert any(
        s.startswith(f"{path}:{line}: ") and told in s for s in str(caught.value).split("\n")
    )
    assert LONG not in str(caught.value)


def test_a_person_with_the_token_of_machines_is_a_mistake(tmp_path: Path, bearer: Path) -> None:
    path = tmp_path / "people.yaml"
    path.write_text(PERSON.replace(LONG, MACHINE))
    with pytest.raises(BadConfig, match="anna has the token of `bearer_file`"):
        Credentials(IntakeSettings(people_file=path, bearer_file=bearer)).check()
