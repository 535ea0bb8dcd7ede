"""Paramedic's own metrics. Label values are bounded: playbooks,
rungs and reasons, never pods or ids.

docs/reference.md is made of this file.
"""

from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from service.record.totals import TotalsCounter

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_STORE = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_MINUTES = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)


class Metrics:
    """All metrics on a registry of their own, so that two services in one process do not mix."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double the number of series and say nothing that is used
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.build_info = Gauge(
            "paramedic_build_info", "Always 1; the version, and the Python that runs it.", ["version", "python"],
            registry=registry,
        )  # fmt: skip
        self.mode = Gauge(
            "paramedic_mode", "1 for the ceiling over all playbooks as it is now, 0 for the other modes.", ["mode"],
            registry=registry,
        )  # fmt: skip
        self.ready = Gauge(
            "paramedic_ready", "1 while this replica would take a webhook.", registry=registry
        )
        self.webhooks = Counter(
            "paramedic_webhooks_total", "Webhooks by what became of them (accepted, or a reason).", ["result"],
            registry=registry,
        )  # fmt: skip
        self.webhook_seconds = Histogram(
            "paramedic_webhook_duration_seconds", "From a webhook's headers to its answer, the commit included.",
            registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        self.alerts = Counter(
            "paramedic_alerts_total",
            "Deliveries of alerts by what they changed.",
            ["change"],
            registry=registry,
        )
        self.unrouted = Counter(
            "paramedic_alerts_unrouted_total", "New alerts that lead to no incident, by reason.", ["reason"],
            registry=registry,
        )  # fmt: skip
        self.truncated = Counter(
            "paramedic_alerts_truncated_total",
            "Alerts that Alertmanager cut off (max_alerts).",
            registry=registry,
        )
        self.inbox_waiting = Gauge(
            "paramedic_inbox_waiting", "Webhooks accepted and not yet sorted.", registry=registry
        )
        self.inbox_oldest_seconds = Gauge(
            "paramedic_inbox_oldest_seconds", "Age of the oldest webhook that is not sorted yet; 0 without one.",
            registry=registry,
        )  # fmt: skip
        self.dead_letters = Gauge(
            "paramedic_dead_letters", "Webhooks that could not be taken, as far as they are kept.",
            registry=registry,
        )  # fmt: skip
        self.opened = Counter(
            "paramedic_incidents_opened_total", "Incidents opened.", ["playbook"], registry=registry
        )
        self.closed = Counter(
            "paramedic_incidents_closed_total", "Incidents closed, by the last outcome (or none) and reason.",
            ["playbook", "outcome", "reason"], registry=registry,
        )  # fmt: skip
        self.escalated = Counter(
            "paramedic_incidents_escalated_total", "Incidents escalated to a person, by reason.",
            ["playbook", "reason"], registry=registry,
        )  # fmt: skip
        self.open_incidents = Gauge(
            "paramedic_incidents",
            "Incidents that are not closed, by playbook and state.",
            ["playbook", "state"],
            registry=registry,
        )
        self.approvals_waiting = Gauge(
            "paramedic_approvals_waiting", "Open incidents whose next remedy a person has to approve.",
            registry=registry,
        )  # fmt: skip
        self.to_evidence_seconds = Histogram(
            "paramedic_time_to_evidence_seconds", "From an incident's opening to its first diagnosis.", ["playbook"],
            registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        self.to_action_seconds = Histogram(
            "paramedic_time_to_action_seconds", "From an incident's opening to its first action.", ["playbook"],
            registry=registry, buckets=_MINUTES,
        )  # fmt: skip
        self.to_healed_seconds = Histogram(
            "paramedic_time_to_healed_seconds", "From an incident's opening until it is proved to be healed.",
            ["playbook"],
            registry=registry, buckets=_MINUTES,
        )  # fmt: skip
        self.incident_seconds = Histogram(
            "paramedic_incident_duration_seconds", "From an incident's opening to its close.", ["playbook"],
            registry=registry, buckets=_MINUTES,
        )  # fmt: skip
        self.diagnosis_seconds = Histogram(
            "paramedic_diagnosis_duration_seconds", "All probes of a diagnosis together.", ["diagnosis"],
            registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        self.probe_seconds = Histogram(
            "paramedic_probe_duration_seconds",
            "One probe.",
            ["probe"],
            registry=registry,
            buckets=_SECONDS,
        )
        self.probes = Counter(
            "paramedic_probe_readings_total", "Readings by result (known, or the reason why Unknown).",
            ["probe", "result"], registry=registry,
        )  # fmt: skip
        self.rulings = Counter(
            "paramedic_rulings_total", "The guard's rulings.", ["playbook", "rung", "verdict", "reason"],
            registry=registry,
        )  # fmt: skip
        self.guard_answers = Counter(
            "paramedic_guard_answers_total", "Each guard's answers: pass, or its reason word.", ["guard", "answer"],
            registry=registry,
        )  # fmt: skip
        self.breaker_open = Gauge(
            "paramedic_breaker_open",
            "1 while the circuit breaker holds every action, else 0.",
            registry=registry,
        )
        self.actions = Counter(
            "paramedic_actions_total", "Actions by how they ended (done, dry, failed) and why.",
            ["playbook", "rung", "action", "applied", "reason"], registry=registry,
        )  # fmt: skip
        self.action_seconds = Histogram(
            "paramedic_action_duration_seconds", "One action, its reading back included.", ["action"],
            registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        self.outcomes = Counter(
            "paramedic_outcomes_total", "Verified outcomes of actions.", ["playbook", "rung", "outcome"],
            registry=registry,
        )  # fmt: skip
        self.returns = Counter(
            "paramedic_returns_total",
            "Actions that did not help: returned, or why what they changed stays.",
            ["playbook", "rung", "result"], registry=registry,
        )  # fmt: skip
        self.approvals = Counter(
            "paramedic_approvals_total",
            "Proposals by what became of them: proposed, asked, approved, rejected, used, expired, withdrawn.",
            ["playbook", "became"], registry=registry,
        )  # fmt: skip
        self.paused = Gauge(
            "paramedic_paused", "1 while a person has paused all actions.", registry=registry
        )
        self.windows = Gauge(
            "paramedic_maintenance_windows",
            "Maintenance windows that are open now.",
            registry=registry,
        )
        self.ledger_actions = TotalsCounter(
            "paramedic_ledger_actions_total",
            "Actions that have ended (done, dry, failed), ever, as the ledger has them: the same from every replica.",
            ["playbook", "rung", "action", "target_kind", "mode", "applied"], registry=registry,
        )  # fmt: skip
        self.ledger_outcomes = TotalsCounter(
            "paramedic_ledger_outcomes_total",
            "Outcomes of actions, dry runs left out, ever, as the ledger has them: the same from every replica.",
            ["playbook", "rung", "action", "target_kind", "outcome"], registry=registry,
        )  # fmt: skip
        self.journal_rulings = TotalsCounter(
            "paramedic_journal_rulings_total",
            "What the guards have ruled, ever; the same ruling repeated at each look counts once.",
            ["playbook", "rung", "target_kind", "verdict", "guard", "reason"], registry=registry,
        )  # fmt: skip
        self.journal_escalations = TotalsCounter(
            "paramedic_journal_escalations_total", "Incidents escalated to a person, ever, by reason.",
            ["playbook", "target_kind", "reason"], registry=registry,
        )  # fmt: skip
        self.budget_left = Gauge(
            "paramedic_budget_left_actions",
            "Actions that the budget of a playbook, or of all (playbook empty), still allows.", ["playbook"],
            registry=registry,
        )  # fmt: skip
        self.sink_lag_steps = Gauge(
            "paramedic_sink_lag_steps", "Steps of the journal that a receiver has not got yet.", ["sink"],
            registry=registry,
        )  # fmt: skip
        self.sink_lag_seconds = Gauge(
            "paramedic_sink_lag_seconds", "Age of the oldest step that a receiver has not got yet.", ["sink"],
            registry=registry,
        )  # fmt: skip
        self.sink_failures = Gauge(
            "paramedic_sink_consecutive_failures", "How often in a row a receiver has failed.", ["sink"],
            registry=registry,
        )  # fmt: skip
        self.sink_batches = Counter(
            "paramedic_sink_batches_total", "Batches for a receiver: delivered, or the reason why not.",
            ["sink", "result"],
            registry=registry,
        )  # fmt: skip
        self.store_seconds = Histogram(
            "paramedic_store_duration_seconds", "One read or write of the store, its wait for others included.",
            ["operation"],
            registry=registry, buckets=_STORE,
        )  # fmt: skip
        self.faults = Counter(
            "paramedic_faults_total", "Bugs and outages of our own: each one wants a look.", ["where"],
            registry=registry,
        )  # fmt: skip
        for where in ("worker", "sorter", "pipeline", "claim_lost", "scrape"):
            self.faults.labels(where)  # from 0 on: a series that is born at 1 has no increase
        self.watchdog_seen = Gauge(
            "paramedic_watchdog_last_received_timestamp_seconds",
            "When Alertmanager last told this process of the alert Watchdog; 0: not yet.",
            registry=registry,
        )
        self.audit_length = Gauge(
            "paramedic_audit_chain_length", "Lines of the audit chain; 0 without a key.", registry=registry
        )  # fmt: skip
        self.audit_head = Gauge(
            "paramedic_audit_chain_head_info",
            "Always 1; the last line's hash, shortened, and the id of the key.",
            ["hash", "key"],
            registry=registry,
        )
        self.audit_intact = Gauge(
            "paramedic_audit_chain_intact",
            "0: the audit chain is not what its newest checkpoint saw.",
            registry=registry,
        )
        self.audit_checkpoint = Gauge(
            "paramedic_audit_checkpoint_timestamp_seconds",
            "When the audit chain was last looked at.",
            registry=registry,
        )
        self.audit_intact.set(1)

    def audited(self, length: int, head: str, key: str, intact: bool, at: datetime) -> None:
        """How the audit chain stands."""
        self.audit_length.set(length)
        self.audit_head.clear()  # one series, not one more a minute
        self.audit_head.labels(head[:12], key).set(1)
        self.audit_intact.set(intact)
        self.audit_checkpoint.set(at.timestamp())

    def stored(self, operation: str, took_s: float) -> None:
        """One read or write of the store."""
        self.store_seconds.labels(operation).observe(took_s)

    def published(self, sink: str, result: str) -> None:
        """One batch for a sink."""
        self.sink_batches.labels(sink, result).inc()

    def probe(self, name: str, result: str, took_s: float) -> None:
        """One reading, as diagnose/gather.py reports it."""
        self.probe_seconds.labels(name).observe(took_s)
        self.probes.labels(name, result).inc()
