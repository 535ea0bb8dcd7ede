"""Commands of the command line, a file each with a `typer` app of its own; `cli.py` adds them.

Never here: anything that a test could want without a terminal.
"""
