"""One module a backend and question: ask a client, give one value of `service.model.evidence`.

Called by: the diagnoses of `service.diagnose`. A probe raises ParamedicError where it has no answer.
Never here: more than one value a probe, conclusions, deadlines of its own.
"""
