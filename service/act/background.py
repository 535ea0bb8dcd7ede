"""A BACKUP or RESTORE that ClickHouse runs in the background, followed by its id to the end.

The id is the action's, so that a second start of the same one is refused by the server. What the
server knows of it is in memory: after a restart of the server it has forgotten, and the statement
is sent again; then the server finds the backup, or the data, in its way and says so.
Never here: which statement.
"""

from dataclasses import dataclass
from typing import TypeVar

from service.act.kind import Deed, Permit, TargetState
from service.clients.clickhouse_write import ClickHouseWriter
from service.kit.deadline import Deadline
from service.model.action import Applied, Mode, Request
from service.model.errors import Refused, Unavailable
from service.model.reasons import Reason

R = TypeVar("R", bound=Request)

AGAIN_S = 5.0
_LONGEST_ERROR = 300  # characters


@dataclass(frozen=True, slots=True)
class Operation:
    """What the server says about one id: its status, its error,
    and the size of the backup in bytes.
    """

    status: str
    error: str
    size_bytes: int

    @property
    def state(self) -> TargetState:
        """Over and good, over and bad, or going on."""
        if self.status in ("BACKUP_CREATED", "RESTORED"):
            return TargetState.APPLIED
        if self.status in ("CREATING_BACKUP", "RESTORING"):
            return TargetState.UNDER_WAY
        return TargetState.CHANGED


async def find(client: ClickHouseWriter, action_id: str, deadline: Deadline) -> Operation | None:
    """The operation of that id; None where the server knows none."""
    rows = await client.query(
        "SELECT status, error, total_size FROM system.backups WHERE id = %(id)s"
        " ORDER BY start_time DESC LIMIT 1",
        {"id": action_id},
        deadline=deadline,
    )
    if not rows:
        return None
    row = rows[0]
    # The rest is a stack trace.
    error = " ".join(str(row["error"]).partition(", Stack trace")[0].split())
    return Operation(str(row["status"]), error[:_LONGEST_ERROR], int(str(row["total_size"])))


async def follow(
    client: ClickHouseWriter, permit: Permit[R], statement: str, *, what: str, failed: Reason
) -> Deed:
    """Starts the statement once, and says how it stands. `statement` ends before its SETTINGS."""
    intent = permit.intent
    if intent.mode is Mode.DRY_RUN:
        return Deed(Applied.DRY, Reason.MODE_DRY_RUN, f"it would run: {statement}")
    try:
        found = await find(client, intent.action_id, permit.deadline)
    except Unavailable as error:
        if error.reason is Reason.LATE:
            raise
        detail = f"not known how it stands: {error.detail}"
        return Deed(Applied.STARTED, error.reason, detail, AGAIN_S)
    if found is None:
        return await _start(client, permit, statement, what)
    match found.state:
        case TargetState.APPLIED if found.size_bytes > 0:
            return Deed(Applied.DONE, Reason.DONE, f"{what}: {found.size_bytes} bytes")
        case TargetState.UNDER_WAY:
            return Deed(Applied.STARTED, Reason.IN_PROGRESS, f"{what}: {found.status}", AGAIN_S)
        case _:
            detail = f"{what}: {found.status}: {found.error or f'{found.size_bytes} bytes'}"
            return Deed(Applied.FAILED, failed, detail)


async def _start(client: ClickHouseWriter, permit: Permit[R], statement: str, what: str) -> Deed:
    try:
        await client.execute(
            f"{statement} SETTINGS id=%(id)s ASYNC",
            {"id": permit.intent.action_id},
            confirm=permit.confirm,
            deadline=permit.deadline,
        )
    except Refused as error:
        if "another backup with the same ID" not in error.detail:
            raise  # it was started in between, by an attempt whose reply was lost
    return Deed(Applied.STARTED, Reason.IN_PROGRESS, f"{what}: started", 1.0)


async def read_back(client: ClickHouseWriter, action_id: str, deadline: Deadline) -> TargetState:
    """How the operation stands. One that failed is under way still: `apply` says why it failed."""
    found = await find(client, action_id, deadline)
    if found is None:
        return TargetState.UNTOUCHED
    done = found.state is TargetState.APPLIED and found.size_bytes > 0
    return TargetState.APPLIED if done else TargetState.UNDER_WAY
