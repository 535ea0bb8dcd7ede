"""The mouth: metrics, logs and the decision record. Never on the path:
what fails here stops nothing.

Never here: a decision, or waiting for a backend.
"""
