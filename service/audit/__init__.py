"""The audit: the journal chained by a key that the store does not have,
so that no step of it is changed unnoticed.

The chain follows the journal like a sink: one task of one replica, under a lease, behind the
horizon below which no transaction is still at work (store/outbox.py). PostgreSQL commits step
numbers out of order, and a chain made in the transactions themselves would make all replicas queue
for its end; this way an incident pays nothing for it. What it costs: a step is protected about a
second after its commit, and not before.

Never here: a decision about an incident, SQL.
"""
