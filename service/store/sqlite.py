"""SQLite: the one writer thread with its group commit, the file it writes
to, and who owns that file.

Every transaction that waits is run, each in a savepoint of its own, inside one BEGIN IMMEDIATE ..
COMMIT: one fsync for many. All are answered after the commit; one that fails is taken back alone.
"""

import asyncio
import fcntl
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from service.model.errors import BadConfig, Unavailable
from service.model.reasons import Reason

MOST_TRANSACTIONS = 64  # of one commit ...
LONGEST_S = 0.02  # ... and how long it takes more of them in
BUSY_TIMEOUT_MS = 800  # for a lock that another process holds; webhooks are told within two seconds

FAULTS = (SQLAlchemyError, sqlite3.Error, OSError)


class StoreFile:
    """Which file was opened. A commit into a file that was deleted or replaced would
    be lost at the next start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = {p: self._identity(p) for p in (path, path.with_name(path.name + "-wal"))}

    @staticmethod
    def _identity(path: Path) -> tuple[int, int] | None:
        try:
            found = os.stat(path)  # noqa: PTH116 - before each commit, and three times as quick as Path's
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def check(self) -> None:
        """Raises Unavailable(store_replaced)."""
        for path, known in self._known.items():
            if known is not None and self._identity(path) != known:
                raise Unavailable(
                    Reason.STORE_REPLACED,
                    f"store {path}: deleted or replaced while it was open; what is written now would be lost",
                )


@dataclass(slots=True)
class _Job:
    work: Callable[[sa.Connection], Any]  # Any: each transaction returns what it likes
    done: "asyncio.Future[Any]"
    optional: bool  # nobody needs it any more when its caller is gone


class Writer:
    """The only thread that writes."""

    def __init__(self, engine: sa.Engine, file: StoreFile) -> None:
        self._engine = engine
        self._file = file
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._connection: sa.Connection | None = None
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="store-write", daemon=True)
        self._thread.start()

    def submit(
        self, work: Callable[[sa.Connection], Any], *, optional: bool = False
    ) -> "asyncio.Future[Any]":
        """Queues a transaction. The future is resolved after its commit."""
        job = _Job(work, self._loop.create_future(), optional)
        self._jobs.put(job)
        return job.done

    def close(self) -> None:
        """Commits what is queued, then ends. Blocks."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not (job.optional and job.done.cancelled()):
                self._commit_with(job)
        self._drop()

    def _commit_with(self, first: _Job) -> None:
        """One commit: the first job and what waits behind it."""
        taken: list[_Job] = [first]
        results: list[tuple[_Job, Any, BaseException | None]] = []
        try:
            self._file.check()
            connection = self._connected()
            transaction = connection.begin()
            raw: Any = connection.connection.dbapi_connection  # Any: the driver's own connection
            ends_at = time.monotonic() + LONGEST_S
            while True:
                results.append(self._one(connection, raw, taken[-1], alone=len(taken) == 1))
                if not raw.in_transaction:
                    raise _TakenBackError
                if len(taken) == 1 and results[0][2] is not None:
                    transaction.rollback()
                    self._answer(results)
                    return
                if len(taken) >= MOST_TRANSACTIONS or time.monotonic() >= ends_at:
                    break
                following = self._next()
                if following is None:
                    break
                taken.append(following)
            transaction.commit()
            self._file.check()
        except _TakenBackError:
            # SQLite took the whole transaction back: a full disk, an I/O error.
            self._drop()
            error = next((e for _, _, e in reversed(results) if e), None) or down("taken back")
            shared = error if isinstance(error, Unavailable) else down("taken back with another")
            results = [(job, None, e or shared) for job, _, e in results]
        except BaseException as error:  # noqa: BLE001 - a dead writer would leave all waiting
            self._drop()
            fault = error if isinstance(error, Unavailable) else down(str(error) or repr(error))
            waiting = iter(self._next, None)  # they have waited as long: do not try them one by one
            results = [(job, None, fault) for job in (*taken, *waiting)]
        self._answer(results)

    def _one(
        self, connection: sa.Connection, raw: Any, job: _Job, *, alone: bool
    ) -> tuple[_Job, Any, BaseException | None]:
        """Runs a job. The first needs no savepoint: when it fails there is nothing else to keep."""
        try:
            if alone:
                return job, job.work(connection), None
            raw.execute("SAVEPOINT job")
            try:
                result = job.work(connection)
            except BaseException:
                if raw.in_transaction:
                    raw.execute("ROLLBACK TO job")
                raise
            finally:
                if raw.in_transaction:
                    raw.execute("RELEASE job")
        except FAULTS as error:
            fault: BaseException = down(str(error))
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
            fault = error
        else:
            return job, result, None
        return job, None, fault

    def _next(self) -> _Job | None:
        """A job that waits, if there is one."""
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return None
            if job is None:  # the end, kept for the loop
                self._jobs.put(None)
                return None
            if not (job.optional and job.done.cancelled()):
                return job

    def _connected(self) -> sa.Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def _drop(self) -> None:
        """A connection that failed is not used again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.invalidate()
                connection.close()
            except FAULTS:  # it is thrown away because it is broken
                return

    def _answer(self, results: list[tuple[_Job, Any, BaseException | None]]) -> None:
        try:
            self._loop.call_soon_threadsafe(_resolve, results)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return


class _TakenBackError(Exception):
    """The transaction is gone although nobody ended it."""


def _resolve(results: list[tuple[_Job, Any, BaseException | None]]) -> None:
    for job, result, error in results:
        if job.done.done():
            continue
        if error is None:
            job.done.set_result(result)
        else:
            job.done.set_exception(error)


def down(what: str) -> Unavailable:
    """The store did not do it. Only the first line: the others quote the values."""
    return Unavailable(Reason.STORE_DOWN, f"store: {(what.splitlines() or ['failed'])[0]}")


def lock(path: Path) -> IO[str]:
    """The right to the file, held until it is closed: two services would each
    believe in their own claims.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock_file = path.with_name(path.name + ".lock").open("w")
    except OSError as error:
        raise BadConfig(f"store {path}: its folder has to be writable: {error.strerror}") from error
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock_file.close()
        raise BadConfig(
            f"store {path}: another Paramedic has it open; stop that one, or use PostgreSQL for replicas"
        ) from error
    return lock_file


def engine(url: sa.URL) -> sa.Engine:
    """Connections that keep what they took: WAL, and a commit that returned survives a power
    cut.
    """
    made = sa.create_engine(url)
    sa.event.listen(made, "connect", _tune)
    sa.event.listen(made, "begin", _begin)
    return made


def _tune(connection: Any, _record: object) -> None:  # Any: the driver's own connection
    # The driver must not begin transactions by itself: _begin does, so that two writers queue
    # at the start instead of failing in the middle.
    connection.isolation_level = None
    cursor = connection.cursor()
    # First of all: without it the journal mode below fails at once on a file that is locked.
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    # A checkpoint every 16 MiB and not every 4: each costs two more fsyncs.
    pragmas = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "wal_autocheckpoint=4096")
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    reading = connection.get_execution_options().get("reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
