"""The interface of the backends."""

import threading
from collections.abc import Collection, Sequence
from datetime import date, timedelta
from typing import Protocol

from sqlglot import exp

from audit_pipeline.catalog.results import Result
from audit_pipeline.query.sql import Dialect, Statement

__all__ = ["Backend", "Reader"]


class Reader(Protocol):
    """The table for the days and sources of one query."""

    @property
    def sources(self) -> Sequence[str]:
        """The sources to read: the requested ones, or else all that have rows on these days."""
        ...

    def run(self, statement: Statement, cancelled: threading.Event | None = None) -> Result:
        """The rows, with the columns :data:`~audit_pipeline.query.sql.COLUMNS` in this order.

        Raises :class:`~audit_pipeline.errors.QueryError`, its subclass for a query that was ``cancelled``, or
        :class:`~audit_pipeline.errors.StoreError`.
        """
        ...


class Backend(Protocol):
    @property
    def table(self) -> exp.Table: ...

    @property
    def dialect(self) -> Dialect: ...

    @property
    def windows(self) -> Sequence[timedelta]:
        """The time windows that a page reads one after the other, before it reads the rest of its range.

        Reading the latest quarter of an hour first is fast where a statement costs next to nothing. Where each one has
        a price and a start-up time there are no windows, and one statement reads the whole range.
        """
        ...

    @property
    def max_parameter_characters(self) -> int | None:
        """The longest text that fits into one parameter; None where there is no limit."""
        ...

    def reader(self, days: Sequence[date], sources: Collection[str] | None) -> Reader: ...

    def close(self) -> None: ...
