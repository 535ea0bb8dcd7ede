"""Permission: may this action be taken, now? Pure: `now` and the ledger's
history are in the question.

Lives here: one file per guard, and the chain that asks them in order. The first no is the ruling;
a guard that raises denies.
"""
