"""The client: from a query to a page, a stream of rows, the history of an entity, a table or a file."""

import logging
import threading
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import pyarrow as pa

from audit_pipeline.catalog.results import QueryStats, add_stats
from audit_pipeline.errors import QueryError, SettingsError
from audit_pipeline.query.backends import Backend, Reader, open_backend
from audit_pipeline.query.cursor import CursorCodec, Position
from audit_pipeline.query.differences import differences
from audit_pipeline.query.errors import InvalidQueryError
from audit_pipeline.query.export import EXPORT_SCHEMA, ExportFormat, arrow_batches, write_file
from audit_pipeline.query.items import AuditLogItem, HistoryEntry, Page, items_of, position_of
from audit_pipeline.query.query import AuditLogQuery, Order, PageDirection, QueryLimits
from audit_pipeline.query.sql import Span, Statement, build_statement, reads_descending
from audit_pipeline.settings import QuerySettings, load_query_settings

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

__all__ = ["AuditLogClient"]

_log = logging.getLogger(__name__)


class AuditLogClient:
    """Reads the audit log; safe for use by several threads at once.

    ``settings`` come from the ``AUDIT_*`` variables by default, and ``limits`` from the settings. Raises
    :class:`~audit_pipeline.query.errors.InvalidQueryError`, which is a ``ValueError``, for a query that breaks a rule,
    and another :class:`~audit_pipeline.errors.AuditPipelineError` for one that could not be run.
    """

    def __init__(
        self,
        settings: QuerySettings | None = None,
        *,
        limits: QueryLimits | None = None,
        backend: Backend | None = None,
    ) -> None:
        self._settings = settings or load_query_settings()
        self._limits = limits or QueryLimits(self._settings.query_max_days, self._settings.query_max_limit)
        key = self._settings.cursor_key
        self._cursors = CursorCodec(key.get_secret_value().encode() if key else None)
        self._backend = backend or open_backend(self._settings)
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._is_closed = True
        self._backend.close()

    def query(self, query: AuditLogQuery, *, cancelled: threading.Event | None = None) -> Page:
        """One page. Setting ``cancelled`` ends it with :class:`~audit_pipeline.errors.QueryCancelledError`."""
        self._check(query)
        position = self._cursors.decode(query.cursor, query) if query.cursor else None
        reader = self._backend.reader(query.days, query.sources)
        items, stats = self._read(query, position, reader, cancelled)
        return self._page(query, items, stats)

    def iterate(self, query: AuditLogQuery, *, cancelled: threading.Event | None = None) -> Iterator[AuditLogItem]:
        """Every row from the query's cursor, or from the start, on; read in pages of the query's limit."""
        while True:
            page = self.query(query, cancelled=cancelled)
            forwards = query.direction == PageDirection.NEXT
            yield from page.items if forwards else reversed(page.items)
            cursor = page.next_cursor if forwards else page.previous_cursor
            if cursor is None:
                return
            query = replace(query, cursor=cursor)

    def history(
        self,
        entity_type: str,
        entity_id: str,
        from_date: date,
        to_date: date,
        sources: Collection[str] | None = None,
        *,
        cancelled: threading.Event | None = None,
    ) -> Iterator[HistoryEntry]:
        """The changes of an entity and of its children, oldest first, each with the fields that it changed."""
        query = AuditLogQuery(
            from_date=from_date,
            to_date=to_date,
            sources=sources,
            entity_id=entity_id,
            entity_types=[entity_type],
            include_children=True,
            order=Order.ASCENDING,
            limit=self._limits.max_limit,
        )
        for item in self.iterate(query, cancelled=cancelled):
            is_child = (item.entity_id, item.entity_type) != (entity_id, entity_type)
            yield HistoryEntry(item, is_child, differences(item.before, item.after))

    def to_arrow(self, query: AuditLogQuery, *, cancelled: threading.Event | None = None) -> pa.Table:
        """All rows of the query in its order, read from the Parquet files; its limit and cursor do not apply."""
        return pa.Table.from_batches(
            arrow_batches(self._settings, self._without_cursor(query), cancelled), EXPORT_SCHEMA
        )

    def to_pandas(self, query: AuditLogQuery, *, cancelled: threading.Event | None = None) -> "pd.DataFrame":
        """All rows of the query in its order, as a data frame of pandas; needs the extra ``audit-pipeline[pandas]``."""
        _require("pandas")
        frame: pd.DataFrame = self.to_arrow(query, cancelled=cancelled).to_pandas()
        return frame

    def to_polars(self, query: AuditLogQuery, *, cancelled: threading.Event | None = None) -> "pl.DataFrame":
        """All rows of the query in its order, as a data frame of polars; needs the extra ``audit-pipeline[polars]``."""
        _require("polars")
        import polars as pl

        frame = pl.from_arrow(self.to_arrow(query, cancelled=cancelled))
        assert isinstance(frame, pl.DataFrame)
        return frame

    def export(
        self,
        query: AuditLogQuery,
        path: Path | str,
        format: ExportFormat,  # noqa: A002
        *,
        cancelled: threading.Event | None = None,
    ) -> int:
        """Write all rows of the query to a local file, in its order and in bounded memory; returns their number.

        ``format`` is ``csv``, ``jsonl`` or ``parquet``. The file appears when it is complete.
        """
        return write_file(arrow_batches(self._settings, self._without_cursor(query), cancelled), Path(path), format)

    def statement(self, query: AuditLogQuery) -> Statement:
        """The statement of a page, to be shown or explained."""
        self._check(query)
        position = self._cursors.decode(query.cursor, query) if query.cursor else None
        sources = query.sources or self._backend.reader(query.days, None).sources
        if not sources:
            raise QueryError(f"no source has rows from {query.from_date} to {query.to_date}: there is no statement")
        return self._build(query, sources, _span(query, position), position, query.limit + 1)

    def _check(self, query: AuditLogQuery) -> None:
        if self._is_closed:
            raise QueryError("this client is closed: create another one")
        query.check(self._limits)

    def _without_cursor(self, query: AuditLogQuery) -> AuditLogQuery:
        self._check(query)
        return replace(query, cursor=None, direction=PageDirection.NEXT)

    def _read(
        self, query: AuditLogQuery, position: Position | None, reader: Reader, cancelled: threading.Event | None
    ) -> tuple[list[AuditLogItem], QueryStats]:
        """The rows of a page, and the first row beyond it if there is one, in the order of reading."""
        items: list[AuditLogItem] = []
        stats: list[QueryStats] = []
        if reader.sources:
            self._check_length(query, reader.sources)
            for span in self._spans(query, position):
                missing = query.limit + 1 - len(items)
                statement = self._build(query, reader.sources, span, position, missing)
                result = reader.run(statement, cancelled)
                items += items_of(result.table)
                stats.append(result.stats)
                if len(items) > query.limit:
                    break
        return items, add_stats(stats)

    def _spans(self, query: AuditLogQuery, position: Position | None) -> Iterator[Span]:
        """The range to be read, cut into the backend's windows, in the order of reading."""
        rest = _span(query, position)
        for window in self._backend.windows:
            size = window // timedelta(milliseconds=1)
            if size >= rest.end - rest.start:
                break
            if reads_descending(query):
                yield Span(rest.end - size, rest.end)
                rest = Span(rest.start, rest.end - size)
            else:
                yield Span(rest.start, rest.start + size)
                rest = Span(rest.start + size, rest.end)
        yield rest

    def _build(
        self, query: AuditLogQuery, sources: Collection[str], span: Span, position: Position | None, limit: int
    ) -> Statement:
        backend = self._backend
        return build_statement(
            query, backend.table, sorted(sources), span, position, limit, backend.max_parameter_characters
        )

    def _check_length(self, query: AuditLogQuery, sources: Collection[str]) -> None:
        """Of the statement with its parameters, but without a cursor, whose row may have an Id of any length."""
        statement = self._build(query, sources, _span(query, None), None, query.limit + 1)
        size = len(statement.sql(self._backend.dialect).encode())
        size += sum(len(str(value).encode()) for value in statement.parameters)
        if size > self._limits.max_sql_bytes:
            raise InvalidQueryError(
                "sources",
                f"and filters make a statement of {size:,} bytes, over {self._limits.max_sql_bytes:,}: name fewer",
            )

    def _page(self, query: AuditLogQuery, items: list[AuditLogItem], stats: QueryStats) -> Page:
        has_more = len(items) > query.limit
        items = items[: query.limit]
        forwards = query.direction == PageDirection.NEXT
        if not forwards:
            items.reverse()
        before = items and (bool(query.cursor) if forwards else has_more)
        after = items and (has_more if forwards else True)
        return Page(
            items,
            next_cursor=self._cursors.encode(position_of(items[-1]), query) if after else None,
            previous_cursor=self._cursors.encode(position_of(items[0]), query) if before else None,
            stats=stats,
        )


def _require(library: str) -> None:
    if find_spec(library) is None:
        raise SettingsError(f"{library} is not installed: pip install 'audit-pipeline[{library}]'")


def _span(query: AuditLogQuery, position: Position | None) -> Span:
    """The time range of the query, from the cursor on."""
    days = Span.of_days(query.from_date, query.to_date)
    if position is None:
        return days
    at = position.timestamp_ms
    return Span(days.start, at + 1) if reads_descending(query) else Span(at, days.end)
