"""The memory: accepted webhooks, episodes, incidents, the ledger of actions, and every step taken.

Lives here: the schema (one for SQLite and PostgreSQL), its migrations,
and one file a kind of memory.
Never here: a decision. The guard's judgement is handed in and runs inside the write transaction.
"""
