"""Runs every benchmark and prints a table; `python -m tests.bench intake` runs one."""

import asyncio
import sys

from tests.bench import diagnosis, footprint, guards, intake, publish, work

BENCHES = {
    "intake": intake.run,
    "publish": publish.run,
    "work": work.run,
    "guards": guards.run,
    "diagnosis": diagnosis.run,
    "footprint": footprint.run,
}


async def main(names: list[str]) -> None:
    """Prints each benchmark's lines as they come."""
    for name in names or list(BENCHES):
        print(f"== {name}", flush=True)
        await BENCHES[name]()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
