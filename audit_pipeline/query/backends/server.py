"""Athena and Trino: statements are sent to a server that has the table."""

import threading
from collections.abc import Collection, Sequence
from datetime import date, timedelta
from typing import Final

from sqlglot import exp

from audit_pipeline.catalog.files import listed_sources
from audit_pipeline.catalog.results import Result, SqlServer
from audit_pipeline.query.errors import InvalidQueryError
from audit_pipeline.query.sql import Dialect, Statement
from audit_pipeline.settings import QuerySettings
from audit_pipeline.store.objects import open_store

__all__ = ["AthenaBackend", "TrinoBackend"]

#: Trino turns a longer IN list into a range, which injected projection does not accept.
_MAX_SOURCES: Final = 1000


class _ServerBackend:
    dialect: Dialect
    max_parameter_characters: int | None = None
    #: None: each statement has its start-up time and, in Athena, a minimum price.
    windows: Sequence[timedelta] = ()

    def __init__(self, settings: QuerySettings, server: SqlServer) -> None:
        self._lake = open_store(settings.lake_url)
        self._server = server
        self.table = exp.table_(settings.table, db=settings.database)

    def reader(self, days: Sequence[date], sources: Collection[str] | None) -> "_Reader":
        if sources is None:
            # Athena's injected projection needs them by name
            sources = listed_sources(self._lake, days)
        if len(sources) > _MAX_SOURCES:
            raise InvalidQueryError("sources", f"may be at most {_MAX_SOURCES} in one statement, not {len(sources)}")
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
    #: A parameter may have 1,024 characters, quotes included; one that is not printable takes up to eight.
    max_parameter_characters: int | None = 120

    def __init__(self, settings: QuerySettings) -> None:
        from audit_pipeline.catalog.athena import athena_of

        super().__init__(settings, athena_of(settings))


class TrinoBackend(_ServerBackend):
    dialect: Dialect = "trino"

    def __init__(self, settings: QuerySettings) -> None:
        from audit_pipeline.catalog.trino import trino_of

        super().__init__(settings, trino_of(settings))
