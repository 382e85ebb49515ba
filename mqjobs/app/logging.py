"""Log lines: for people on a terminal, as JSON elsewhere; always to stderr."""

import logging
import os
import sys
from typing import TextIO

import structlog
from structlog.typing import Processor


def configure_logging(
    level: str = "info", style: str = "auto", stream: TextIO = sys.stderr
) -> None:
    """From here on structlog and the standard library's logging write such lines to the stream."""
    human = style == "console" or (style == "auto" and stream.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if human else "iso", utc=not human),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=stream.isatty() and "NO_COLOR" not in os.environ)]
        if human
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(stream)
    handler.name = "people" if human else "json"
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("mqjobs").setLevel(level.upper())
    for noisy in ("aio_pika", "aiormq", "asyncpg.pool"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def is_for_people() -> bool:
    """Whether plain words may stand between the log lines; until the log is configured, they may."""
    return all(each.name != "json" for each in logging.getLogger().handlers)
