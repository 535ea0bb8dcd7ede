"""The tables, for SQLite and PostgreSQL alike. Migrations in `migrations/` build
what this file describes.

Instants are whole microseconds since 1970 (UTC) in a big integer:
the same order and precision everywhere.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import sqlalchemy as sa

Row: TypeAlias = dict[str, Any]  # Any: what a driver gives for a row

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(at: datetime | None) -> int | None:
    """Microseconds since 1970."""
    if at is None:
        return None
    since = at - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


class Instant(sa.types.TypeDecorator[datetime]):
    """An aware UTC datetime, stored as microseconds since 1970."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        return micros(value)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        return None if value is None else EPOCH + timedelta(microseconds=value)


# SQLite only counts up by itself in an INTEGER primary key, PostgreSQL wants a BIGINT.
Serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")

metadata = sa.MetaData()

inbox = sa.Table(
    "inbox",
    metadata,
    sa.Column("id", Serial, primary_key=True, autoincrement=False),  # see store/inbox.py
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    # Equal bodies are stored once: this row's own, or none and the row's that `body_id` names.
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("body_id", sa.BigInteger, nullable=False, server_default="0"),
    sa.Index("inbox_received_at", "received_at", "body_id", "size"),
    # Only what repeats another's body: an index of few rows.
    sa.Index(
        "inbox_repeats",
        "body_id",
        sqlite_where=sa.text("body_id <> id"),
        postgresql_where=sa.text("body_id <> id"),
    ),
)

# The webhooks that are not sorted yet. A row of its own,
# because marking the webhook would write its body again.
waiting = sa.Table(
    "waiting",
    metadata,
    sa.Column(
        "inbox_id", sa.BigInteger, sa.ForeignKey("inbox.id"), primary_key=True, autoincrement=False
    ),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),  # sortings begun
    sa.Column("done", sa.Integer, nullable=False, server_default="0"),  # its alerts that are sorted
    sa.Column("owner", sa.Text),  # the process that sorts it, or did when it died
    sa.Column("owned_until", Instant),
)

dead_letters = sa.Table(
    "dead_letters",
    metadata,
    sa.Column("id", Serial, primary_key=True, autoincrement=True),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),  # the first 64 KiB
)

