"""One file per chapter of the troubleshooting playbook: its parameters,
its evidence, its coroutine.
"""
