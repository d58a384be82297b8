"""The client for asyncio: the same methods as coroutines, run in threads, because the query engines block."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from datetime import date
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import pyarrow as pa

from audit_pipeline.query.backends import Backend
from audit_pipeline.query.client import AuditLogClient
from audit_pipeline.query.export import ExportFormat
from audit_pipeline.query.items import AuditLogItem, HistoryEntry, Page
from audit_pipeline.query.query import AuditLogQuery, QueryLimits
from audit_pipeline.settings import QuerySettings

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

__all__ = ["AsyncAuditLogClient"]

_T = TypeVar("_T")


class AsyncAuditLogClient:
    """The methods of :class:`~audit_pipeline.query.client.AuditLogClient` as coroutines and async iterators.

    Cancelling a task also stops its query in the engine.
    """

    def __init__(
        self,
        settings: QuerySettings | None = None,
        *,
        limits: QueryLimits | None = None,
        backend: Backend | None = None,
    ) -> None:
        self._client = AuditLogClient(settings, limits=limits, backend=backend)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await asyncio.to_thread(self._client.close)

    async def query(self, query: AuditLogQuery) -> Page:
        return await _stoppable(lambda cancelled: self._client.query(query, cancelled=cancelled))

    def iterate(self, query: AuditLogQuery) -> AsyncIterator[AuditLogItem]:
        return _each(lambda cancelled: self._client.iterate(query, cancelled=cancelled))

    def history(
        self,
        entity_type: str,
        entity_id: str,
        from_date: date,
        to_date: date,
        sources: Collection[str] | None = None,
    ) -> AsyncIterator[HistoryEntry]:
        arguments = (entity_type, entity_id, from_date, to_date, sources)
        return _each(lambda cancelled: self._client.history(*arguments, cancelled=cancelled))

    async def to_arrow(self, query: AuditLogQuery) -> pa.Table:
        return await _stoppable(lambda cancelled: self._client.to_arrow(query, cancelled=cancelled))

    async def to_pandas(self, query: AuditLogQuery) -> "pd.DataFrame":
        return await _stoppable(lambda cancelled: self._client.to_pandas(query, cancelled=cancelled))

    async def to_polars(self, query: AuditLogQuery) -> "pl.DataFrame":
        return await _stoppable(lambda cancelled: self._client.to_polars(query, cancelled=cancelled))

    async def export(self, query: AuditLogQuery, path: Path | str, format: ExportFormat) -> int:  # noqa: A002
        return await _stoppable(lambda cancelled: self._client.export(query, path, format, cancelled=cancelled))


async def _stoppable(work: Callable[[threading.Event], _T]) -> _T:
    """What ``work`` returns, run in a thread; cancelling the task cancels the work."""
    cancelled = threading.Event()
    try:
        return await asyncio.to_thread(work, cancelled)
    except asyncio.CancelledError:
        cancelled.set()
        raise


async def _each(start: Callable[[threading.Event], Iterator[_T]]) -> AsyncIterator[_T]:
    """The items of a blocking iterator, each taken in a thread."""
    cancelled = threading.Event()
    items = start(cancelled)
    try:
        while batch := await asyncio.to_thread(lambda: list(islice(items, 1))):
            yield batch[0]
    except asyncio.CancelledError:
        cancelled.set()
        raise
