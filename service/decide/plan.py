"""From a rung's arguments and the evidence to one concrete action, or the reason why there is none."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from service.model.action import Action, KillQuery, RolloutRestart, Scale
from service.model.evidence import Facts
from service.model.playbook import Do
from service.model.reasons import Reason
from service.model.target import Target


@dataclass(frozen=True, slots=True)
class NotPossible:
    """Why a rung that holds gives no action."""

    reason: Reason
    detail: str


Planned: TypeAlias = Action | NotPossible
Args: TypeAlias = Mapping[str, Any]  # Any: int, float or str, checked when the playbook was loaded


def plan(do: Do, target: Target, view: Mapping[str, Facts]) -> Planned:
    """The action with every template filled from the evidence."""
    args: dict[str, object] = {}
    for name, value in do.args.items():
        filled = value if isinstance(value, int | float | str) else value.render(view)
        if filled is None:
            text = getattr(value, "text", value)
            return NotPossible(Reason.EVIDENCE_UNKNOWN, f"{name}: {text} is not known")
        args[name] = filled
    return _PLANS[do.kind](target, args, view)


def _scale(target: Target, args: Args, view: Mapping[str, Facts]) -> Planned:
    desired = view["evidence"].get("pods", {}).get("desired")
    if desired is None:
        return NotPossible(Reason.EVIDENCE_UNKNOWN, "the present replica count is not known")
    ceiling = args["max"]
    # More consumers than partitions would only sit idle.
    partitions = view["evidence"].get("kafka", {}).get("partitions")
    if partitions:
        ceiling = min(ceiling, partitions)
    wanted = min(desired + args["by"], ceiling)
    if wanted <= desired:
        return NotPossible(Reason.AT_CEILING, f"{desired} replicas, and the ceiling is {ceiling}")
    return Scale(target, desired, wanted)


def _rollout_restart(target: Target, args: Args, view: Mapping[str, Facts]) -> Planned:
    return RolloutRestart(target)


def _kill_query(target: Target, args: Args, view: Mapping[str, Facts]) -> Planned:
    if not args["query_id"]:
        return NotPossible(Reason.NO_DATA, "no query runs")
    return KillQuery(target, str(args["query_id"]), str(args["user"]), float(args["min_elapsed_s"]))


_PLANS: Mapping[str, Callable[[Target, Args, Mapping[str, Facts]], Planned]] = {
    Scale.kind: _scale,
    RolloutRestart.kind: _rollout_restart,
    KillQuery.kind: _kill_query,
}
