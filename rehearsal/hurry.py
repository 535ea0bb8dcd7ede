"""The shipped playbooks with their waits shortened, so that a rehearsal fits into a minute or two.

What changes is only how long and how much; matchers, conditions' fields, remedies and their order stay as shipped.
"""

from pathlib import Path

import yaml

RUNAWAY_S = 3  # instead of 300: how old a query has to be
LAG_HEALED = 500  # instead of 5000


def hurry(shipped: Path, into: Path) -> Path:
    """Writes the playbooks of `shipped` to `into` with short waits. Raises FileNotFoundError when there are none."""
    files = sorted(shipped.glob("*.yaml"))
    if not files:
        raise FileNotFoundError(
            f"{shipped}: no playbooks; run the demo from a checkout of Paramedic"
        )
    into.mkdir(parents=True, exist_ok=True)
    for file in files:
        text = file.read_text().replace(
            "longest_query_s > 300.0", f"longest_query_s > {RUNAWAY_S}.0"
        )
        text = text.replace("lag_total < 5000", f"lag_total < {LAG_HEALED}")
        content = yaml.safe_load(text)
        if "sample_s" in content.get("with", {}):
            content["with"]["sample_s"] = 1
        content["verify"] = {"settle": "3s", "within": "40s", "every": "1s", "readings": 3}
        content["limits"] = {**content.get("limits", {}), "cooldown": "1s"}
        for remedy in content.get("remedies", ()):
            remedy.pop("verify", None)  # the playbook's, which is short now
            if "kill_query" in remedy["do"]:
                remedy["do"]["kill_query"]["min_elapsed_s"] = RUNAWAY_S
                remedy["verify"] = {"settle": "1s", "within": "6s", "every": "1s", "readings": 3}
        (into / file.name).write_text(yaml.safe_dump(content, sort_keys=False))
    return into
