"""The mouth: metrics, logs and the decision record. Never on the path: what fails here stops nothing.

Called by: every stage through the pipeline, intake and desk. Never here: a decision, or waiting for a backend.
"""
