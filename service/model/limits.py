"""Limits over all playbooks, beside the budgets: what the settings say, as the guards read it.

The defaults stand here, once; `settings/guard.py` takes them over.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BlastLimits:
    """How much may be touched at once, and what has to stay up meanwhile."""

    share_percent: float = 25.0  # of the workloads of a namespace; one may always be treated
    targets: int = 5  # in all namespaces together
    min_ready: int = 1  # pods of a target that stay ready


@dataclass(frozen=True, slots=True)
class PeopleLimits:
    """How long after a person's change an object is let be,
    and by which field managers persons are known.
    """

    rest_s: float = 300.0
    managers: tuple[str, ...] = (
        "kubectl*", "helm", "k9s*", "Lens*", "OpenLens*", "headlamp*", "dashboard*", "Mozilla*",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class CanaryLimits:
    """Of several targets of one playbook the first is healed before the second is acted on."""

    window_s: float = 3_600.0  # how long one that healed, or did not, speaks for the others


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """More new incidents than `opened` in `window_s` seconds: nothing is acted on for
    `cooldown_s`.
    """

    opened: int = 50
    window_s: float = 600.0
    cooldown_s: float = 900.0


@dataclass(frozen=True, slots=True)
class AttemptLimits:
    """When a ladder stops, because what it does does not help. Counted within `window_s`."""

    rung_failures: int = 2  # of one rung on one target, in a row
    returns: int = 3  # healed, and ill again
    playbook_failures: int = 5  # of one playbook, whatever the target, in a row
    window_s: float = 21_600.0
