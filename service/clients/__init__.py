"""Wires to the backends: Kubernetes, Kafka, ClickHouse, Prometheus. Library in, our errors out.

Lives here: per backend a module that reads, and where something can be changed one of its own that
writes (`*_write.py`, held by act alone); each call takes a `Deadline` and ends by it with a value
or with an error of `service.model.errors`. A client opens its connection at the first call and
opens a new one after a failure, so that an outage needs no restart of ours.
Never here: retries of writes, judgement of what was read, anything about alerts.
"""
