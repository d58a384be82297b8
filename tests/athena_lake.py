"""The stand-in for Athena over a lake: DuckDB reads the files at the location of each table, as Athena would."""

from collections.abc import Mapping
from pathlib import Path

import duckdb
from athena_server import DuckDBEngine

from audit_pipeline.catalog.duckdb import open_connection
from audit_pipeline.settings import QuerySettings
from audit_pipeline.store.objects import open_store

PARTITIONS = {"auditlog": ("dt", "source"), "auditlog_quarantine": ("dt",)}


def engine_over(settings: QuerySettings, locations: Mapping[str, str]) -> DuckDBEngine:
    """An engine whose tables show the files at these locations, each with Athena's hidden column ``"$path"``."""

    def connect() -> duckdb.DuckDBPyConnection:
        connection = open_connection(settings, open_store(settings.lake_url))
        for name, location in locations.items():
            keys = PARTITIONS[name]
            pattern = location + "".join(f"{key}=*/" for key in keys) + "*.parquet"
            types = ", ".join(f"{key}: VARCHAR" for key in keys)
            connection.execute(
                f"""CREATE VIEW {name} AS SELECT * EXCLUDE (filename), filename AS "$path"
                FROM read_parquet('{pattern}', hive_partitioning = true, hive_types = {{{types}}}, filename = true)"""
            )
        return connection

    return DuckDBEngine(connect, settings.database)


def engine_over_folder(lake: Path) -> DuckDBEngine:
    return engine_over(QuerySettings(lake_url=str(lake)), {"auditlog": f"{lake}/auditlog_parquet/"})
