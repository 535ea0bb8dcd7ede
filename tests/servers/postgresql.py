"""A PostgreSQL server of our own, and a migrated database per test, made from a template."""

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rehearsal.servers import free_port
from tests.servers import SERVERS, require
from tests.stores import migrate

HINT = "run tests/servers/install.sh debian (package postgresql)"
_TEMPLATE = "migrated"


def _programs() -> Path | None:
    """The folder of initdb and pg_ctl: on the PATH, or where Debian keeps them."""
    found = shutil.which("initdb")
    roots = (Path("/usr/lib/postgresql"), SERVERS / "debian/usr/lib/postgresql")
    packaged = sorted(path for root in roots for path in root.glob("*/bin/initdb"))
    return Path(found).resolve().parent if found else packaged[-1].parent if packaged else None


@dataclass
class PostgreSQL:
    """A running server. `url` ends in a slash; a database's name follows."""

    url: str
    port: int
    programs: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def create(self, name: str | None = None, template: str = _TEMPLATE) -> str:
        """The URL of a new database, migrated already."""
        name = name or f"t{next(self._numbers)}"
        self._run("createdb", "-T", template, name)
        return self.url + name

    def drop(self, url: str) -> None:
        """Drops a database, whoever is connected to it."""
        self._run("dropdb", "--force", url.removeprefix(self.url))

    def _run(self, program: str, *argv: str) -> None:
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "paramedic")
        command = [str(self.programs / program), *where, *argv]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)


@contextmanager
def postgresql_server() -> Iterator[PostgreSQL]:
    """Runs a server until the block ends, or skips the test that asks for it."""
    programs = require("postgresql", _programs(), HINT)
    user = "nobody" if os.getuid() == 0 else None  # the server refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="paramedic-pg-"))
    if user:
        shutil.chown(folder, user)
    port = free_port()

    def run(*argv: str) -> None:
        command = [str(programs / argv[0]), "-D", str(folder / "data"), *argv[1:]]
        with (folder / "told").open("ab") as told:
            subprocess.run(
                command, user=user, cwd=folder, check=True, timeout=60, stdout=told, stderr=told
            )

    try:
        run("initdb", "-A", "trust", "-U", "paramedic", "--no-sync", "-E", "UTF8")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {folder}"
        run("pg_ctl", "-w", "-o", options, "-l", str(folder / "log"), "start")
        try:
            made = PostgreSQL(f"postgresql://paramedic@127.0.0.1:{port}/", port, programs)
            migrate(made.create(_TEMPLATE, "template0"))
            yield made
        finally:
            run("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)
