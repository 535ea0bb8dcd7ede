"""Proof: the chapter's probes again, until the healed condition holds often
enough or the time is over.

Lives here: what one reading means for the verdict, and whether what was
written is still there. Pure.
Never here: waiting, a probe, a write.
"""
