"""PodDisruptionBudgets: how many of the selected pods may go now.

Never here: evictions.
"""

import math

from rehearsal.cluster import selectors
from rehearsal.cluster.objects import Object, clone, is_ready, is_terminating
from rehearsal.cluster.resources import BUDGETS, PODS
from rehearsal.cluster.world import World


class Budgets:
    """Keeps the status of each budget."""

    def __init__(self, world: World) -> None:
        self._world = world

    def sync(self, namespace: str, name: str) -> None:
        """One budget against the pods as they are."""
        stored = self._world.store.get(BUDGETS, namespace, name)
        if stored is None:
            return
        budget = clone(stored)
        pods = [p for p in self._world.store.all(PODS, namespace) if protects(budget, p)]
        healthy = sum(is_ready(p) and not is_terminating(p) for p in pods)
        desired = _desired(budget["spec"], len(pods))
        allowed = max(0, healthy - desired) if pods else 0
        generation = budget["metadata"].get("generation", 1)
        budget["status"] = {
            "observedGeneration": generation,
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": len(pods),
            "conditions": [self._condition(budget, allowed, generation)],
        }
        self._world.write(BUDGETS, budget)

    def _condition(self, budget: Object, allowed: int, generation: int) -> Object:
        status = "True" if allowed else "False"
        before = budget.get("status", {}).get("conditions") or [{}]
        same = before[0].get("status") == status
        return {
            "type": "DisruptionAllowed",
            "status": status,
            "observedGeneration": generation,
            "lastTransitionTime": before[0]["lastTransitionTime"] if same else self._world.now(),
            "reason": "SufficientPods" if allowed else "InsufficientPods",
            "message": "",
        }


def protects(budget: Object, pod: Object) -> bool:
    """Whether the budget is about this pod."""
    return selectors.matches_labels(
        budget["spec"].get("selector", {}), pod["metadata"].get("labels", {})
    )


def _desired(spec: Object, pods: int) -> int:
    if "maxUnavailable" in spec:
        return max(0, pods - _count(spec["maxUnavailable"], pods))
    return _count(spec.get("minAvailable", 1), pods)


def _count(wanted: int | str, pods: int) -> int:
    """A number, or a share of the pods, rounded up."""
    if isinstance(wanted, int):
        return wanted
    return math.ceil(int(wanted.rstrip("%")) * pods / 100)
