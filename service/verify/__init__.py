"""Proof: the same probes again, until the playbook's healed condition holds often enough or the time is over.

Called by: the pipeline, after an action. Never here: a write.
"""
