"""Engines for the stand-in for Athena: DuckDB reads the files at the location of each table, as Athena does."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from audit_pipeline.catalog.duckdb import open_connection
from audit_pipeline.settings import QuerySettings
from audit_pipeline.store.objects import open_store
from tests.servers.athena import DuckDBEngine, QueryResult

PARTITIONS = {"auditlog": ("dt", "source"), "auditlog_quarantine": ("dt",)}


def engine_over(settings: QuerySettings, locations: Mapping[str, str]) -> DuckDBEngine:
    """An engine whose tables read the files at these locations, with Athena's hidden column ``"$path"``."""

    def connect() -> duckdb.DuckDBPyConnection:
        connection = open_connection(settings, open_store(settings.lake_url))
        for name, location in locations.items():
            keys = PARTITIONS[name]
            pattern = location + "".join(f"{key}=*/" for key in keys) + "*.parquet"
            types = ", ".join(f"{key}: VARCHAR" for key in keys)
            # not DuckDB's own column, which is NULL for a folder source=null
            values = ", ".join(f"regexp_extract(filename, '/{key}=([^/]+)/', 1) AS {key}" for key in keys)
            connection.execute(
                f"""CREATE VIEW {name} AS SELECT * REPLACE ({values}) RENAME (filename AS "$path")
                FROM read_parquet('{pattern}', hive_partitioning = true, hive_types = {{{types}}}, filename = true)"""
            )
        return connection

    return DuckDBEngine(connect, settings.database)


def engine_over_folder(lake: Path) -> DuckDBEngine:
    return engine_over(QuerySettings(lake_url=str(lake)), {"auditlog": f"{lake}/auditlog_parquet/"})


def locations_in(glue: Any, database: str) -> dict[str, str]:
    tables = glue.get_tables(DatabaseName=database)["TableList"]
    return {table["Name"]: table["StorageDescriptor"]["Location"] for table in tables}


class GlueEngine:
    """Reads the locations of the tables from Glue for each query, as Athena does."""

    def __init__(self, glue: Any, settings: QuerySettings) -> None:
        self._glue = glue
        self._settings = settings

    def run(self, sql: str, parameters: Sequence[str], database: str | None, cancelled: threading.Event) -> QueryResult:
        # not the quarantine, which may have no file
        locations = {"auditlog": locations_in(self._glue, self._settings.database)["auditlog"]}
        return engine_over(self._settings, locations).run(sql, parameters, database, cancelled)
