"""The door: Alertmanager's webhooks in, 2xx only after the commit, then sorted into episodes and incidents.

Lives here: the HTTP handlers, credentials, the payload's shape, and the sorter.
Called by: app. Never here: an opinion on what an alert means for a target; no action starts in a request.
"""
