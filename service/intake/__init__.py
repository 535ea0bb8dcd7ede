"""Alertmanager's webhooks in, 2xx only after the commit.

Lives here: the HTTP handler, the payload's shape, and the bound of bytes that
are under way at one time.
Never here: an opinion on what an alert means for a target; no action starts in a request.
"""
