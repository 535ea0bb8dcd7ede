"""Acting: the only room with clients that can write. One file per kind of action, after the contract in `kind.py`.

Lives here: `KINDS`, the kinds by the word that a playbook gives under `do:`, and the executor (send once, read back
when a reply was lost). A new kind is a file, a line below, and its tests: the loader, the ledger's codec, dry runs,
RBAC and the reference follow from it.
Never here: whether something may be done.
"""

from collections.abc import Mapping
from typing import TypeAlias

from service.act import human, kill_query, rollout_restart, scale
from service.act.kind import AnyKind

Kinds: TypeAlias = Mapping[str, AnyKind]

KINDS: Kinds = {
    kind.name: kind for kind in (scale.KIND, rollout_restart.KIND, kill_query.KIND, human.KIND)
}
