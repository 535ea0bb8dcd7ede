"""6.1: Prometheus does not find a service any more; or Prometheus itself is away."""

from rehearsal.cluster import Object
from rehearsal.platform import NAMESPACE
from rehearsal.scenarios.rules import Fired
from rehearsal.scenarios.scenario import HandedOver, Healed, Scenario
from rehearsal.scenarios.world import World
from rehearsal.standin import Sample

_SERVICE = "enrichment-service"
_WORKLOAD = f"Deployment/{_SERVICE}"
_ANNOTATIONS = {
    "prometheus.io/scrape": "true", "prometheus.io/port": "8511", "prometheus.io/path": "/metrics",
}  # fmt: skip
_FIRED = Fired(
    "MetricsAbsent", _WORKLOAD, {"source": "service", "metric": "messages_processed_total"}
)


async def _scraped(world: World) -> None:
    """Prometheus finds the pods that are annotated, and their endpoints answer."""
    _annotate(world, _ANNOTATIONS)
    await world.cluster.settled()

    def up() -> list[Sample]:
        found = [p["metadata"]["name"] for p in world.pods(_SERVICE) if _annotated(p)]
        return [({"job": "kubernetes-pods", "instance": name}, 1.0) for name in found]

    world.standin.series["platform:scrape_target:up"] = up


async def _without_annotations(world: World) -> None:
    _annotate(world, {})
    await world.cluster.settled()


async def _without_prometheus(world: World) -> None:
    world.standin.prometheus_answers = False


def _annotate(world: World, annotations: dict[str, str]) -> None:
    def change(deployment: Object) -> None:
        deployment["spec"]["template"]["metadata"]["annotations"] = annotations

    world.cluster.edit("deployments", NAMESPACE, _SERVICE, change)


def _annotated(pod: Object) -> bool:
    return bool(pod["metadata"].get("annotations", {}).get("prometheus.io/scrape") == "true")


async def _absent(world: World) -> bool:
    return not any(_annotated(pod) for pod in world.pods(_SERVICE))


ANNOTATIONS = Scenario(
    name="6.1",
    row="6.1",
    breaks="A rollout of enrichment-service forgets the prometheus.io annotations: Prometheus finds it no more.",
    does="It adds the annotations to the pod template, watches the rollout, and proves that the targets are up.",
    end=Healed("annotate"),
    prepares=_scraped,
    wrecks=_without_annotations,
    fired=_FIRED,
    ill=_absent,
)

PROMETHEUS = Scenario(
    name="6.1-prometheus",
    row="6.1",
    breaks="Prometheus answers nobody.",
    does="It changes nothing, and tells a person that Prometheus itself is away.",
    end=HandedOver("prometheus-unreachable", "Prometheus does not answer"),
    prepares=_scraped,
    wrecks=_without_prometheus,
    fired=_FIRED,
)
