"""Looking: one coroutine per chapter of the troubleshooting playbook, built of probes.

Lives here: `CHAPTERS`, the chapters by the name that a playbook gives under `diagnose:`.
A new chapter is a file in `chapters/` (parameters, evidence, coroutine), a line below,
its YAML and its tests; the loader then checks `with:` against the parameters and every
condition against the evidence.
Never here: conclusions from evidence (decide), or a client that can write (act).
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from service.diagnose.chapter import Chapter
from service.diagnose.chapters import (
    authentication,
    claim,
    clickhouse,
    data_flow,
    data_quality,
    high_latency,
    kafka,
    logging,
    low_throughput,
    metrics,
    network,
    outage,
    persistence,
    quick,
    recovery,
    service_restarts,
    service_start,
)

# Any: the parameters and the evidence differ from chapter to chapter.
Chapters: TypeAlias = Mapping[str, Chapter[Any, Any]]

CHAPTERS: Chapters = {
    chapter.name: chapter
    for chapter in (
        service_start.CHAPTER,
        service_restarts.CHAPTER,
        data_flow.CHAPTER,
        data_quality.CHAPTER,
        high_latency.CHAPTER,
        low_throughput.CHAPTER,
        kafka.CHAPTER,
        clickhouse.CHAPTER,
        authentication.CHAPTER,
        network.CHAPTER,
        metrics.CHAPTER,
        logging.CHAPTER,
        outage.CHAPTER,
        persistence.CHAPTER,
        claim.CHAPTER,
        recovery.CHAPTER,
        quick.CHAPTER,
    )
}
