"""Deployment -> ReplicaSet -> Pods: the rollout, step by step, as kube-controller-manager takes it.

Each call takes one step and writes the status; the write brings the next call. Never here:
pods (see `replicasets`), minReadySeconds (taken as 0).
"""

from datetime import timedelta

from rehearsal.cluster.objects import (
    Object,
    clone,
    condition,
    is_terminating,
    name_of,
    namespace_of,
    owner_of,
    parse_stamp,
    short_hash,
    stamp,
    uid_of,
    without_zeros,
)
from rehearsal.cluster.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from rehearsal.cluster.rollout import (
    DESIRED,
    HISTORY,
    MOST,
    REVISION,
    complete,
    is_scaling,
    matching,
    progressed,
    recreates,
    revision_of,
    sizes,
    surge,
    total_of,
    unavailable,
)
from rehearsal.cluster.world import World, owner_reference

_OURS = (REVISION, HISTORY, DESIRED, MOST, "kubectl.kubernetes.io/last-applied-configuration")
_COMPONENT = "deployment-controller"


class Deployments:
    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.store

    def sync(self, namespace: str, name: str) -> None:
        stored = self._store.get(DEPLOYMENTS, namespace, name)
        if stored is None or is_terminating(stored) or self._noted_pause(stored):
            return
        deployment = clone(stored)
        sets = self._sets_of(deployment)
        if deployment["spec"].get("paused") or is_scaling(deployment, sets):
            newest = matching(deployment, sets)
            self._spread(deployment, sets, newest)
            self._write_status(deployment, newest, rolling=False)
            return
        newest = self._newest(deployment, sets)
        if deployment["spec"]["strategy"]["type"] == "Recreate":
            self._recreate(deployment, newest)
        elif not self._grow(deployment, newest):
            self._shrink(deployment, newest)
        self._write_status(deployment, newest, rolling=True)

    def _sets_of(self, deployment: Object) -> list[Object]:
        """Oldest first."""
        owned = [
            entry
            for entry in self._store.all(REPLICA_SETS, namespace_of(deployment))
            if (owner := owner_of(entry, "Deployment")) and owner["uid"] == uid_of(deployment)
        ]
        return sorted(owned, key=revision_of)

    def _noted_pause(self, deployment: Object) -> bool:
        """Pausing and resuming are first of all a condition,
        written before anything else is looked at.
        """
        paused, progress = (
            bool(deployment["spec"].get("paused")),
            condition(deployment, "Progressing") or {},
        )
        was_paused = progress.get("reason") == "DeploymentPaused"
        if paused == was_paused or progress.get("reason") == "ProgressDeadlineExceeded":
            return False
        changed = clone(deployment)
        word = "paused" if paused else "resumed"
        self._set_condition(
            changed["status"],
            "Progressing",
            "Unknown",
            f"Deployment{word.capitalize()}",
            f"Deployment is {word}",
        )
        self._world.write(DEPLOYMENTS, changed)
        return True

    def _newest(self, deployment: Object, sets: list[Object]) -> Object:
        """The ReplicaSet of the current template: found again (a rollback),
        or made with its first replicas.
        """
        newest = matching(deployment, sets)
        number = 1 + max((revision_of(entry) for entry in sets if entry is not newest), default=0)
        if newest is not None:
            if revision_of(newest) < number:
                newest = self._renumbered(newest, number)
        else:
            newest = self._made(deployment, sets, number)
            self._set_condition(
                deployment["status"],
                "Progressing",
                "True",
                "NewReplicaSetCreated",
                f'Created new replica set "{name_of(newest)}"',
            )
        deployment["metadata"].setdefault("annotations", {})[REVISION] = str(revision_of(newest))
        return newest

    def _renumbered(self, replica_set: Object, revision: int) -> Object:
        changed = clone(replica_set)
        notes = changed["metadata"]["annotations"]
        notes[HISTORY] = ",".join(filter(None, (notes.get(HISTORY), notes[REVISION])))
        notes[REVISION] = str(revision)
        return self._world.write(REPLICA_SETS, changed, subresource="")

    def _made(self, deployment: Object, sets: list[Object], revision: int) -> Object:
        template = clone(deployment["spec"]["template"])
        suffix = short_hash([template, deployment["status"].get("collisionCount", 0)])
        template["metadata"].setdefault("labels", {})["pod-template-hash"] = suffix
        wanted = deployment["spec"]["replicas"]
        others = sum(entry["spec"]["replicas"] for entry in sets)
        first = (
            wanted
            if recreates(deployment)
            else max(0, min(wanted, wanted + surge(deployment) - others))
        )
        if recreates(deployment) and others:
            first = 0
        notes = {
            key: value
            for key, value in deployment["metadata"].get("annotations", {}).items()
            if key not in _OURS
        }
        selector = clone(deployment["spec"]["selector"])
        selector.setdefault("matchLabels", {})["pod-template-hash"] = suffix
        made = self._world.make(
            REPLICA_SETS,
            {
                "kind": "ReplicaSet",
                "apiVersion": "apps/v1",
                "metadata": {
                    "name": f"{name_of(deployment)}-{suffix}",
                    "namespace": namespace_of(deployment),
                    "generation": 1,
                    "labels": dict(template["metadata"]["labels"]),
                    "annotations": notes | sizes(deployment) | {REVISION: str(revision)},
                    "ownerReferences": [owner_reference(deployment)],
                },
                "spec": {"replicas": first, "selector": selector, "template": template},
                "status": {"replicas": 0},
            },
        )
        if first:
            self._tell_scaled(deployment, made, 0, first)
        return made

    def _grow(self, deployment: Object, newest: Object) -> bool:
        wanted, current = deployment["spec"]["replicas"], newest["spec"]["replicas"]
        if current > wanted:
            self._resize(deployment, newest, wanted)
            return True
        total = sum(entry["spec"]["replicas"] for entry in self._sets_of(deployment))
        room = min(wanted + surge(deployment) - total, wanted - current)
        if room <= 0:
            self._resize(deployment, newest, current)  # the notes of its size may have to follow
            return False
        self._resize(deployment, newest, current + room)
        return True

    def _shrink(self, deployment: Object, newest: Object) -> None:
        sets = self._sets_of(deployment)
        older = [
            entry for entry in sets if uid_of(entry) != uid_of(newest) and entry["spec"]["replicas"]
        ]
        least = deployment["spec"]["replicas"] - unavailable(deployment)
        missing = newest["spec"]["replicas"] - newest["status"].get("availableReplicas", 0)
        spare = sum(entry["spec"]["replicas"] for entry in sets) - least - missing
        if not older or spare <= 0:
            return
        for entry in older:  # the unhealthy ones go first: they serve nobody
            sick = min(
                entry["spec"]["replicas"] - entry["status"].get("availableReplicas", 0), spare
            )
            if sick > 0:
                spare -= sick
                self._resize(deployment, entry, entry["spec"]["replicas"] - sick)
        healthy = sum(entry["status"].get("availableReplicas", 0) for entry in sets) - least
        for entry in self._sets_of(deployment):
            if uid_of(entry) != uid_of(newest) and healthy > 0 and entry["spec"]["replicas"]:
                down = min(entry["spec"]["replicas"], healthy)
                healthy -= down
                self._resize(deployment, entry, entry["spec"]["replicas"] - down)

    def _recreate(self, deployment: Object, newest: Object) -> None:
        for entry in self._sets_of(deployment):
            if uid_of(entry) != uid_of(newest) and entry["spec"]["replicas"]:
                self._resize(deployment, entry, 0)
                return
        old_uids = {uid_of(entry) for entry in self._sets_of(deployment)} - {uid_of(newest)}
        lingering = any(
            (owner := owner_of(pod, "ReplicaSet")) and owner["uid"] in old_uids
            for pod in self._store.all(PODS, namespace_of(deployment))
        )
        if not lingering:
            self._resize(deployment, newest, deployment["spec"]["replicas"])

    def _spread(self, deployment: Object, sets: list[Object], newest: Object | None) -> None:
        """A change of size alone. In the middle of a rollout all of it goes
        to the largest ReplicaSet.
        """
        active = [entry for entry in sets if entry["spec"]["replicas"]]
        largest = max(active, key=lambda entry: int(entry["spec"]["replicas"]), default=newest)
        target = newest if newest in active else largest
        if target is None:
            return
        rest = sum(entry["spec"]["replicas"] for entry in active if entry is not target)
        room = deployment["spec"]["replicas"] + (surge(deployment) if rest else 0) - rest
        for entry in active:
            if entry is not target:
                self._resize(deployment, entry, entry["spec"]["replicas"])
        self._resize(deployment, target, max(0, room))

    def _resize(self, deployment: Object, replica_set: Object, replicas: int) -> None:
        changed = clone(
            self._store.get(REPLICA_SETS, namespace_of(replica_set), name_of(replica_set))
        )
        if changed is None:
            return
        before = changed["spec"]["replicas"]
        changed["metadata"].setdefault("annotations", {}).update(sizes(deployment))
        if before != replicas:
            changed["spec"]["replicas"] = replicas
            changed["metadata"]["generation"] = changed["metadata"].get("generation", 0) + 1
        self._world.write(REPLICA_SETS, changed, subresource="")
        if before != replicas:
            self._tell_scaled(deployment, replica_set, before, replicas)

    def _tell_scaled(
        self, deployment: Object, replica_set: Object, before: int, after: int
    ) -> None:
        way = "up" if after > before else "down"
        self._world.recorder.tell(
            deployment,
            "ScalingReplicaSet",
            f"Scaled {way} replica set {name_of(replica_set)} from {before} to {after}",
            _COMPONENT,
        )

    def _write_status(self, deployment: Object, newest: Object | None, *, rolling: bool) -> None:
        sets = self._sets_of(deployment)
        newest = next(
            (entry for entry in sets if newest is not None and uid_of(entry) == uid_of(newest)),
            None,
        )
        old = deployment["status"]
        total, available = total_of(sets, "replicas"), total_of(sets, "availableReplicas")
        status = without_zeros(
            {
                "observedGeneration": deployment["metadata"].get("generation", 0),
                "replicas": total,
                "updatedReplicas": newest["status"].get("replicas", 0) if newest else 0,
                "readyReplicas": total_of(sets, "readyReplicas"),
                "availableReplicas": available,
                "unavailableReplicas": max(0, total - available),
                "terminatingReplicas": total_of(sets, "terminatingReplicas"),
            },
            keep=("terminatingReplicas",),
        )
        status |= {key: old[key] for key in ("conditions", "collisionCount") if key in old}
        enough = available >= deployment["spec"]["replicas"] - unavailable(deployment)
        word = "has" if enough else "does not have"
        self._set_condition(
            status,
            "Available",
            "True" if enough else "False",
            f"MinimumReplicas{'Available' if enough else 'Unavailable'}",
            f"Deployment {word} minimum availability.",
        )
        if rolling and newest is not None:
            self._judge_progress(deployment, status, newest)
        deployment["status"] = status
        self._world.write(DEPLOYMENTS, deployment)
        if rolling and complete(deployment, status):
            self._clean_up(deployment, sets, newest)

    def _judge_progress(self, deployment: Object, status: Object, newest: Object) -> None:
        old, name = deployment["status"], name_of(newest)
        current = condition({"status": status}, "Progressing") or {}
        done_before = current.get("reason") == "NewReplicaSetAvailable"
        if done_before and status.get("replicas", 0) == status.get("updatedReplicas", 0):
            return
        if complete(deployment, status):
            self._set_condition(
                status,
                "Progressing",
                "True",
                "NewReplicaSetAvailable",
                f'ReplicaSet "{name}" has successfully progressed.',
            )
        elif progressed(old, status):
            self._set_condition(
                status,
                "Progressing",
                "True",
                "ReplicaSetUpdated",
                f'ReplicaSet "{name}" is progressing.',
                renew=True,
            )
        else:
            self._judge_deadline(deployment, status, current, name)

    def _judge_deadline(
        self, deployment: Object, status: Object, current: Object, name: str
    ) -> None:
        if not current or current["reason"] in {
            "NewReplicaSetAvailable",
            "ProgressDeadlineExceeded",
        }:
            return
        patience = timedelta(seconds=deployment["spec"]["progressDeadlineSeconds"])
        late_at, now = parse_stamp(current["lastUpdateTime"]) + patience, self._world.clock.now()
        if now >= late_at:
            self._set_condition(
                status,
                "Progressing",
                "False",
                "ProgressDeadlineExceeded",
                f'ReplicaSet "{name}" has timed out progressing.',
            )
            return
        key = namespace_of(deployment), name_of(deployment)
        self._world.timers.after(
            (late_at - now).total_seconds(), lambda: self.sync(*key), patient=True
        )

    def _clean_up(self, deployment: Object, sets: list[Object], newest: Object | None) -> None:
        empty = [
            entry
            for entry in sets
            if newest is not None
            and uid_of(entry) != uid_of(newest)
            and not entry["spec"]["replicas"]
            and not entry["status"].get("replicas")
        ]
        for entry in empty[: max(0, len(empty) - deployment["spec"]["revisionHistoryLimit"])]:
            self._store.remove(REPLICA_SETS, entry)

    def _set_condition(
        self,
        status: Object,
        kind: str,
        value: str,
        reason: str,
        message: str,
        *,
        renew: bool = False,
    ) -> None:
        """Unchanged ones stay where they are; a changed one goes to the end, as the server has
        it.
        """
        others = [entry for entry in status.get("conditions", []) if entry["type"] != kind]
        old = condition({"status": status}, kind) or {}
        if (old.get("status"), old.get("reason")) == (value, reason) and not renew:
            return
        now = stamp(self._world.clock.now())
        since = old["lastTransitionTime"] if old.get("status") == value else now
        status["conditions"] = [
            *others,
            {
                "type": kind,
                "status": value,
                "lastUpdateTime": now,
                "lastTransitionTime": since,
                "reason": reason,
                "message": message,
            },
        ]
