"""Which playbook answers an alert, and what it is aimed at. Pure: no waiting, no store, no clock.

Lives here: the choice of a playbook, target resolution, and what a delivery means for an episode.
Called by: intake (sorting).
Never here: a guess. An alert whose labels do not name its target gets a reason instead.
"""
