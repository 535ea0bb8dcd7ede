"""5.1: somebody took rights from the platform's Role, and the services are refused."""

from rehearsal.cluster import Object
from rehearsal.platform import NAMESPACE
from rehearsal.scenarios.rules import Fired
from rehearsal.scenarios.scenario import Proposed, Scenario
from rehearsal.scenarios.world import World


async def _as_known_good(world: World) -> None:
    world.seed_known_good("role-carbon-ingestion", "rolebinding-carbon-ingestion")


async def _without_leases(world: World) -> None:
    def take_away(role: Object) -> None:
        role["rules"] = [r for r in role["rules"] if "leases" not in r["resources"]]

    world.cluster.edit("roles", NAMESPACE, "carbon-ingestion", take_away)


async def _refused(world: World) -> bool:
    role = world.cluster.get("roles", NAMESPACE, "carbon-ingestion")
    return not any("leases" in rule["resources"] for rule in role["rules"])


SCENARIO = Scenario(
    name="5.1",
    row="5.1",
    breaks="Somebody edits the Role carbon-ingestion: its right to leases is gone, and requests end with 403.",
    does="It finds the drift against the known-good manifest, and proposes to apply that.",
    end=Proposed("restore-rbac"),
    prepares=_as_known_good,
    wrecks=_without_leases,
    fired=Fired("AuthFailuresHigh", "Deployment/normalization-service", value="3"),
    ill=_refused,
)
