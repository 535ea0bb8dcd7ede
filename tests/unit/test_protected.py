"""What nothing is done to: the setting, Paramedic's own namespace, and its store's."""

from pathlib import Path

import pytest

from service.settings import GuardSettings, Settings, StoreSettings, protected

ACCOUNT = "infra"


@pytest.fixture
def account(tmp_path: Path) -> Path:
    file = tmp_path / "namespace"
    file.write_text(f"{ACCOUNT}\n")
    return file


def settings(url: str = "sqlite:///x.db", **guard: object) -> Settings:
    given = GuardSettings.model_validate({"protected": ["kube-system"], **guard})
    return Settings(guard=given, store=StoreSettings(url=url))


def test_its_own_namespace_is_what_its_service_account_says_unless_it_is_set(account: Path) -> None:
    assert protected(settings(), account) == ("kube-system", ACCOUNT)
    assert protected(settings(own_namespace="ops"), account) == ("kube-system", "ops")
    assert protected(settings(), account.parent / "none") == ("kube-system",)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://p@db.data.svc/p", ("kube-system", ACCOUNT, "data")),
        ("postgresql://p@db.data.svc.cluster.local:5432/p", ("kube-system", ACCOUNT, "data")),
        ("postgresql://p@db.kube-system.svc/p", ("kube-system", ACCOUNT)),
        ("postgresql://p@db/p", ("kube-system", ACCOUNT)),
        ("postgresql://p@db.example.com/p", ("kube-system", ACCOUNT)),
    ],
)
def test_the_stores_namespace_is_read_from_its_host(
    url: str, expected: tuple[str, ...], account: Path
) -> None:
    assert protected(settings(url), account) == expected
