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
    """The table as one question sees it."""

    @property
    def sources(self) -> Sequence[str]:
        """Those to look into: the ones asked for, else all that have rows on the days asked for."""
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
        """How far a page looks at first, and then further, before it looks at all the rest.

        Reading the latest quarter of an hour first is quick where a statement costs next to nothing. Where each has its
        price and its start-up time there are none: one statement does it.
        """
        ...

    @property
    def longest_text(self) -> int | None:
        """How many characters of a text fit into one parameter; None where any do."""
        ...

    def reader(self, days: Sequence[date], sources: Collection[str] | None) -> Reader: ...

    def close(self) -> None: ...
