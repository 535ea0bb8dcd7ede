"""Figures of one run: printed as a line each, and kept in build/bench.json."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).resolve().parents[2] / "build" / "bench.json"


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured several times."""

    name: str
    unit: str
    values: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        low, high, count = min(self.values), max(self.values), len(self.values)
        return (
            f"{self.name}: {self.median:.3g} {self.unit} ({low:.3g} to {high:.3g}, {count} rounds)"
        )


def save(figures: Sequence[Figure]) -> None:
    """Puts figures into the file; those of the same name are replaced, others stay."""
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    for figure in figures:
        known[figure.name] = {
            "unit": figure.unit, "median": figure.median, "min": min(figure.values),
            "max": max(figure.values), "rounds": len(figure.values),
        }  # fmt: skip
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
