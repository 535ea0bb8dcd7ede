"""The HTTP server: listening, TLS, credentials, and the bound of connections.

Never here: what a request is about. This room knows no alerts.
"""
