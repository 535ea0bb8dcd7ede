"""Which objects of the Kubernetes API an action is about, for whoever follows the journal. Pure."""

from typing import Any

from service.model.action import Intent, Kinds
from service.model.step import Touched


def touched(intent: Intent[Any], kinds: Kinds) -> tuple[Touched, ...]:
    """The objects that it writes to, or else its target where that is one;
    none for another system's things.
    """
    kind = kinds.get(intent.kind)
    refs = [w.ref for w in kind.writes(intent.request, intent.action_id)] if kind else []
    if not refs and (target := intent.request.target.ref) is not None:
        refs = [target]
    return tuple(
        Touched(ref.api, ref.kind, ref.namespace, ref.name, intent.uids.get(ref.path, ""))
        for ref in dict.fromkeys(refs)
    )
