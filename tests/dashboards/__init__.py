"""Grafana's dashboards against a rehearsed night: every panel has its metrics,
and its query gives something.

`python -m tests.dashboards` draws docs/dashboards anew.
"""
