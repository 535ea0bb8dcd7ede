"""The nouns of Paramedic: frozen values that every other room speaks about.

Lives here: alerts, targets, incidents, evidence, playbooks, actions, rulings,
outcomes, reasons, errors.
Imports: the standard library only.
Never here: waiting, input or output, the time of day, wire formats of a library.
"""
