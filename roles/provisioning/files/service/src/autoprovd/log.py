# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log: one JSON object a line on standard output.

Only fields named here are ever written, so a secret cannot slip into the log by way of a careless caller: there is no
field it could stand in. Bodies, headers and exception texts of libraries are not logged.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_FIELDS = frozenset(
    {
        "mac", "file", "source", "user_agent", "proof", "outcome", "reason", "status", "actor", "released", "count",
        "path", "method", "listener", "interface", "error", "where", "seconds", "version", "request_id", "head",
    }
)  # fmt: skip

_logger = logging.getLogger("autoprovd")


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[0] is not None:
            # The place of a fault helps; its text could quote a value.
            trace = record.exc_info[2]
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            line["error"] = record.exc_info[0].__name__
            if trace is not None:
                line["where"] = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
        return json.dumps(line, ensure_ascii=False)


def configure(level: str) -> None:
    """Send this program's log, and what its libraries warn of, to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    _logger.setLevel(level.upper())


def event(name: str, level: int = logging.INFO, *, failure: BaseException | None = None, **fields: object) -> None:
    """Log one event. Unknown field names are a programming error and raise."""
    unknown = fields.keys() - _FIELDS
    if unknown:
        raise TypeError(f"not a field of the log: {', '.join(sorted(unknown))}")
    if _logger.isEnabledFor(level):
        exc_info = (type(failure), failure, failure.__traceback__) if failure else None
        _logger.log(level, name, extra={"fields": fields}, exc_info=exc_info)
