"""The package's own log in the event log of a run, where a person looks at the run: not on stderr alone.

It is what Dagster's setting ``python_logs`` does, without a line in ``dagster.yaml``.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import dagster as dg

__all__ = ["library_log"]

_LOGGER: Final = logging.getLogger("audit_pipeline")


@contextmanager
def library_log(context: dg.AssetExecutionContext) -> Iterator[None]:
    """While the block runs, what the package logs is logged by the step, unless the instance captures it already."""
    if not {"root", _LOGGER.name}.isdisjoint(context.instance.managed_python_loggers):
        yield
        return
    handler = _Forward(context.log)
    level = _LOGGER.level
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(min(level or logging.INFO, logging.INFO))
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
        _LOGGER.setLevel(level)


class _Forward(logging.Handler):
    def __init__(self, log: logging.Logger) -> None:
        super().__init__(logging.INFO)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.log(record.levelno, record.getMessage())
