"""Acting: the only room with clients that can write. One file per kind of action,
after the contract in `kind.py`.

Lives here: `KINDS`, the kinds by the word that a playbook gives under `do:`, and the executor
(send once, read back when a reply was lost). A new kind is a file, a line below, and its tests:
the loader, the ledger's codec, dry runs, RBAC and the reference follow from it.
Never here: whether something may be done.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from service.act import (
    apply_known_good,
    backup_database,
    delete_pod,
    drop_partitions,
    human,
    kill_query,
    operator_restart,
    patch_config,
    patch_memory_limit,
    patch_pod_annotations,
    patch_probe_delay,
    recover,
    restart_in_order,
    restore_database,
    rollout_restart,
    rollout_undo,
    scale,
    scale_to,
    timed_config,
)
from service.act.kind import AnyKind

Kinds: TypeAlias = Mapping[str, AnyKind]

_ALL: Sequence[AnyKind] = (
    scale.KIND,
    scale_to.KIND,
    rollout_restart.KIND,
    rollout_undo.KIND,
    patch_memory_limit.KIND,
    patch_probe_delay.KIND,
    patch_pod_annotations.KIND,
    patch_config.KIND,
    timed_config.KIND,
    delete_pod.KIND,
    operator_restart.KIND,
    apply_known_good.KIND,
    kill_query.KIND,
    backup_database.KIND,
    restore_database.KIND,
    drop_partitions.KIND,
    restart_in_order.KIND,
    recover.KIND,
    human.KIND,
)

KINDS: Kinds = {kind.name: kind for kind in _ALL}
