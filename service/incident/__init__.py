"""The life of an incident: from a state and an event to the next state, why,
and when it is due. One table, pure.

Never here: what an event is made of (decide, guard, verify), or waiting.
"""
