"""`make bench`: figures of this machine and this run, each a ratio to something measured beside
it.
"""
