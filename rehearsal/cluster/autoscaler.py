"""HorizontalPodAutoscaler without metrics: it keeps its target within its bounds,
and is off while the target is 0.

Never here: metrics. A target
inside the bounds is left alone, as the real one leaves it when it cannot read any.
"""

from rehearsal.cluster import managed
from rehearsal.cluster.objects import Object, clone, name_of, namespace_of, stamp
from rehearsal.cluster.resources import AUTOSCALERS, DEPLOYMENTS, STATEFUL_SETS
from rehearsal.cluster.scale import with_replicas
from rehearsal.cluster.world import CONTROLLER, World

_COMPONENT = "horizontal-pod-autoscaler"
_NO_METRICS = (
    "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from "
    "resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)"
)


class Autoscalers:
    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.store

    def sync(self, namespace: str, name: str) -> None:
        stored = self._store.get(AUTOSCALERS, namespace, name)
        if stored is None:
            return
        scaler = clone(stored)
        reference = scaler["spec"]["scaleTargetRef"]
        resource = {"Deployment": DEPLOYMENTS, "StatefulSet": STATEFUL_SETS}.get(reference["kind"])
        target = self._store.get(resource, namespace, reference["name"]) if resource else None
        if resource is None or target is None:
            self._note(
                scaler,
                "AbleToScale",
                "False",
                "FailedGetScale",
                "the HPA controller was unable to get the "
                f'target\'s current scale: {reference["kind"]} "{reference["name"]}" not found',
            )
            self._world.write(AUTOSCALERS, scaler)
            return
        now = target["spec"]["replicas"]
        lowest, highest = scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]
        scaler["status"] = {
            key: value for key, value in scaler["status"].items() if key != "currentReplicas"
        }
        if now:
            scaler["status"]["currentReplicas"] = now
        if now == 0:
            self._off(scaler)
        elif now == min(max(now, lowest), highest):
            self._watching(scaler)
        else:
            self._rescale(scaler, now, min(max(now, lowest), highest))
            changed = with_replicas(target, min(max(now, lowest), highest))
            managed.scaled(target, changed, CONTROLLER)
            self._store.write(resource, changed)
        self._world.write(AUTOSCALERS, scaler)

    def _off(self, scaler: Object) -> None:
        scaler["status"] |= {"desiredReplicas": 0, "currentMetrics": None}
        self._able(scaler)
        self._note(
            scaler,
            "ScalingActive",
            "False",
            "ScalingDisabled",
            "scaling is disabled since the replica count of the target is zero",
        )

    def _watching(self, scaler: Object) -> None:
        scaler["status"].setdefault("desiredReplicas", 0)
        self._able(scaler)
        self._blind(scaler)
        self._world.recorder.tell(
            scaler, "FailedGetResourceMetric", _NO_METRICS, _COMPONENT, kind="Warning"
        )

    def _rescale(self, scaler: Object, now: int, wanted: int) -> None:
        side = "below Spec.MinReplicas" if wanted > now else "above Spec.MaxReplicas"
        scaler["status"] |= {
            "desiredReplicas": wanted,
            "currentMetrics": None,
            "lastScaleTime": self._world.now(),
        }
        self._note(
            scaler,
            "AbleToScale",
            "True",
            "SucceededRescale",
            f"the HPA controller was able to update the target scale to {wanted}",
        )
        self._blind(scaler)
        self._world.recorder.tell(
            scaler,
            "SuccessfulRescale",
            f"New size: {wanted}; reason: Current number of replicas {side}",
            _COMPONENT,
        )

    def _able(self, scaler: Object) -> None:
        self._note(
            scaler,
            "AbleToScale",
            "True",
            "SucceededGetScale",
            "the HPA controller was able to get the target's current scale",
        )

    def _blind(self, scaler: Object) -> None:
        self._note(
            scaler,
            "ScalingActive",
            "False",
            "FailedGetResourceMetric",
            f"the HPA was unable to compute the replica count: {_NO_METRICS}",
        )

    def _note(self, scaler: Object, kind: str, value: str, reason: str, message: str) -> None:
        conditions = scaler["status"].setdefault("conditions", [])
        old = next((entry for entry in conditions if entry["type"] == kind), None)
        now = stamp(self._world.clock.now())
        entry = {
            "type": kind,
            "status": value,
            "reason": reason,
            "message": message,
            "lastTransitionTime": old["lastTransitionTime"]
            if old and old["status"] == value
            else now,
        }
        if old is None:
            conditions.append(entry)
        else:
            conditions[conditions.index(old)] = entry


def scales(scaler: Object, kind: str, workload: Object) -> bool:
    reference = scaler["spec"]["scaleTargetRef"]
    return (namespace_of(scaler), reference["kind"], reference["name"]) == (
        namespace_of(workload),
        kind,
        name_of(workload),
    )
