"""The phases of an incident's life, one file each: what one short step does in it.
`pipeline.py` tells their order.

Never here: a rule. What holds, what is allowed and what a reading means is asked
of the rooms that think.
"""
