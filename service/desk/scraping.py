"""What a scrape needs from the store and from the limits, put into the
metrics before it is answered.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from service.guard.question import Policy
from service.kit.clock import Clock
from service.model.action import Mode
from service.model.errors import Unavailable
from service.model.incident import IncidentState
from service.model.playbook import Budget, Playbook
from service.publish import tally
from service.record.metrics import Metrics
from service.store.figures import Figures, Seen, Spent
from service.store.inbox import Inbox
from service.store.outbox import Outbox
from service.store.tallies import Tallies, Total

Ready: TypeAlias = str | None  # why a webhook would not be taken


@dataclass(frozen=True, slots=True)
class Scraping:
    """The figures of now."""

    metrics: Metrics
    figures: Figures
    tallies: Tallies
    outbox: Outbox
    inbox: Inbox
    playbooks: Sequence[Playbook]
    policy: Callable[[], Policy]
    clock: Clock

    async def refresh(self, not_ready: Ready) -> None:
        """Puts them there. With the store away its own figures stay as they
        were, and a fault is counted.
        """
        metrics, now, policy = self.metrics, self.clock.now(), self.policy()
        metrics.ready.set(0 if not_ready else 1)
        metrics.inbox_waiting.set(self.inbox.waiting)
        for mode in Mode:
            metrics.mode.labels(mode).set(1 if mode is policy.ceiling else 0)
        try:
            seen = await self.figures.seen(now, self._longest(policy))
            totals = await self.tallies.totals()
            behind = await self.outbox.behind(now)
        except Unavailable:
            metrics.faults.labels("scrape").inc()
            return
        self._standing(seen, now)
        self._budgets(seen.spent, policy.overall, now)
        self._totals(seen, totals)
        for sink, lag in behind.items():
            metrics.sink_lag_steps.labels(sink).set(lag.steps)
            metrics.sink_lag_seconds.labels(sink).set(lag.waits_s)
            metrics.sink_failures.labels(sink).set(lag.failures)

    def _longest(self, policy: Policy) -> timedelta:
        budgets = [policy.overall, *(p.limits.per_playbook for p in self.playbooks)]
        return timedelta(seconds=max(budget.window_s for budget in budgets))

    def _standing(self, seen: Seen, now: datetime) -> None:
        metrics, oldest_at = self.metrics, seen.oldest_waiting_at
        known = {playbook.name for playbook in self.playbooks}
        metrics.open_incidents.clear()
        for playbook in known | {playbook for playbook, _ in seen.incidents}:
            for state in IncidentState:
                if state is not IncidentState.CLOSED:
                    count = seen.incidents.get((playbook, state), 0)
                    metrics.open_incidents.labels(playbook, state).set(count)
        metrics.approvals_waiting.set(seen.approvals)
        metrics.dead_letters.set(seen.dead_letters)
        age_s = (now - oldest_at).total_seconds() if oldest_at else 0.0
        metrics.inbox_oldest_seconds.set(max(0.0, age_s))

    def _budgets(self, spent: Sequence[Spent], overall: Budget, now: datetime) -> None:
        left = self.metrics.budget_left
        left.labels("").set(_left(overall, [s.at for s in spent], now))
        for playbook in self.playbooks:
            its = [s.at for s in spent if s.playbook == playbook.name]
            left.labels(playbook.name).set(_left(playbook.limits.per_playbook, its, now))

    def _totals(self, seen: Seen, totals: Sequence[Total]) -> None:
        metrics = self.metrics
        metrics.ledger_actions.set(
            ((a.playbook, a.rung, a.action, a.target_kind, a.mode, a.applied), a.lines)
            for a in seen.actions
            if a.applied is not None
        )
        metrics.ledger_outcomes.set(
            ((a.playbook, a.rung, a.action, a.target_kind, a.outcome), a.lines)
            for a in seen.actions
            if a.outcome is not None and a.mode != Mode.DRY_RUN
        )
        for name, counter in (
            (tally.RULINGS, metrics.journal_rulings),
            (tally.ESCALATIONS, metrics.journal_escalations),
        ):
            labels = counter.labels
            counter.set(
                ([t.labels.get(label, "") for label in labels], t.value)
                for t in totals
                if t.name == name
            )


def _left(budget: Budget, spent: Sequence[datetime], now: datetime) -> int:
    since = now - timedelta(seconds=budget.window_s)
    return max(0, budget.count - sum(at > since for at in spent))
