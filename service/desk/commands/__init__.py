"""Commands of the command line that talk to a running service, one file each; `cli.py` adds them.

Never here: a decision. Each asks the service over HTTP and shows its answer.
"""
