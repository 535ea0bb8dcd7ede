"""What people and scripts read: incidents with their decision records, dead letters,
the ledger, health, metrics.

Never here: a write to anything.
"""
