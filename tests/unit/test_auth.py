"""Who may post webhooks and read the API."""

import base64
from pathlib import Path

import pytest

from service.settings import IntakeSettings
from service.web.credentials import ANYONE, Credentials, Role


def admitted(settings: IntakeSettings, header: str | None) -> bool:
    return Credentials(settings).admits(header)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("s3cret\n")
    return path


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("pa:ss wörd\r\n")
    return path


@pytest.mark.parametrize("header", [None, "", "Bearer x", "Basic eDp5"])
def test_without_configured_credentials_everyone_is_admitted(header: str | None) -> None:
    assert admitted(IntakeSettings(), header)


@pytest.mark.parametrize(
    ("header", "good"),
    [
        pytest.param("Bearer s3cret", True, id="the token"),
        pytest.param("bearer s3cret", True, id="the scheme's case does not matter"),
        pytest.param("Bearer  s3cret ", True, id="blanks around it"),
        pytest.param("Bearer S3CRET", False, id="its own case does"),
        pytest.param("Bearer s3cre", False, id="too short"),
        pytest.param("Bearer s3crets", False, id="too long"),
        pytest.param("Bearer", False, id="no token"),
        pytest.param("Bearer ", False, id="an empty token"),
        pytest.param("s3cret", False, id="no scheme"),
        pytest.param("Token s3cret", False, id="another scheme"),
        pytest.param(basic("user", "s3cret"), False, id="Basic is not configured"),
        pytest.param("Bearer \udcff\udcfe", False, id="bytes that are no text"),
        pytest.param(None, False, id="none"),
    ],
)
def test_a_bearer_token_has_to_be_the_configured_one(
    token: Path, header: str | None, good: bool
) -> None:
    assert admitted(IntakeSettings(bearer_file=token), header) is good


@pytest.mark.parametrize(
    ("header", "good"),
    [
        pytest.param(basic("alertmanager", "pa:ss wörd"), True, id="user and password"),
        pytest.param(basic("alertmanager", "pa"), False, id="the password's first part"),
        pytest.param(basic("admin", "pa:ss wörd"), False, id="another user"),
        pytest.param(basic("", ""), False, id="empty"),
        pytest.param("Basic !!!!", False, id="no base64"),
        pytest.param("Basic /w==", False, id="no text inside"),
        pytest.param("Basic \udcff", False, id="bytes that are no text"),
        pytest.param("Bearer pa:ss wörd", False, id="Bearer is not configured"),
        pytest.param(None, False, id="none"),
    ],
)
def test_basic_credentials_have_to_be_the_configured_ones(
    password: Path, header: str | None, good: bool
) -> None:
    settings = IntakeSettings(basic_user="alertmanager", basic_password_file=password)
    assert admitted(settings, header) is good


def test_with_both_configured_either_is_good(token: Path, password: Path) -> None:
    settings = IntakeSettings(bearer_file=token, basic_user="am", basic_password_file=password)
    assert admitted(settings, "Bearer s3cret")
    assert admitted(settings, basic("am", "pa:ss wörd"))
    assert not admitted(settings, None)


def test_a_rotated_secret_is_taken_up_without_a_restart(token: Path) -> None:
    settings = IntakeSettings(bearer_file=token)
    token.write_text("renewed")
    assert admitted(settings, "Bearer renewed")
    assert not admitted(settings, "Bearer s3cret")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic ", basic("am", "")])
def test_an_empty_secret_file_admits_nobody(tmp_path: Path, header: str | None) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    assert not admitted(IntakeSettings(bearer_file=empty), header)
    assert not admitted(IntakeSettings(basic_user="am", basic_password_file=empty), header)


def test_who_it_is_and_what_he_may_do_is_told(token: Path, password: Path) -> None:
    settings = IntakeSettings(bearer_file=token, basic_user="am", basic_password_file=password)
    caller = Credentials(settings).caller(basic("am", "pa:ss wörd"))
    assert caller is not None
    assert (caller.name, caller.roles) == ("am", frozenset({Role.SEND, Role.READ}))
    assert Credentials(IntakeSettings()).caller(None) is ANYONE


def test_whether_anything_has_to_be_shown_is_told(token: Path) -> None:
    assert not Credentials(IntakeSettings()).configured
    assert Credentials(IntakeSettings(bearer_file=token)).configured
