"""Settings: the environment wins over the file, and every mistake is told by its name."""

import traceback
from pathlib import Path

import pytest

from service.model.action import Mode
from service.model.errors import BadConfig
from service.settings import Settings, load, secret


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Without the settings of whoever runs the tests."""
    import os

    for name in [n for n in os.environ if n.startswith("PARAMEDIC_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_without_any_setting_it_observes_and_listens_on_this_machine_only() -> None:
    settings = load()
    assert (settings.mode, settings.intake.host, settings.intake.port) == (
        Mode.OBSERVE,
        "127.0.0.1",
        9095,
    )
    assert settings.guard.namespaces == ("carbon-ingestion",)


def test_the_environment_sets_nested_settings(clean_environment: pytest.MonkeyPatch) -> None:
    clean_environment.setenv("PARAMEDIC_MODE", "auto")
    clean_environment.setenv("PARAMEDIC_KAFKA__BOOTSTRAP", "kafka:9092")
    clean_environment.setenv("PARAMEDIC_GUARD__NAMESPACES", '["a", "b"]')
    settings = load()
    assert (settings.mode, settings.kafka.bootstrap) == (Mode.AUTO, "kafka:9092")
    assert settings.guard.namespaces == ("a", "b")


def test_a_file_sets_what_the_environment_leaves(
    tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("mode: approve\nintake: {port: 8000, max_waiting: 7}\nwork: {workers: 2}\n")
    clean_environment.setenv("PARAMEDIC_CONFIG", str(file))
    clean_environment.setenv("PARAMEDIC_INTAKE__PORT", "9000")
    settings = load()
    assert (settings.mode, settings.work.workers) == (Mode.APPROVE, 2)
    assert (settings.intake.port, settings.intake.max_waiting) == (9000, 7)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        pytest.param("MODE", "on", "mode: ", id="a mode that is none"),
        pytest.param("INTAKE__PORT", "99999", "intake.port: ", id="a port that is none"),
        pytest.param(
            "INTAKE__PROT",
            "80",
            "did you mean PARAMEDIC_INTAKE__PORT?",
            id="a misspelt nested name",
        ),
        pytest.param("WORK__WORKERS", "0", "work.workers: ", id="no workers"),
        pytest.param(
            "INTAKE__BEARER_FILE",
            "/nowhere/token",
            "intake.bearer_file: Value error, no such file",
            id="no such file",
        ),
        pytest.param(
            "INTAKE__TLS_CERT",
            "pyproject.toml",
            "tls_cert and tls_key go together",
            id="half of TLS",
        ),
        pytest.param(
            "INTAKE__TLS_CLIENT_CA",
            "pyproject.toml",
            "tls_client_ca needs tls_cert",
            id="mTLS alone",
        ),
        pytest.param(
            "INTAKE__BASIC_USER",
            "am",
            "basic_password_file go together",
            id="a user without a password",
        ),
    ],
)
def test_a_mistake_is_told_by_its_name(
    clean_environment: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str, told: str
) -> None:
    if value == "pyproject.toml":
        (tmp_path / "some.pem").write_text("x")
        value = str(tmp_path / "some.pem")
    clean_environment.setenv(f"PARAMEDIC_{name}", value)
    with pytest.raises(BadConfig, match=r"^settings:") as caught:
        load()
    assert told in str(caught.value)


def test_every_mistake_is_told_at_once(clean_environment: pytest.MonkeyPatch) -> None:
    clean_environment.setenv("PARAMEDIC_MODE", "on")
    clean_environment.setenv("PARAMEDIC_WORK__WORKERS", "-1")
    with pytest.raises(BadConfig) as caught:
        load()
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(b"mode: [", "PARAMEDIC_CONFIG=", id="bad YAML"),
        pytest.param(b"- a\n", "has to be a map", id="a list"),
        pytest.param(b"\xff\xfe", "PARAMEDIC_CONFIG=", id="no text"),
        pytest.param(b"mdoe: auto\n", "mdoe: ", id="a misspelt name"),
        pytest.param(None, "PARAMEDIC_CONFIG=", id="no file"),
    ],
)
def test_a_mistake_of_the_file_is_told(
    clean_environment: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, told: str
) -> None:
    file = tmp_path / "p.yaml"
    if content is not None:
        file.write_bytes(content)
    clean_environment.setenv("PARAMEDIC_CONFIG", str(file))
    with pytest.raises(BadConfig) as caught:
        load()
    assert told in str(caught.value)


def test_an_empty_file_sets_nothing(clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("# nothing yet\n")
    clean_environment.setenv("PARAMEDIC_CONFIG", str(tmp_path / "p.yaml"))
    assert load() == Settings()


@pytest.mark.parametrize("text", ["s3cret", "s3cret\n", "s3cret\r\n"])
def test_a_secret_is_its_files_content_without_the_last_newline(tmp_path: Path, text: str) -> None:
    (tmp_path / "s").write_bytes(text.encode())
    assert secret(tmp_path / "s") == "s3cret"
    assert secret(None) is None


SECRET = "hunter2-s3cret"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("MODE", SECRET, id="a word of a list"),
        pytest.param("INTAKE__PORT", SECRET, id="a number"),
        pytest.param("INTAKE__BEARER_FILE", SECRET, id="the token in place of its file"),
        pytest.param("KAFKA__SECURITY_PROTOCOL", SECRET, id="a pattern"),
        pytest.param("KAFKA", '{"bootstrap": "' + SECRET, id="a group as JSON that is cut short"),
        pytest.param("KAFKA", '{"bootstrap": ["' + SECRET + '"]}', id="a group of a wrong type"),
        pytest.param("GUARD__NAMESPACES", '["' + SECRET, id="a list that is cut short"),
    ],
)
def test_the_value_of_a_wrong_setting_is_not_shown(
    clean_environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    clean_environment.setenv(f"PARAMEDIC_{name}", value)
    with pytest.raises(BadConfig) as caught:
        load()
    shown = "".join(traceback.format_exception(caught.value))
    assert name.split("__", maxsplit=1)[0].lower() in shown.lower()
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("content", "place"),
    [
        pytest.param(f"kafka:\n  x: '{SECRET}\n", "line 3, column 1", id="an open quote"),
        pytest.param(f"a: *{SECRET}\n", "line 1, column 4", id="an unknown alias"),
        pytest.param(f"a: !{SECRET} b\n", "line 1, column 4", id="an unknown tag"),
    ],
)
def test_what_a_broken_file_holds_is_not_shown_but_where_it_breaks(
    clean_environment: pytest.MonkeyPatch, tmp_path: Path, content: str, place: str
) -> None:
    (tmp_path / "p.yaml").write_text(content)
    clean_environment.setenv("PARAMEDIC_CONFIG", str(tmp_path / "p.yaml"))
    with pytest.raises(BadConfig) as caught:
        load()
    shown = "".join(traceback.format_exception(caught.value))
    assert place in shown
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        pytest.param("BYTES_IN_FLIGHT", "1000", "at least max_body_bytes", id="less than one body"),
        pytest.param("UNHEARD_AFTER_S", "60", "at least repeat_interval_s", id="unheard too soon"),
    ],
)
def test_bounds_that_contradict_each_other_are_told(
    clean_environment: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    clean_environment.setenv(f"PARAMEDIC_INTAKE__{name}", value)
    with pytest.raises(BadConfig, match=told):
        load()


def test_how_long_a_word_counts_is_the_repeat_interval_and_the_slack(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    assert load().intake.heard_within_s == 5 * 3_600
    clean_environment.setenv("PARAMEDIC_INTAKE__REPEAT_INTERVAL_S", "7200")
    clean_environment.setenv("PARAMEDIC_INTAKE__SLACK_S", "0")
    assert load().intake.heard_within_s == 7_200
