"""Changing one value of a ConfigMap and restarting those that read it, as one action."""

from dataclasses import dataclass

from service.act import config_values
from service.act.kind import Deed, Hand, Kind, Permit, TargetState, Writers
from service.act.objects import replaced, taken
from service.clients.kubernetes_write import KubernetesWriter
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, Mode, NotPossible
from service.model.objects import ObjectRef, Write
from service.model.reasons import Reason
from service.model.target import Target


@dataclass(frozen=True, slots=True)
class ConfigArguments:
    """`from` is the value that was seen. `readers` are written as `Deployment/NAME`,
    or `NAME` of the target's kind;
    without any it is the target.
    """

    config_map: str
    key: str
    from_: str | int
    to: str | int
    readers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PatchConfig:
    """Set a value from the one that was seen to another, and restart its readers. Idempotent:
    the value is absolute, and each reader's template carries the action's id.
    """

    target: Target
    config_map: str
    key: str
    from_: str
    to: str
    readers: tuple[Target, ...]

    def __str__(self) -> str:
        change = f"from {self.from_[:60]} to {self.to[:60]}"
        readers = ", ".join(reader.name for reader in self.readers)
        return f"set {self.key} in ConfigMap {self.config_map} {change} and restart {readers}"

    @property
    def ref(self) -> ObjectRef:
        return config_values.ref_to(self.target.namespace, self.config_map)


def plan(target: Target, arguments: ConfigArguments) -> PatchConfig | NotPossible:
    """The change, of a ConfigMap and readers in the target's namespace."""
    from_, to = str(arguments.from_), str(arguments.to)
    readers = config_values.change_of(
        target, arguments.config_map, arguments.key, from_, to, arguments.readers
    )
    if isinstance(readers, NotPossible):
        return readers
    return PatchConfig(target, arguments.config_map, arguments.key, from_, to, readers)


def _writes(request: PatchConfig, action_id: str) -> tuple[Write, ...]:
    return config_values.writes(request.ref, request.key, request.to, request.readers, action_id)


def _inverse(request: PatchConfig) -> PatchConfig:
    return PatchConfig(
        request.target, request.config_map, request.key, request.to, request.from_, request.readers
    )


@dataclass(frozen=True, slots=True)
class ConfigHand:
    """Asks the server about all writes first: a reader that cannot be restarted
    leaves the value as it is.
    """

    client: KubernetesWriter

    async def apply(self, permit: Permit[PatchConfig]) -> Deed:
        if await self.read_back(permit.intent, permit.deadline) is TargetState.APPLIED:
            detail = "it has the value, and its readers were restarted by this action"
            return Deed(Applied.DONE, Reason.ALREADY_DONE, detail)
        only_checked = permit.intent.mode is Mode.DRY_RUN
        for dry_run in (True,) if only_checked else (True, False):
            if ended := await self._write(permit, dry_run=dry_run):
                return ended
        return taken(permit.intent, str(permit.intent.request))

    async def _write(self, permit: Permit[PatchConfig], *, dry_run: bool) -> Deed | None:
        intent, request, mark = permit.intent, permit.intent.request, permit.intent.action_id
        change = (request.key, request.from_, request.to)
        ended = await config_values.write(
            self.client, permit, request.ref, change, mark=mark, dry_run=dry_run
        )
        return ended or await config_values.restart_all(
            self.client,
            permit,
            request.readers,
            mark=mark,
            at=intent.intended_at,
            dry_run=dry_run,
        )

    async def read_back(self, intent: Intent[PatchConfig], deadline: Deadline) -> TargetState:
        request = intent.request
        found = await self.client.get(request.ref.path, deadline=deadline)
        if replaced(intent, request.ref, found):
            return TargetState.REPLACED
        now = config_values.value_of(found, request.key)
        if now not in (request.from_, request.to):
            return TargetState.CHANGED
        if now == request.from_:
            return TargetState.UNTOUCHED
        done = await config_values.restarted(
            self.client, request.readers, intent.action_id, deadline
        )
        if done:
            return TargetState.APPLIED
        # The value alone changes nothing that runs: it is written by this action,
        # and goes on, or it was so before.
        ours = config_values.mark_on(found, request.key) == intent.action_id
        return TargetState.UNDER_WAY if ours else TargetState.UNTOUCHED


def _bind(writers: Writers) -> Hand[PatchConfig] | None:
    return ConfigHand(writers.kubernetes) if writers.kubernetes else None


KIND = Kind(
    name="patch_config",
    arguments=ConfigArguments,
    request=PatchConfig,
    plan=plan,
    bind=_bind,
    needs=config_values.NEEDS,
    writes=_writes,
    inverse=_inverse,
    interrupts=True,
)
