"""Commands of the command line, one module each: thin functions over one room.

Never here: anything that a test could want without a terminal.
"""
