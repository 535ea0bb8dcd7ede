"""Whether a workload has come to rest after a step of a course: rolled out,
or at the count that was written.

Never here: how long that may take.
"""

from service.clients.kubernetes import KubernetesReader, Object, workload_path
from service.diagnose.probes.workload import desired, pods_of, rollout_complete
from service.kit.deadline import Deadline
from service.model.course import Settles
from service.model.target import Target


async def settled(
    kubernetes: KubernetesReader, target: Target, settles: Settles, *, deadline: Deadline
) -> bool:
    """True when it has. Raises what the reader raises."""
    found = await kubernetes.get(workload_path(target), deadline=deadline)
    if not rollout_complete(target.kind, found) or _ready(found) < desired(found):
        return False
    if settles is Settles.SCALED and desired(found) == 0:
        # The status counts no pod that is being deleted, and one of these may still write.
        return not await pods_of(kubernetes, target.namespace, found, deadline=deadline)
    return True


def _ready(found: Object) -> int:
    return int((found.get("status") or {}).get("readyReplicas") or 0)
