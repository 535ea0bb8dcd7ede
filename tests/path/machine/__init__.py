"""The state machine of incidents in parts: the platform, the people, the promises,
and the rules of a life.

`tests/path/test_machine.py` runs it. Never here: a wire, or a clock that is not virtual.
"""
