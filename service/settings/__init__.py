"""Every setting, typed, with its unit, its default and why;
the only reader of the environment and of files.

A setting comes from the environment (`PARAMEDIC_MODE=auto`, nested
`PARAMEDIC_KAFKA__BOOTSTRAP=kafka:9092`) or from one YAML file named by `PARAMEDIC_CONFIG`;
the environment wins. Secrets come from files only, so that they stand in no process list and
can be rotated. A wrong setting stops the start with a sentence (`BadConfig`).
One file a concern.
"""

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
from service.settings.load import Settings, load, variables
from service.settings.protected import protected
from service.settings.publish import PublishSettings
from service.settings.secrets import secret
from service.settings.store import StoreSettings
from service.settings.work import WorkSettings

__all__ = [
    "AlertmanagerSettings",
    "AuditSettings",
    "ClickHouseSettings",
    "GuardSettings",
    "IntakeSettings",
    "KafkaSettings",
    "KubernetesSettings",
    "PrometheusSettings",
    "PublishSettings",
    "SchemaRegistrySettings",
    "Settings",
    "StoreSettings",
    "WorkSettings",
    "load",
    "protected",
    "secret",
    "variables",
]
