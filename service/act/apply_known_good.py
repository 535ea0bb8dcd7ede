"""Applying a manifest that is known to be good: exactly that, of a few kinds,
in the target's namespace only.

The manifests lie in a folder of the operator's; a playbook names a file and says which objects are
in it, so that their owners can be asked for before anything is read.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from service.act import manifests
from service.act.kind import Deed, Hand, Kind, Permit, TargetState, Writers
from service.act.manifests import KINDS, Manifest, difference
from service.act.objects import replaced
from service.act.pod_template import is_name
from service.clients.kubernetes_write import KubernetesWriter
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, Mode, NotPossible, Permission
from service.model.errors import Refused
from service.model.objects import ObjectRef, Write
from service.model.reasons import Reason
from service.model.target import Target

Object = Mapping[str, Any]  # Any: the JSON of an API object

_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}\.ya?ml")
_LONGEST_DIFF = 1_500  # characters


@dataclass(frozen=True, slots=True)
class KnownGoodArguments:
    """A file's name, and what is in it as `Kind/name`: `NetworkPolicy/kafka-ingress`."""

    manifest: str
    objects: Annotated[tuple[str, ...], Field(min_length=1, max_length=10)]


@dataclass(frozen=True, slots=True)
class ApplyKnownGood:
    """Make some objects as a manifest says. Idempotent: the manifest is absolute."""

    target: Target
    manifest: str
    objects: tuple[str, ...]

    def __str__(self) -> str:
        return f"apply the known good {self.manifest} ({', '.join(self.objects)})"

    @property
    def refs(self) -> tuple[ObjectRef, ...]:
        """The objects, in the order they are applied in."""
        return tuple(
            manifests.ref_to(kind, self.target.namespace, name)
            for kind, _, name in (text.partition("/") for text in self.objects)
        )


def plan(target: Target, arguments: KnownGoodArguments) -> ApplyKnownGood | NotPossible:
    """The file's name, without a way out of the folder, and objects of allowed kinds."""
    if not _FILE.fullmatch(arguments.manifest):
        detail = f"{arguments.manifest[:80]!r} is no file name; write name.yaml, without a folder"
        return NotPossible(Reason.MANIFEST_REFUSED, detail)
    for text in arguments.objects:
        kind, _, name = text.partition("/")
        if kind not in KINDS or not is_name(name):
            detail = f"{text[:80]!r} is not to be applied; write KIND/name of {', '.join(KINDS)}"
            return NotPossible(Reason.MANIFEST_REFUSED, detail)
    return ApplyKnownGood(target, arguments.manifest, arguments.objects)


def _writes(request: ApplyKnownGood, action_id: str) -> tuple[Write, ...]:
    return tuple(Write(ref, (KINDS[ref.kind].content,), None, known=False) for ref in request.refs)


@dataclass(frozen=True, slots=True)
class KnownGoodHand:
    """Server-side apply with force. A dry run of the same apply tells whether
    anything differs at all.
    """

    client: KubernetesWriter
    folder: Path

    async def apply(self, permit: Permit[ApplyKnownGood]) -> Deed:
        read = await self._read(permit.intent)
        if isinstance(read, str):
            return Deed(Applied.FAILED, Reason.MANIFEST_REFUSED, read)
        found: list[tuple[Manifest, Object | None]] = []
        differences: list[str] = []
        for manifest in read:
            live = await self._live(manifest.ref, permit.deadline)
            if live is not None and (other := replaced(permit.intent, manifest.ref, live)):
                return other
            found.append((manifest, live))
            differences += await self._difference(permit, manifest, live)
        told = "; ".join(differences)[:_LONGEST_DIFF]
        if not differences:
            return Deed(Applied.DONE, Reason.ALREADY_DONE, "nothing differs from the known good")
        if permit.intent.mode is Mode.DRY_RUN:
            detail = f"the server would take it: {told}"
            return Deed(Applied.DRY, Reason.MODE_DRY_RUN, detail)
        for manifest, live in found:
            await self._apply(permit, manifest, live, dry_run=False)
        return Deed(Applied.DONE, Reason.DONE, told)

    async def _read(self, intent: Intent[ApplyKnownGood]) -> Sequence[Manifest] | str:
        request = intent.request
        return await manifests.read(
            self.folder, request.manifest, request.refs, namespace=request.target.namespace
        )

    async def _live(self, ref: ObjectRef, deadline: Deadline) -> Object | None:
        try:
            return await self.client.get(ref.path, deadline=deadline)
        except Refused as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise

    async def _difference(
        self, permit: Permit[ApplyKnownGood], manifest: Manifest, live: Object | None
    ) -> list[str]:
        would = await self._apply(permit, manifest, live, dry_run=True)
        if live is None:
            return [f"{manifest.ref} is missing"]
        return [f"{manifest.ref} {line}" for line in difference(live, would)]

    async def _apply(
        self,
        permit: Permit[ApplyKnownGood],
        manifest: Manifest,
        live: Object | None,
        *,
        dry_run: bool,
    ) -> Object:
        # With the uid of what was read another object is refused,
        # and one that went in between is not made anew.
        uid = {"uid": live["metadata"]["uid"]} if live is not None else {}
        body = {**manifest.body, "metadata": {**manifest.body["metadata"], **uid}}
        return await self.client.apply(
            manifest.ref.path,
            body,
            force=True,
            action_id=permit.intent.action_id,
            dry_run=dry_run,
            confirm=permit.confirm,
            deadline=permit.deadline,
        )

    async def read_back(self, intent: Intent[ApplyKnownGood], deadline: Deadline) -> TargetState:
        read = await self._read(intent)
        if isinstance(read, str):
            return TargetState.CHANGED
        permit = Permit(intent, deadline, _confirmed)
        for manifest in read:
            live = await self._live(manifest.ref, deadline)
            if live is not None and replaced(intent, manifest.ref, live):
                return TargetState.REPLACED
            if await self._difference(permit, manifest, live):
                return TargetState.UNTOUCHED
        return TargetState.APPLIED


async def _confirmed() -> None:
    """A dry run writes nothing, so there is nothing to confirm."""


def _bind(writers: Writers) -> Hand[ApplyKnownGood] | None:
    if writers.kubernetes is None or writers.known_good is None:
        return None
    return KnownGoodHand(writers.kubernetes, writers.known_good)


KIND = Kind(
    name="apply_known_good",
    arguments=KnownGoodArguments,
    request=ApplyKnownGood,
    plan=plan,
    bind=_bind,
    needs=tuple(
        Permission(kind.group, kind.plural, ("get", "create", "patch"), kind.content)
        for kind in KINDS.values()
    ),
    writes=_writes,
)
