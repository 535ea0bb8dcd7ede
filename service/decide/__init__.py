"""From evidence to a proposal: the first rung of the ladder that holds. Pure: tables test it.

Lives here: the ladder, and the step from a rung's arguments to one concrete, bounded action.
Never here: limits and permissions (guard), or anything that waits.
"""
