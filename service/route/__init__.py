"""Which playbook answers an alert, what it is aimed at, and what a delivery changes.

Lives here: target resolution, what a delivery means for an episode, and sorting:
(deliveries, what is known) -> what changes. Pure: no waiting, no store, no clock;
nothing that was handed in is changed.
Never here: a guess. An alert whose labels do not name its target gets a reason instead.
"""
