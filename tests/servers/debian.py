"""Finds the servers that Debian packages: on the PATH, or unpacked by install.sh without root."""

import os
import shutil
from pathlib import Path

from tests.servers import SERVERS

UNPACKED = SERVERS / "debian"


def found(name: str) -> Path | None:
    """The executable `name`, or None."""
    if (
        on_path := shutil.which(
            name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
        )
    ) is not None:
        return Path(on_path)
    places = (UNPACKED / place / name for place in ("usr/bin", "usr/sbin"))
    return next((path for path in places if path.is_file()), None)


def environment(exe: Path) -> dict[str, str]:
    """What an unpacked executable needs in its environment: its libraries lie beside it."""
    if UNPACKED not in exe.parents:
        return {}
    places = (
        "usr/lib/x86_64-linux-gnu",
        "lib/x86_64-linux-gnu",
        "usr/lib",
        "usr/lib/aarch64-linux-gnu",
    )
    return {"LD_LIBRARY_PATH": ":".join(str(UNPACKED / place) for place in places)}
