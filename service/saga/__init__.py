"""Sagas: procedures of several actions in a written order, one step a claim.

Lives here: how a course goes on (`course.py`), what a person is told when it stops (`telling.py`),
and the procedures as data. All of it is pure: a course is a row with an index, so a crash between
two steps loses nothing, and each step is an action like any other, with its guards, its intent in
the ledger and its read-back.
Never here: doing a step, reading whether it has settled, asking a person.
"""
