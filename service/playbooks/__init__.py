"""Playbooks as data: loading, checking and compiling `rules/playbooks/*.yaml`.

Lives here: the file format, CEL conditions and templates, and every sentence about
what is wrong with a file.
Never here: evaluation of a ladder (decide) or of an alert (route).
"""
