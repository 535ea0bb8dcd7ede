"""Permission: may this action be taken, now? Pure: `now` and the ledger's history are arguments.

Lives here: one function a guard, and the chain that asks them in order. The first no is the ruling.
Called by: the pipeline, inside the ledger's write transaction. A guard that raises denies.
"""
