"""The score of `make mutants`, and each survivor that docs/mutants.md does not explain.

Lives here: reading what mutmut left in its folder. Never here: making mutants, or running tests.
"""

import ast
import difflib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEFT = (
    ROOT / "mutants"
)  # mutmut's folder: the mutated sources, and beside each what came of its mutants
EXPLAINED = ROOT / "docs" / "mutants.md"
PACKAGES = ("guard", "decide", "incident", "verify")

SURVIVED, UNTESTED = (0,), (5, 33)  # exit codes: the tests passed; no test runs the function


@dataclass(frozen=True, slots=True)
class Survivor:
    """A mutant that no test noticed: where it is, and the lines as they were and as they became."""

    place: str  # PATH:LINE
    was: str
    became: str

    @property
    def key(self) -> str:
        """As docs/mutants.md writes it, without the line's number, which every edit moves."""
        return f"`{self.was}` → `{self.became}`"


def survivors(source: Path, names: list[str]) -> Iterator[Survivor]:
    """Finds each mutant's function beside the unmutated one, and tells the lines that differ."""
    path = source.relative_to(LEFT)
    text = source.read_text(encoding="utf-8")
    made = _functions(text)
    original = _functions((ROOT / path).read_text(encoding="utf-8"))
    for name in names:
        short = name.rpartition(".")[2]
        mangled = short.rpartition("__mutmut_")[0]
        function = mangled.rpartition("ǁ")[2].removeprefix("x_")
        before, after = made[f"{mangled}__mutmut_orig"], made[short]
        was, became, at = _difference(before[1], after[1])
        yield Survivor(f"{path}:{original[function][0] + at}", was, became)


def _functions(text: str) -> dict[str, tuple[int, list[str]]]:
    """Each function's first line and its text, by its name."""
    lines = text.splitlines()
    return {
        node.name: (node.lineno, lines[node.lineno : node.end_lineno])
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _difference(before: list[str], after: list[str]) -> tuple[str, str, int]:
    """The lines that went and those that came, each joined to one,
    and how far below `def` they are.
    """
    was: list[str] = []
    became: list[str] = []
    first: int | None = None
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for tag, low, high, new_low, new_high in matcher.get_opcodes():
        if tag == "equal":
            continue
        first = low if first is None else first
        was += before[low:high]
        became += after[new_low:new_high]
    return _joined(was), _joined(became), 1 + (first or 0)


def _joined(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines)


def main(*, whole: bool) -> int:
    """Prints the score by package and the survivors; 1 where one is not explained.

    Also where one was not run of what was to be run as a `whole`.
    """
    explained = EXPLAINED.read_text(encoding="utf-8") if EXPLAINED.exists() else ""
    told, unknown, every = 0, list[Survivor](), Counter[str]()
    for package in PACKAGES:
        count = Counter[str]()
        for meta in sorted((LEFT / "service" / package).glob("*.py.meta")):
            ended: dict[str, int | None] = json.loads(meta.read_text())["exit_code_by_key"]
            count["all"] += len(ended)
            count["unrun"] += sum(code is None for code in ended.values())
            left = [name for name, code in ended.items() if code in (*SURVIVED, *UNTESTED)]
            for found in survivors(meta.with_suffix(""), left):
                count["left"] += 1
                if found.key in explained:
                    told += 1
                else:
                    unknown.append(found)
        every += count
        killed = count["all"] - count["left"] - count["unrun"]
        print(f"{package:9} {killed:5} of {count['all']:5} killed{_share(killed, count['all'])}")
    killed = every["all"] - every["left"] - every["unrun"]
    if not every["all"]:
        print("no mutant was made: run `make mutants`")
        return 1
    print(f"{'together':9} {killed:5} of {every['all']:5} killed{_share(killed, every['all'])}")
    print(f"{told} survivors are explained in docs/mutants.md, {len(unknown)} are not")
    for survivor in unknown:
        print(f"\n{survivor.place}\n- {survivor.key}")
    if every["unrun"]:
        print(f"\n{every['unrun']} mutants were not run")
    return 1 if unknown or (whole and every["unrun"]) else 0


def _share(part: int, whole: int) -> str:
    return f", {100 * part / whole:.1f} %" if whole else ""


if __name__ == "__main__":
    sys.exit(main(whole="--part" not in sys.argv))
