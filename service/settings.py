"""Every setting, typed, with its unit, its default and why; the only reader of the environment and of files.

A setting comes from the environment (`PARAMEDIC_MODE=auto`, nested `PARAMEDIC_KAFKA__BOOTSTRAP=kafka:9092`) or
from one YAML file named by `PARAMEDIC_CONFIG`; the environment wins. Secrets come from files only, so that they
stand in no process list and can be rotated. A wrong setting stops the start with a sentence (`BadConfig`).
"""

import difflib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from service.model.action import Mode
from service.model.errors import BadConfig, Unavailable
from service.model.playbook import Budget
from service.model.reasons import Reason


def _readable(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"no file {path}")
    return path


File = Annotated[Path, AfterValidator(_readable)]


_PREFIX = "PARAMEDIC_"


def _listed(value: object) -> object:
    if isinstance(value, str) and value.startswith("["):
        return json.loads(value)
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class IntakeSettings(_Group):
    """Where webhooks come in, and who may send them."""

    host: str = Field("127.0.0.1", description="Address to listen on. The container image sets 0.0.0.0.")
    port: int = Field(9095, ge=0, le=65535, description="Port of webhooks, API, probes and metrics.")
    plain_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="A second port without TLS or credentials, for probes and metrics only.",
    )
    bearer_file: File | None = Field(None, description="File with the bearer token senders must show.")
    basic_user: str | None = Field(None, description="User name of Basic credentials.")
    basic_password_file: File | None = Field(None, description="File with the password of Basic credentials.")
    tls_cert: File | None = Field(None, description="Server certificate (PEM). With it the port speaks TLS.")
    tls_key: File | None = Field(None, description="Its key (PEM).")
    tls_client_ca: File | None = Field(
        None, description="CA of client certificates (PEM). With it a certificate is demanded: mTLS."
    )
    max_body_bytes: int = Field(32 * 2**20, gt=0, description="Largest webhook body.")
    read_timeout_s: float = Field(10.0, gt=0, description="Longest time a body may take to arrive.")
    max_waiting: int = Field(
        10_000, gt=0, description="Webhooks accepted but not yet sorted; at this many the answer is 503."
    )
    max_dead_letters: int = Field(1_000, gt=0, description="Dead letters kept; the oldest go first.")

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: set both or none")
        if self.tls_client_ca and not self.tls_cert:
            raise ValueError("tls_client_ca needs tls_cert and tls_key: mTLS is TLS")
        if (self.basic_user is None) != (self.basic_password_file is None):
            raise ValueError("basic_user and basic_password_file go together: set both or none")
        return self


class StoreSettings(_Group):
    """The memory: SQLite in a file, or PostgreSQL."""

    url: str = Field(
        "sqlite:///var/paramedic.db",
        description="`sqlite:///PATH` or `postgresql://USER@HOST/DB` (needs the extra `postgres`).",
    )
    keep_days: float = Field(
        30.0,
        gt=0,
        description="Days that webhooks, ended alerts and the steps of closed incidents are kept; the ledger stays.",
    )


class KubernetesSettings(_Group):
    """The cluster to look at and to act on."""

    kubeconfig: File | None = Field(
        None, description="A kubeconfig; without it the service account of the pod this runs in, if it does."
    )
    context: str | None = Field(None, description="The kubeconfig's context; without it the current one.")
    act_kubeconfig: File | None = Field(
        None, description="A kubeconfig of the account that may write; without it the reading one is used."
    )

    @property
    def configured(self) -> bool:
        """A kubeconfig is named, or this process runs in a pod."""
        return self.kubeconfig is not None or "KUBERNETES_SERVICE_HOST" in os.environ


