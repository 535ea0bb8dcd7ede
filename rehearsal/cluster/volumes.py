"""PersistentVolumes and their claims without a provisioner: Available, Bound, Released, Lost.

Never here: what deletion waits for (the protecting finalizers), storage classes.
"""

from rehearsal.cluster import quantity
from rehearsal.cluster.objects import Object, clone, name_of, namespace_of, uid_of
from rehearsal.cluster.resources import CLAIMS, VOLUMES
from rehearsal.cluster.world import World


class Volumes:
    """Binds the claims that no volume has to the volumes that no claim has."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.store

    def sync_volume(self, _: str, name: str) -> None:
        """A volume that came, changed or went."""
        volume = self._store.get(VOLUMES, "", name)
        if volume is None:
            for claim in self._claims_of(name):
                self._world.write(CLAIMS, clone(claim) | {"status": {"phase": "Lost"}})
            return
        reference = volume["spec"].get("claimRef")
        if reference is None:
            self._phase(volume, "Available")
            for claim in self._store.all(CLAIMS):
                self.sync_claim(namespace_of(claim), name_of(claim))
            return
        claim = self._store.get(CLAIMS, reference["namespace"], reference["name"])
        if claim is not None and reference.get("uid", uid_of(claim)) == uid_of(claim):
            self._bind(claim, volume)
        elif volume["status"].get("phase") == "Bound":
            self._phase(volume, "Released")

    def sync_claim(self, namespace: str, name: str) -> None:
        """A claim that came, changed or went."""
        claim = self._store.get(CLAIMS, namespace, name)
        if claim is None:
            for volume in self._store.all(VOLUMES):
                reference = volume["spec"].get("claimRef", {})
                if (reference.get("namespace"), reference.get("name")) == (namespace, name):
                    self.sync_volume("", name_of(volume))
            return
        if claim["spec"].get("volumeName"):
            return
        fitting = [v for v in self._store.all(VOLUMES) if _fits(v, claim)]
        if fitting:
            self._bind(claim, min(fitting, key=_room))

    def _bind(self, claim: Object, volume: Object) -> None:
        if claim["status"].get("phase") == volume["status"].get("phase") == "Bound":
            return
        name = name_of(volume)
        kept, held = clone(volume), clone(claim)
        kept["spec"]["claimRef"] = {
            "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": namespace_of(claim),
            "name": name_of(claim), "uid": uid_of(claim),
            "resourceVersion": claim["metadata"]["resourceVersion"],
        }  # fmt: skip
        _annotate(kept, "bound-by-controller")
        self._phase(kept, "Bound")
        held["spec"]["volumeName"] = name
        _annotate(held, "bind-completed", "bound-by-controller")
        held["status"] = {
            "phase": "Bound", "accessModes": volume["spec"]["accessModes"],
            "capacity": dict(volume["spec"]["capacity"]),
        }  # fmt: skip
        self._world.write(CLAIMS, held)

    def _phase(self, volume: Object, phase: str) -> None:
        if volume["status"].get("phase") == phase:
            return
        changed = {"phase": phase, "lastPhaseTransitionTime": self._world.now()}
        self._world.write(VOLUMES, clone(volume) | {"status": changed})

    def _claims_of(self, volume: str) -> list[Object]:
        return [c for c in self._store.all(CLAIMS) if c["spec"].get("volumeName") == volume]


def _fits(volume: Object, claim: Object) -> bool:
    wanted, given = claim["spec"], volume["spec"]
    return (
        not given.get("claimRef")
        and given.get("storageClassName", "") == wanted.get("storageClassName", "")
        and set(wanted["accessModes"]) <= set(given["accessModes"])
        and _room(volume) >= (quantity.value(wanted["resources"]["requests"]["storage"]) or 0)
    )


def _room(volume: Object) -> float:
    return float(quantity.value(volume["spec"]["capacity"]["storage"]) or 0)


def _annotate(obj: Object, *names: str) -> None:
    annotations = obj["metadata"].setdefault("annotations", {})
    annotations |= {f"pv.kubernetes.io/{name}": "yes" for name in names}
