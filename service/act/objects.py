"""What the kinds that write to the Kubernetes API share: the uid in every
body, and how a write ends.
"""

from collections.abc import Mapping
from typing import Any

from service.act.kind import Deed
from service.model.action import Applied, Intent, Mode
from service.model.errors import Refused
from service.model.objects import ObjectRef
from service.model.reasons import Reason


def identity(intent: Intent[Any], ref: ObjectRef) -> dict[str, str]:
    """The uid for the body's metadata: the server refuses the write when another
    object has the name by now.
    """
    uid = intent.uids.get(ref.path)
    return {"uid": uid} if uid else {}


def replaced(intent: Intent[Any], ref: ObjectRef, found: Mapping[str, Any]) -> Deed | None:
    """The end of an action whose object was deleted and made anew since it was seen;
    None when it is the same.
    """
    seen, now = intent.uids.get(ref.path), str((found.get("metadata") or {}).get("uid", ""))
    if not seen or seen == now:
        return None
    detail = f"{ref} was deleted and made anew: it is {now}, and {seen} was seen"
    return Deed(Applied.FAILED, Reason.TARGET_REPLACED, detail)


def held(found: Mapping[str, Any]) -> dict[str, str]:
    """uid and version of what was just read, for the body's metadata:
    a change by somebody else in between wins.
    """
    metadata = found.get("metadata") or {}
    return {key: str(metadata[key]) for key in ("uid", "resourceVersion") if metadata.get(key)}


def annotations_of(found: Mapping[str, Any], *path: str) -> dict[str, str]:
    """The annotations of the metadata under `path`; none where there are none."""
    value: object = found
    for key in (*path, "metadata", "annotations"):
        value = value.get(key) if isinstance(value, Mapping) else None
    return dict(value) if isinstance(value, Mapping) else {}


def refused_as_replaced(intent: Intent[Any], ref: ObjectRef, error: Refused) -> Deed | None:
    """The same end where the server itself refused the uid in the body,
    as it does on the workload (422).
    """
    if error.reason is not Reason.INVALID_REQUEST or "metadata.uid" not in error.detail:
        return None
    seen = intent.uids.get(ref.path)
    detail = f"{ref} was deleted and made anew while the write was on its way; {seen} was seen"
    return Deed(Applied.FAILED, Reason.TARGET_REPLACED, detail)


def taken(intent: Intent[Any], detail: str) -> Deed:
    """The end of an action whose write the server took: done, or only checked."""
    if intent.mode is Mode.DRY_RUN:
        return Deed(Applied.DRY, Reason.MODE_DRY_RUN, f"the server would take it: {detail}")
    return Deed(Applied.DONE, Reason.DONE, detail)
