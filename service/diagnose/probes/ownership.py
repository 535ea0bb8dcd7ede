"""Who holds the fields that a request writes."""

from collections.abc import Sequence

from service.clients.kubernetes import KubernetesReader
from service.kit.deadline import Deadline
from service.model.objects import Survey, Write


async def survey(
    kubernetes: KubernetesReader, writes: Sequence[Write], *, deadline: Deadline
) -> tuple[Survey, ...]:
    """The objects that are written, as they stand."""
    found = []
    for ref in {write.ref: None for write in writes}:
        body = await kubernetes.get(ref.path, deadline=deadline)
        found.append(Survey(ref, str(body["metadata"]["uid"])))
    return tuple(found)