class KafkaSettings(_Group):
    """The brokers whose consumer groups are watched."""

    bootstrap: str | None = Field(None, description="`host:port[,host:port]`. Without it Kafka is not asked.")
    security_protocol: str = Field(
        "PLAINTEXT", pattern="^(PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)$", description="As in Kafka clients."
    )
    ca_file: File | None = Field(None, description="CA of the brokers' certificates (PEM).")
    sasl_mechanism: str | None = Field(None, description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.")
    sasl_user: str | None = Field(None, description="SASL user name.")
    sasl_password_file: File | None = Field(None, description="File with the SASL password.")


class ClickHouseSettings(_Group):
    """The database to look at, and to kill runaway queries in."""

    host: str | None = Field(None, description="Host name. Without it ClickHouse is not asked.")
    port: int = Field(9000, ge=1, le=65535, description="Native protocol port.")
    user: str = Field("default", description="User that reads system tables.")
    password_file: File | None = Field(None, description="File with its password.")
    act_user: str | None = Field(None, description="User that may KILL QUERY; without it `user` is used.")
    act_password_file: File | None = Field(None, description="File with its password.")
    secure: bool = Field(False, description="Speak TLS.")
    ca_file: File | None = Field(None, description="CA of the server's certificate (PEM).")


class PrometheusSettings(_Group):
    """The Prometheus whose series are evidence."""

    url: str | None = Field(None, description="Base URL. Without it no series are asked for.")
    bearer_file: File | None = Field(None, description="File with a bearer token for it.")


class GuardSettings(_Group):
    """Limits over all playbooks. A playbook's own limits can only be tighter."""

    namespaces: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = Field(
        ("carbon-ingestion",),
        description="Namespaces that may be acted on, with commas between them. Others are refused.",
    )
    overall_count: int = Field(20, gt=0, description="Actions of all playbooks together ...")
    overall_window_s: float = Field(
        3600.0, gt=0, le=7 * 86400, description="... in this many seconds, at most seven days."
    )
    evidence_max_age_s: float = Field(60.0, gt=0, description="Older evidence argues for nothing.")

    @property
    def overall(self) -> Budget:
        return Budget(self.overall_count, self.overall_window_s)


class WorkSettings(_Group):
    """How incidents are worked on."""

    workers: int = Field(8, gt=0, description="Incidents worked on at the same time, one a target.")
    diagnose_within_s: float = Field(15.0, gt=0, description="One deadline for all probes of a diagnosis.")
    act_within_s: float = Field(30.0, gt=0, description="Deadline of one action and its reading back.")
    recheck_s: float = Field(
        60.0, gt=0, description="Pause before an incident without a remedy is seen again."
    )
    hand_over_after_s: float = Field(
        900.0, gt=0, description="An incident that found no remedy for this long goes to a person."
    )


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
        Mode.OBSERVE, description="The ceiling over every playbook: observe, dry_run, approve or auto."
    )
    playbooks: Path = Field(Path("rules/playbooks"), description="Folder of playbooks (*.yaml).")
    log_format: str = Field(
        "auto", pattern="^(auto|json|console)$", description="auto: colours on a terminal."
    )
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Least level logged.")
    intake: IntakeSettings = IntakeSettings()
    store: StoreSettings = StoreSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    kafka: KafkaSettings = KafkaSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    prometheus: PrometheusSettings = PrometheusSettings()
    guard: GuardSettings = GuardSettings()
    work: WorkSettings = WorkSettings()

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
        return (init_settings, env_settings, InitSettingsSource(settings_cls, _read_yaml(Path(file))))


def variables(model: type[BaseModel] = Settings, prefix: str = _PREFIX) -> Iterator[tuple[str, FieldInfo]]:
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
        # Kubernetes puts PARAMEDIC_PORT... and PARAMEDIC_SERVICE_... there for a Service of this name.
        linked = re.match(r"PARAMEDIC_(PORT|SERVICE_)", name)
        if name.startswith(_PREFIX) and name not in known and not linked:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; `paramedic reference settings` lists them"
            raise BadConfig(f"settings: {name} is no setting{hint}")


def _read_yaml(path: Path) -> dict[str, object]:
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadConfig(f"PARAMEDIC_CONFIG={path}: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise BadConfig(f"PARAMEDIC_CONFIG={path}: the file has to be a map of settings")
    return content


def load() -> Settings:
    """The settings of this process. Raises BadConfig with one line a mistake."""
    _refuse_unknown(os.environ)
    try:
        return Settings()
    except SettingsError as error:
        raise BadConfig(f"settings: {error}: {error.__cause__}") from error
    except ValidationError as error:
        lines = [
            f"  {'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']} (got {e['input']!r})"
            for e in error.errors(include_url=False)
        ]
        raise BadConfig("settings:\n" + "\n".join(lines)) from error


def secret(path: Path | None) -> str | None:
    """The content of a secret file without its last newline; read anew at each call, so rotation works.

    Raises Unavailable(credentials_unreadable), as in the moment in which a file is being replaced.
    """
    try:
        return path.read_text().rstrip("\r\n") if path else None
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(Reason.CREDENTIALS_UNREADABLE, f"{path}: {error}") from error
