"""Counters whose values are the store's: they go on after a restart where they were,
and all replicas say the same.

Never here: counting. What the store says is put here before a scrape is answered.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class TotalsCounter(Collector):
    """One counter. Until it was set it has no series: a scrape that could not ask the
    store says nothing of it.
    """

    def __init__(
        self, name: str, help_text: str, labels: Sequence[str], *, registry: CollectorRegistry
    ) -> None:
        self._name, self._help, self._labelnames = name, help_text, tuple(labels)
        self._values: Mapping[tuple[str, ...], int] = {}
        registry.register(self)

    @property
    def labels(self) -> Sequence[str]:
        """Their names."""
        return self._labelnames

    def describe(self) -> Iterable[Metric]:
        return [self._family()]

    def collect(self) -> Iterator[Metric]:
        family = self._family()
        for labels, value in sorted(self._values.items()):
            family.add_metric(labels, value)
        yield family

    def set(self, values: Iterable[tuple[Sequence[str], int]]) -> None:
        """All series anew; of equal labels the sum."""
        sums: dict[tuple[str, ...], int] = {}
        for labels, value in values:
            key = tuple(labels)
            sums[key] = sums.get(key, 0) + value
        self._values = sums

    def _family(self) -> CounterMetricFamily:
        return CounterMetricFamily(self._name, self._help, labels=self._labelnames)
