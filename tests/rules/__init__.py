"""The alert rules, their promtool tests, the Alertmanager configuration and the runbooks,
held against each other.
"""
