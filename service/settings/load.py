"""Reads all settings: from `PARAMEDIC_*`, then from the YAML file that `PARAMEDIC_CONFIG` names."""

import difflib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from service.model.action import Mode
from service.model.errors import BadConfig
from service.settings.alertmanager import AlertmanagerSettings
from service.settings.audit import AuditSettings
from service.settings.backends import (
    ClickHouseSettings,
    KafkaSettings,
    KubernetesSettings,
    PrometheusSettings,
    SchemaRegistrySettings,
)
from service.settings.guard import GuardSettings
from service.settings.intake import IntakeSettings
from service.settings.publish import PublishSettings
from service.settings.store import StoreSettings
from service.settings.work import WorkSettings

_PREFIX = "PARAMEDIC_"


class Settings(BaseSettings):
    """All settings. Frozen: a change is a restart."""

    model_config = SettingsConfigDict(
        env_prefix="PARAMEDIC_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        validate_default=False,
    )

    mode: Mode = Field(
        Mode.OBSERVE,
        description="The ceiling over every playbook: observe, dry_run, approve, veto or auto.",
    )
    playbooks: Path = Field(Path("rules/playbooks"), description="Folder of playbooks (*.yaml).")
    known_good: Path = Field(
        Path("rules/known-good"),
        description="Folder of the manifests that `apply_known_good` may apply (*.yaml).",
    )
    log_format: str = Field(
        "auto", pattern="^(auto|json|console)$", description="auto: colours on a terminal."
    )
    log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="Least level logged."
    )
    intake: IntakeSettings = IntakeSettings()
    store: StoreSettings = StoreSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    kafka: KafkaSettings = KafkaSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    prometheus: PrometheusSettings = PrometheusSettings()
    schema_registry: SchemaRegistrySettings = SchemaRegistrySettings()
    alertmanager: AlertmanagerSettings = AlertmanagerSettings()
    guard: GuardSettings = GuardSettings()
    work: WorkSettings = WorkSettings()
    audit: AuditSettings = AuditSettings()
    publish: PublishSettings = PublishSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = os.environ.get("PARAMEDIC_CONFIG")
        if not file:
            return (init_settings, env_settings)
        return (
            init_settings,
            env_settings,
            InitSettingsSource(settings_cls, _read_yaml(Path(file))),
        )


def variables(
    model: type[BaseModel] = Settings, prefix: str = _PREFIX
) -> Iterator[tuple[str, FieldInfo]]:
    """Every environment variable, with the setting it is for."""
    for name, field in model.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            yield from variables(group, f"{prefix}{name.upper()}__")
        else:
            yield prefix + name.upper(), field


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    """A misspelt variable would be a guard that somebody believes to be set."""
    names = {name for name, _ in variables()}
    groups = {name.rpartition("__")[0] for name in names} - {""}  # a whole group as JSON
    known = names | groups | {"PARAMEDIC_CONFIG", "PARAMEDIC_SERVERS"}
    for name in sorted(environment):
        # Kubernetes puts PARAMEDIC_PORT... and PARAMEDIC_SERVICE_...
        # there for a Service of this name.
        linked = re.match(r"PARAMEDIC_(PORT|SERVICE_)", name)
        if name.startswith(_PREFIX) and name not in known and not linked:
            near = difflib.get_close_matches(name, known, n=1)
            hint = (
                f"; did you mean {near[0]}?"
                if near
                else "; `paramedic reference settings` lists them"
            )
            raise BadConfig(f"settings: {name} is no setting{hint}")


def _read_yaml(path: Path) -> dict[str, object]:
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise BadConfig(f"PARAMEDIC_CONFIG={path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise BadConfig(f"PARAMEDIC_CONFIG={path}: is not UTF-8 text") from None
    except yaml.YAMLError as error:
        # The parser quotes what it stumbled on, and that may be a secret.
        # `from None` for the same reason.
        raise BadConfig(f"PARAMEDIC_CONFIG={path}: is not valid YAML{_place(error)}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise BadConfig(f"PARAMEDIC_CONFIG={path}: the file has to be a map of settings")
    return content


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def load() -> Settings:
    """The settings of this process. Raises BadConfig with one line a mistake.

    No line shows a value: a secret may stand where it does not belong.
    """
    _refuse_unknown(os.environ)
    try:
        return Settings()
    except SettingsError as error:
        raise BadConfig(f"settings: {error}: {_unquoted(error.__cause__)}") from None
    except ValidationError as error:
        lines = [
            f"  {'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}"
            for e in error.errors(include_url=False, include_input=False)
        ]
        raise BadConfig("settings:\n" + "\n".join(lines)) from None


def _unquoted(cause: BaseException | None) -> str:
    """What is wrong with a group written as JSON, without what was written."""
    if isinstance(cause, json.JSONDecodeError):
        return f"is not valid JSON at line {cause.lineno}, column {cause.colno}"
    return "cannot be read"
