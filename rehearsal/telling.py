"""Tells an incident on a terminal as its steps are recorded; what a round repeats is told once.

Never here: where the record comes from.
"""

from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape

from service.desk.story import step_lines

_COLOURS = {"diagnosed": "cyan", "decided": "yellow", "ruled": "yellow", "acted": "bold magenta",
            "verified": "bold green", "moved": "bold", "called": "bold magenta"}  # fmt: skip


@dataclass(slots=True)
class Telling:
    """Tells one incident. Any: JSON of the API."""

    console: Console
    told: int = 0
    looked: dict[str, Any] | None = None  # the last diagnosis
    decided: object = None  # what the last decision said
    quiet: bool = False  # the last round said nothing new

    def tell(self, record: dict[str, Any]) -> None:
        """What is new in the record."""
        if not self.told and not record["steps"]:
            return
        if not self.told:
            alert = record["alerts"][0]
            self.console.print(
                f"\n[bold red]alert {alert['labels']['alertname']}[/] {escape(alert['annotations']['summary'])}"
                f" -> incident {record['id']}"
            )
        steps = record["steps"][self.told :]
        self.told += len(steps)
        for step in steps:
            if not self._seen_before(step):
                self._print(step)

    def _seen_before(self, step: dict[str, Any]) -> bool:
        """Whether the step says what the last rounds said:
        rounds that change nothing are told once.
        """
        match step["step"]:
            case "read":
                return bool(step["healed"] != "holds")  # not healed yet
            case "diagnosed":
                self.looked = step
                return True  # told with the decision that was made on it
            case "decided":
                said = (step["chosen"], tuple((c["rung"], c["reason"]) for c in step["considered"]))
                again, self.decided = said == self.decided, said
                if not again and self.looked is not None:
                    self._print(self.looked)
                self.quiet = again
                return again
            case "again":
                return True
            case "moved" if step["state"] in ("open", "verifying"):
                return self.quiet
            case _:
                return False

    def _print(self, step: dict[str, Any]) -> None:
        colour = _COLOURS.get(step["step"], "dim")
        for place, line in enumerate(step_lines(step)):
            self.console.print(
                f"[{colour}]{escape(line)}[/]" if place == 0 else f"[dim]{escape(line)}[/]"
            )


def tell_end(console: Console, record: dict[str, Any], url: str) -> None:
    """What was done, and where to read on."""
    for action in record["actions"]:
        console.print(
            escape(
                f"  {action['rung']}: {action['applied']} -> {action['outcome']} ({action['outcome_reason']})"
            )
        )
    console.print(
        f"\n  decision record  {url}/api/v1/incidents/{record['id']}\n  ledger           {url}/api/v1/actions\n"
        f"  metrics          {url}/metrics\n  as text          paramedic incidents {record['id']} --url {url}"
    )
