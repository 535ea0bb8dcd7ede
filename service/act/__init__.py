"""The hands: the only room that holds clients which can write.

Lives here: the executor (send once, read back when a reply was lost) and one file a backend.
Called by: the pipeline, with an intent that is already durable. Never here: whether something may be done.
"""
