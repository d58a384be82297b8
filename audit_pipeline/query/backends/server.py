"""Athena and Trino: the same SQL, sent to a server that has the table."""

import threading
from collections.abc import Collection, Sequence
from datetime import date, timedelta
from typing import Final

from sqlglot import exp

from audit_pipeline.catalog.files import data_files
from audit_pipeline.catalog.results import Result, SqlServer
from audit_pipeline.query.errors import InvalidQueryError
from audit_pipeline.query.sql import Dialect, Statement
from audit_pipeline.settings import QuerySettings
from audit_pipeline.store.objects import open_store

__all__ = ["AthenaBackend", "TrinoBackend"]


#: Of a longer IN list, Trino makes a range, which injected projection does not take.
_MOST_SOURCES: Final = 1000


class _ServerBackend:
    dialect: Dialect
    longest_text: int | None = None
    #: Each statement has its start-up time, and in Athena its least price: one answers the whole page.
    windows: Sequence[timedelta] = ()

    def __init__(self, settings: QuerySettings, server: SqlServer) -> None:
        self._lake = open_store(settings.lake_url)
        self._server = server
        self.table = exp.table_(settings.table, db=settings.database)

    def reader(self, days: Sequence[date], sources: Collection[str] | None) -> "_Reader":
        if sources is None:
            # Athena's injected projection wants them named
            sources = {file.source for file in data_files(self._lake, days)}
        if len(sources) > _MOST_SOURCES:
            raise InvalidQueryError("sources", f"may be {_MOST_SOURCES} in one statement, here are {len(sources)}")
        return _Reader(self._server, self.dialect, sorted(set(sources)))

    def close(self) -> None:
        pass


class _Reader:
    def __init__(self, server: SqlServer, dialect: Dialect, sources: Sequence[str]) -> None:
        self._server = server
        self._dialect: Dialect = dialect
        self.sources = sources

    def run(self, statement: Statement, cancelled: threading.Event | None = None) -> Result:
        return self._server.run(statement.sql(self._dialect), statement.parameters, cancelled=cancelled)


class AthenaBackend(_ServerBackend):
    dialect: Dialect = "athena"
    #: A parameter has 1,024 characters, quotes included, and a character that does not print takes up to eight.
    longest_text: int | None = 120

    def __init__(self, settings: QuerySettings) -> None:
        from audit_pipeline.catalog.athena import athena_of

        super().__init__(settings, athena_of(settings))


class TrinoBackend(_ServerBackend):
    dialect: Dialect = "trino"

    def __init__(self, settings: QuerySettings) -> None:
        from audit_pipeline.catalog.trino import trino_of

        super().__init__(settings, trino_of(settings))
