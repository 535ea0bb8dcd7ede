"""Every alert rule with the label sets that its promtool tests expect,
against the targets of the playbooks.
"""

from collections.abc import Iterator, Mapping

import pytest

from service.model.alert import Alert as Fired
from service.model.reasons import Reason
from service.route.target import Destination, Unrouted, destination
from tests.rules.rulebook import Alert, alerts
from tests.rules.test_catalogue import fired
from tests.rules.test_coverage import playbooks
from tests.unit.made import alert as made

# What names no object of the cluster: a consumer group outside of the inventory,
# a certificate of any address.
WITHOUT_A_TARGET = {"ConsumerGroupStalled", "CertificateExpiring"}
_OF_WORKLOAD = ("workload_kind", "workload")

ALERTS = pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)


def sets(alert: Alert) -> Iterator[Mapping[str, str]]:
    """The label sets of an alert; where it names a pod also without the workload,
    as other rules would give it.
    """
    for labels in fired(alert):
        yield labels
        if "pod" in labels:
            yield {name: value for name, value in labels.items() if name not in _OF_WORKLOAD}


def goes(alert: Alert, labels: Mapping[str, str]) -> Destination | Unrouted:
    told: Fired = made(labels={"alertname": alert.name, **labels})
    return destination(told, tuple(playbooks().values()), ("carbon-ingestion",))


@ALERTS
def test_an_alert_that_has_a_playbook_has_a_target(alert: Alert) -> None:
    ends = [goes(alert, labels) for labels in sets(alert)]
    unresolved = [e for e in ends if isinstance(e, Unrouted) and e.reason is not Reason.NO_PLAYBOOK]
    assert not unresolved or alert.name in WITHOUT_A_TARGET, unresolved


@ALERTS
def test_an_alert_that_names_a_pod_has_a_playbook(alert: Alert) -> None:
    for labels in sets(alert):
        if "pod" in labels:
            assert isinstance(goes(alert, labels), Destination), labels


@pytest.mark.parametrize("pod", ["kafka-0", "zookeeper-0", "clickhouse-0"])
def test_a_pod_of_a_data_store_is_not_restarted_as_a_service(pod: str) -> None:
    labels = {"namespace": "carbon-ingestion", "pod": pod, "remediate": "true"}
    crashing = next(a for a in alerts() if a.name == "ServicePodCrashLooping")
    end = goes(crashing, labels)
    assert isinstance(end, Unrouted)
    assert end.reason is Reason.NO_PLAYBOOK