incidents = sa.Table(
    "incidents",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("playbook", sa.Text, nullable=False),
    sa.Column("target_kind", sa.Text, nullable=False),
    sa.Column("target_namespace", sa.Text, nullable=False),
    sa.Column("target_name", sa.Text, nullable=False),
    sa.Column("target_key", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("due_at", Instant),  # None: nothing to do until an alert changes
    sa.Column("closed_at", Instant),
    sa.Column(
        "rank", sa.Integer, nullable=False, server_default="0"
    ),  # what goes first of what is due
    sa.Column(
        "quiet", sa.Integer, nullable=False, server_default="0"
    ),  # looks that changed nothing
    sa.Column("owner", sa.Text),  # who works on it now
    sa.Column("claimed_until", Instant),
    sa.Column("claim", sa.BigInteger, nullable=False, server_default="0"),  # counts the claims
    sa.Column("course_id", sa.Text),  # the last one of `courses`: most incidents have none
    sa.Index("incidents_due", "rank", "due_at"),
    sa.Index("incidents_next_due", "due_at"),
    sa.Index("incidents_claimed", "claimed_until"),
    sa.Index("incidents_opened_at", "opened_at"),
    sa.Index("incidents_closed_at", "closed_at"),
    sa.Index(
        "incidents_open_in",
        "target_namespace",
        "playbook",
        sqlite_where=sa.text("state <> 'closed'"),
        postgresql_where=sa.text("state <> 'closed'"),
    ),
    sa.Index(
        "incidents_one_open",
        "playbook",
        "target_key",
        unique=True,
        sqlite_where=sa.text("state <> 'closed'"),
        postgresql_where=sa.text("state <> 'closed'"),
    ),
)

episodes = sa.Table(
    "episodes",
    metadata,
    sa.Column("fingerprint", sa.Text, primary_key=True),
    sa.Column("starts_at", Instant, primary_key=True),
    sa.Column("ends_at", Instant),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("annotations", sa.JSON, nullable=False),
    sa.Column("generator_url", sa.Text, nullable=False),
    sa.Column("deliveries", sa.Integer, nullable=False),
    sa.Column("first_seen_at", Instant, nullable=False),
    sa.Column("last_seen_at", Instant, nullable=False),
    sa.Column("resolved_seen_at", Instant),
    sa.Column("incident_id", sa.Text, sa.ForeignKey("incidents.id")),
    sa.Column("unrouted", sa.Text),  # the reason why it belongs to no incident
    sa.Column("end_reason", sa.Text),  # why it ended, where no "resolved" of its own said so
    sa.Index("episodes_incident", "incident_id"),
    sa.Index("episodes_last_seen_at", "last_seen_at"),
    sa.Index("episodes_ends_at", "fingerprint", "ends_at"),
    sa.Index(
        "episodes_firing",
        "fingerprint",
        sqlite_where=sa.text("status = 'firing'"),
        postgresql_where=sa.text("status = 'firing'"),
    ),
)

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("action_id", sa.Text, primary_key=True),
    sa.Column("incident_id", sa.Text, sa.ForeignKey("incidents.id"), nullable=False),
    sa.Column("playbook", sa.Text, nullable=False),
    sa.Column("target_key", sa.Text, nullable=False),
    sa.Column("namespace", sa.Text, nullable=False),
    sa.Column("rung", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("request", sa.JSON, nullable=False),
    sa.Column("uids", sa.JSON),  # of the objects that were seen, by path
    sa.Column("returns", sa.Text),  # the action that this one takes back
    sa.Column("mode", sa.Text, nullable=False),
    sa.Column("intended_at", Instant, nullable=False),
    sa.Column("before", sa.JSON),  # the evidence it was decided on, for the worse condition
    sa.Column("progress", sa.JSON),  # attempts and readings so far
    sa.Column("applied", sa.Text),
    sa.Column("applied_reason", sa.Text),
    sa.Column("applied_detail", sa.Text),
    sa.Column("applied_at", Instant),
    sa.Column("outcome", sa.Text),
    sa.Column("outcome_reason", sa.Text),
    sa.Column("outcome_detail", sa.Text),
    sa.Column("settled_at", Instant),
    sa.Index("ledger_incident", "incident_id", "intended_at"),
    sa.Index("ledger_target", "target_key", "intended_at"),
    sa.Index("ledger_playbook", "playbook", "intended_at"),
    sa.Index("ledger_namespace", "namespace", "intended_at"),
    sa.Index("ledger_intended_at", "intended_at"),
    sa.Index(  # an action is taken back once
        "ledger_returns",
        "returns",
        unique=True,
        sqlite_where=sa.text("returns IS NOT NULL"),
        postgresql_where=sa.text("returns IS NOT NULL"),
    ),
    sa.Index(
        "ledger_open",
        "target_key",
        sqlite_where=sa.text("settled_at IS NULL"),
        postgresql_where=sa.text("settled_at IS NULL"),
    ),
    # All that is counted at a scrape, so that no line itself is read.
    sa.Index(
        "ledger_totals",
        *("playbook", "rung", "kind", "mode", "applied", "outcome", "target_key"),
    ),
)

# When the circuit breaker tripped; only the newest row counts.
breaker_trips = sa.Table(
    "breaker_trips",
    metadata,
    sa.Column("id", Serial, primary_key=True, autoincrement=True),
    sa.Column("tripped_at", Instant, nullable=False),
    sa.Column("until_at", Instant, nullable=False),
    sa.Column("opened", sa.Integer, nullable=False),  # new incidents, counted as far as it took
    sa.Column("lifted_at", Instant),
    sa.Column("lifted_by", sa.Text),
    sa.Column("why", sa.Text),
)

steps = sa.Table(
    "steps",
    metadata,
    sa.Column("id", Serial, primary_key=True, autoincrement=True),
    sa.Column("incident_id", sa.Text, sa.ForeignKey("incidents.id"), nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Index("steps_incident", "incident_id", "id"),
    sqlite_autoincrement=True,  # a number is never given twice, also after its row was pruned: sinks count on it
)

# Runs of several actions in a written order; each action is a line of the ledger.
courses = sa.Table(
    "courses",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("incident_id", sa.Text, sa.ForeignKey("incidents.id"), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("rung", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("steps", sa.JSON, nullable=False),
    sa.Column("at", sa.Integer, nullable=False),  # index of the step that is due or under way
    sa.Column("since", Instant, nullable=False),  # when it became that
    sa.Column("uids", sa.JSON, nullable=False),
    sa.Column("asked_by", sa.Text, nullable=False, server_default=""),
    sa.Column("asked_at", Instant),
    sa.Column("expires_at", Instant),
    sa.Column("approved_by", sa.Text, nullable=False, server_default=""),
    sa.Column("approved_at", Instant),
    sa.Column("stop_by", sa.Text, nullable=False, server_default=""),
    sa.Column("reason", sa.Text),
    sa.Column("detail", sa.Text, nullable=False, server_default=""),
    sa.Column("began_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Index("courses_incident", "incident_id"),
    sa.Index("courses_began_at", "began_at"),
)

sinks = sa.Table(
    "sinks",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("cursor", sa.BigInteger, nullable=False),  # the last step that the sink has
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),  # in a row
    sa.Column("retry_at", Instant),
    sa.Column("reason", sa.Text),  # of the last failure
    sa.Column("detail", sa.Text),
    sa.Column("owner", sa.Text),  # the replica that follows now
    sa.Column("claimed_until", Instant),
)

# The audit chain, behind the journal. A line is never changed,
# but for the last two columns, which are in no hash:
# what they say is held against other lines.
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),  # 1, 2, 3 ...
    sa.Column("kind", sa.Text, nullable=False),  # as in audit/chain.py
    sa.Column("step_id", sa.BigInteger),  # None: a line about the chain itself
    sa.Column("incident_id", sa.Text),
    sa.Column("at", Instant, nullable=False),  # when it was chained
    sa.Column("digest", sa.Text, nullable=False),  # of the step's content, or of `data`
    sa.Column("data", sa.JSON),  # of a line about the chain itself
    sa.Column("algorithm", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("mac", sa.Text, nullable=False),
    sa.Column("unfinished", sa.Integer, nullable=False, server_default="0"),  # 1: its step may grow
    sa.Column("pruned", sa.BigInteger),  # the line that tells of the step's pruning
    sa.Index("audit_step", "step_id"),
    sa.Index(
        "audit_unfinished",
        "incident_id",
        sqlite_where=sa.text("unfinished = 1"),
        postgresql_where=sa.text("unfinished = 1"),
    ),
)

# What people say about all actions: one row, so that who relies on it can lock it.
control = sa.Table(
    "control",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.BigInteger, nullable=False),  # grows with each change, of windows too
    sa.Column("ceiling", sa.JSON),
    sa.Column("pause", sa.JSON),
)

windows = sa.Table(
    "windows",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("when", sa.JSON, nullable=False),
    sa.Column("matchers", sa.JSON, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("over_at", Instant),  # None: it recurs for ever
    sa.Column("ended_by", sa.Text),  # who ended it before that
    sa.Column("ended_why", sa.Text),
    sa.Column("ended_at", Instant),
    sa.Index("windows_over_at", "over_at"),
)

# Everything a person said about all actions, oldest first.
control_log = sa.Table(
    "control_log",
    metadata,
    sa.Column("id", Serial, primary_key=True, autoincrement=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
    sqlite_autoincrement=True,
)

approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("incident_id", sa.Text, sa.ForeignKey("incidents.id"), nullable=False),
    sa.Column("playbook", sa.Text, nullable=False),
    sa.Column("target_key", sa.Text, nullable=False),
    sa.Column("rung", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("request", sa.JSON, nullable=False),
    sa.Column("action", sa.Text, nullable=False),  # the request's sentence
    sa.Column("mode", sa.Text, nullable=False),
    sa.Column("uid", sa.Text),  # of the target, as it was seen
    sa.Column("difference", sa.JSON, nullable=False),
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("due_at", Instant, nullable=False),
    sa.Column("two_people", sa.Boolean, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("asked_by", sa.Text),
    sa.Column("by", sa.Text),
    sa.Column("why", sa.Text, nullable=False, server_default=""),
    sa.Column("answered_at", Instant),
    sa.Column("ended_at", Instant),
    sa.Column("reason", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Column("action_id", sa.Text),  # of the intent that used it
    sa.Index(
        "approvals_one_open",
        "incident_id",
        unique=True,
        sqlite_where=sa.text("state IN ('pending', 'approved')"),
        postgresql_where=sa.text("state IN ('pending', 'approved')"),
    ),
    sa.Index("approvals_made_at", "made_at"),
)

# How often something has happened, ever: see store/tallies.py.
tallies = sa.Table(
    "tallies",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("labels", sa.Text, primary_key=True),  # JSON with sorted keys
    sa.Column("value", sa.BigInteger, nullable=False),
)
