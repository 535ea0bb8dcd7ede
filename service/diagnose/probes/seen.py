"""The target itself: which object it is, and who owns it. Read beside every chapter's own
probes.
"""

from service.clients.kubernetes import KubernetesReader
from service.diagnose.probes.ownership import owners_of
from service.kit.deadline import Deadline
from service.model.objects import Seen
from service.model.target import Target


async def seen(kubernetes: KubernetesReader, target: Target, *, deadline: Deadline) -> Seen:
    """The target's identity now; an empty one for what is no object of the cluster.

    Raises Refused(not_found) for one that does not exist.
    """
    if target.ref is None:
        return Seen(uid="", generation=0)
    found = await kubernetes.get(target.ref.path, deadline=deadline)
    metadata = found.get("metadata") or {}
    return Seen(
        uid=str(metadata.get("uid", "")),
        generation=int(metadata.get("generation") or 0),
        owners=await owners_of(kubernetes, found, deadline=deadline),
    )
