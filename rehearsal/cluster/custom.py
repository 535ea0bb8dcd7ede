"""Custom resources: which are installed, by a definition or by the embedder.

Every schema is open: spec and status take any field. Never here:
what an operator does with its objects.
"""

from rehearsal.cluster.objects import Object
from rehearsal.cluster.resources import DEFINITIONS, WRITE, Generation, Resource
from rehearsal.cluster.store import Store


class CustomResources:
    """By path, kind and plural; what is not installed does not exist, group and version
    included.
    """

    def __init__(self) -> None:
        self._installed: dict[tuple[str, str, str], Resource] = {}

    def follow(self, store: Store) -> None:
        """From now on what is defined is installed, and goes with its definition."""

        def changed(resource: Resource, old: Object | None, new: Object | None) -> None:
            if resource is not DEFINITIONS:
                return
            if old is None and new is not None:
                self.install(defined_by(new))
            elif new is None and old is not None:
                self.remove(defined_by(old))
                store.forget(defined_by(old))

        store.listen(changed)

    def install(self, resource: Resource) -> None:
        self._installed[resource.group, resource.version, resource.plural] = resource

    def remove(self, resource: Resource) -> None:
        self._installed.pop((resource.group, resource.version, resource.plural), None)

    def by_path(self, group: str, version: str, plural: str) -> Resource | None:
        return self._installed.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        return next(
            (
                resource
                for resource in self._installed.values()
                if (resource.api_version, resource.kind) == (api_version, kind)
            ),
            None,
        )

    def by_plural(self, plural: str) -> Resource | None:
        return next(
            (resource for resource in self._installed.values() if resource.plural == plural), None
        )

    def has_version(self, group: str, version: str) -> bool:
        return any(key[:2] == (group, version) for key in self._installed)

    def versions(self, group: str) -> list[str]:
        return sorted({key[1] for key in self._installed if key[0] == group})


def custom(
    group: str, version: str, plural: str, kind: str, *, namespaced: bool = True
) -> Resource:
    """A kind with an open schema and a status of its own."""
    return Resource(
        group,
        version,
        plural,
        kind,
        namespaced=namespaced,
        verbs=WRITE,
        subresources=frozenset({"status"}),
        generation=Generation.SPEC,
        has_status=True,
        custom=True,
    )


def defined_by(definition: Object) -> Resource:
    """The resource that a CustomResourceDefinition with one version brings."""
    spec = definition["spec"]
    names = spec["names"]
    return custom(
        spec["group"],
        spec["versions"][0]["name"],
        names["plural"],
        names["kind"],
        namespaced=spec.get("scope") != "Cluster",
    )
