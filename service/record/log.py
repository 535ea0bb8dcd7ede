"""Structured logs: JSON lines for machines, colours on a terminal. One event,
one line, reasons as words.
"""

import logging
import sys

from service.kit.hollow import absent

with absent("rich"):  # it would draw tracebacks, ours are plain: a tenth of a second of every start
    import structlog

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_NOISY = ("aiokafka", "asynch", "aiohttp.access", "kubernetes_asyncio")


def configure(log_format: str, level: str) -> None:
    """Sets up logging for the process; called once, by the command line."""
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    last: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    for name in _NOISY:
        # They log each failed connection; ours say the same once, as a reading's reason.
        logging.getLogger(name).setLevel(logging.CRITICAL)
