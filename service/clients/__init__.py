"""Wires to the backends: Kubernetes, Kafka, ClickHouse, Prometheus. Library in, our errors out.

Lives here: one module a backend; each call takes a `Deadline` and ends by it with a value or with an error of
`service.model.errors`. A client opens its connection at the first call and opens a new one after a failure, so
that an outage needs no restart of ours.
Called by: diagnose/probes (reading), act and verify (writing, reading back), app (opens and closes).
Never here: retries of writes, judgement of what was read, anything about alerts.
"""
