"""The shipped playbooks with their waits shortened, so that a rehearsal fits into a minute or two.

What changes is only how long, how much and where; matchers, conditions' fields,
remedies and their order stay as shipped.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

RUNAWAY_S = 3  # instead of 300: how old a query has to be
LAG_HEALED = 500  # instead of 5000
STUCK_S = 3  # instead of 180: how long a pod is not ready
SILENT_S = 3  # instead of 1200: how long ago the last line was written

# Waits that conditions name, as shipped and in a rehearsal. All else that they name stays.
_SHORTER = {
    "longest_query_s > 300.0": f"longest_query_s > {RUNAWAY_S}.0",
    "hog_elapsed_s > 30.0": f"hog_elapsed_s > {RUNAWAY_S}.0",
    "stuck_for_s > 180.0": f"stuck_for_s > {STUCK_S}.0",
    "last_age_s > 1200.0": f"last_age_s > {SILENT_S}.0",
    "last_age_s < 1200.0": f"last_age_s < {SILENT_S}.0",
    "lag_total < 5000": f"lag_total < {LAG_HEALED}",
}


def hurry(
    shipped: Path, into: Path, *, pace_s: float = 1.0, elsewhere: Mapping[str, str] | None = None
) -> Path:
    """Writes the playbooks of `shipped` to `into` with short waits.
    Raises FileNotFoundError when there are none.

    `pace_s` is the pause between two readings. `elsewhere` says where what they name is in this
    rehearsal: patterns of text, and what stands there instead.
    """
    files = sorted(shipped.glob("*.yaml"))
    if not files:
        raise FileNotFoundError(
            f"{shipped}: no playbooks; run the demo from a checkout of Paramedic"
        )
    into.mkdir(parents=True, exist_ok=True)
    for file in files:
        text = _moved(file.read_text(), {**_literally(_SHORTER), **(elsewhere or {})})
        (into / file.name).write_text(_quick(text, pace_s))
    return into


def beside(shipped: Path, into: Path, elsewhere: Mapping[str, str]) -> None:
    """The table of causes and the parameters of quick diagnostics, beside the folders of
    playbooks.
    """
    shutil.copy(shipped.parent / "causes.yaml", into.parent)
    quick = _moved((shipped.parent / "quick.yaml").read_text(), elsewhere)
    (into.parent / "quick.yaml").write_text(quick)


def _literally(texts: Mapping[str, str]) -> dict[str, str]:
    return {re.escape(text): instead for text, instead in texts.items()}


def _moved(text: str, patterns: Mapping[str, str]) -> str:
    for pattern, instead in patterns.items():
        text = re.sub(pattern, instead, text)
    return text


def _quick(text: str, pace_s: float) -> str:
    content = yaml.safe_load(text)
    every = f"{max(0.1, pace_s):g}s"
    if "sample_s" in content.get("with", {}):
        content["with"]["sample_s"] = pace_s
    content["verify"] = {
        "settle": f"{3 * pace_s:g}s", "within": "40s", "every": every, "readings": 3,
    }  # fmt: skip
    content["limits"] = {**content.get("limits", {}), "cooldown": every}
    for remedy in content.get("remedies", ()):
        remedy.pop("verify", None)  # the playbook's, which is short now
        if "kill_query" in remedy["do"]:
            remedy["do"]["kill_query"]["min_elapsed_s"] = RUNAWAY_S
            remedy["verify"] = {"settle": every, "within": "6s", "every": every, "readings": 3}
    return yaml.safe_dump(content, sort_keys=False)
