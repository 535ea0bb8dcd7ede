"""The scenarios of the demo as whole-path tests, one for each row of the troubleshooting
playbook.
"""
