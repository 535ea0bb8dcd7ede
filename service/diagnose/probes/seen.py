"""The target itself: which object it is, and who owns it. Read beside every chapter's own probes."""

from service.clients.kubernetes import KubernetesReader
from service.diagnose.probes.ownership import owners_of
from service.kit.deadline import Deadline
from service.model.errors import Refused
from service.model.objects import Seen
from service.model.reasons import Reason
from service.model.target import Target


async def seen(kubernetes: KubernetesReader, target: Target, *, deadline: Deadline) -> Seen:
    """The target's identity now. Raises Refused(not_found) for one that does not exist."""
    if target.ref is None:
        raise Refused(Reason.NOT_FOUND, f"{target} is no object of the cluster", 404)
    found = await kubernetes.get(target.ref.path, deadline=deadline)
    metadata = found.get("metadata") or {}
    return Seen(
        uid=str(metadata.get("uid", "")),
        generation=int(metadata.get("generation") or 0),
        owners=await owners_of(kubernetes, found, deadline=deadline),
    )
