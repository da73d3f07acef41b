"""The log of a server: one JSON object a line.  No message octets go into it, and card data cannot: they redact
themselves (``setproto.card``)."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

__all__ = ["configure"]


class _Forward(logging.Handler):
    """What libraries log with the standard library's module, as lines of the same log."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or None
        )


def configure(role: str) -> None:
    """Log to standard error, every line with the time in UTC, the level and the role."""

    def name_role(_: Any, __: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
        return {"role": role, **line}

    structlog.configure(
        processors=[
            name_role,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Forward()], force=True)
