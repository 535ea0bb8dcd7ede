"""One file per question: ask a client, give one value, whose type stands beside the probe.

A probe raises ParamedicError where it has no answer.
Never here: more than one value a probe, conclusions, deadlines of its own.
"""
