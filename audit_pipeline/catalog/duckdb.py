"""The table in DuckDB: views over the lake's Parquet files, in a folder or in S3, without a server."""

import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from importlib.resources import files
from typing import Final
from urllib.parse import urlsplit

import duckdb
import pyarrow as pa

from audit_pipeline.catalog.files import published_files, table_files
from audit_pipeline.catalog.table import DayInTable
from audit_pipeline.contract.columns import PARTITION_COLUMNS, QUARANTINE_SCHEMA, ROW_SCHEMA
from audit_pipeline.errors import SettingsError, StoreError
from audit_pipeline.settings import QuerySettings
from audit_pipeline.store.layout import TABLE_PREFIX
from audit_pipeline.store.manifest import Manifest
from audit_pipeline.store.objects import Store, open_store
from audit_pipeline.store.s3 import s3_endpoint

__all__ = ["DuckDBTable", "S3Secret", "connect", "create_view", "open_connection"]

_LOOKUP_VIEW: Final = "auditlog"

_SQL_TYPES: Final = {
    pa.string(): "VARCHAR",
    pa.timestamp("ms"): "TIMESTAMP",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.binary(): "BLOB",
}


def connect(settings: QuerySettings) -> duckdb.DuckDBPyConnection:
    """A connection with views of the table and of its quarantine over the files that are published now.

    They have the names that they have in Athena, ``audit_logs_db.auditlog`` or just ``auditlog``. Over a lake without
    files they are empty, with the same columns.
    """
    lake = open_store(settings.lake_url, create=True)
    connection = open_connection(settings, lake)
    schema = _quoted_name(settings.database)
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    connection.execute(f"USE {schema}")
    files = published_files(lake)
    rows = _Files(lake, files.rows, ROW_SCHEMA, PARTITION_COLUMNS)
    quarantine = _Files(lake, files.quarantine, QUARANTINE_SCHEMA, PARTITION_COLUMNS[:1])
    for name, view_files in ((settings.table, rows), (f"{settings.table}_quarantine", quarantine)):
        try:
            view_files.create_view_of_many(connection, name)
        except duckdb.Error as error:
            raise _store_error("the lake", error) from error
    return connection


def create_view(connection: duckdb.DuckDBPyConnection, name: str, lake: Store, keys: Sequence[str]) -> None:
    """A temporary view over just these data files, which other connections to the same database do not see.

    Raises ``duckdb.IOException`` where one of the files is gone.
    """
    _Files(lake, keys, ROW_SCHEMA, PARTITION_COLUMNS).create_view(connection, name, is_temporary=True)


class DuckDBTable:
    """The table in this process. There is nothing to create: every query reads the current files of the lake."""

    def __init__(self, settings: QuerySettings) -> None:
        self._settings = settings

    @property
    def location(self) -> str:
        name = f"{self._settings.database}.{self._settings.table}"
        return f"DuckDB view {name} over {open_store(self._settings.lake_url, create=True).url_of(TABLE_PREFIX)}"

    def define(self) -> None:
        pass

    def look_up(self, manifest: Manifest) -> DayInTable:
        lake = open_store(self._settings.lake_url, create=True)
        dates = sorted({manifest.partition} | {output.dt for output in manifest.outputs})
        files = _Files(lake, [file.key for file in table_files(lake, dates)], ROW_SCHEMA, PARTITION_COLUMNS)
        with open_connection(self._settings, lake) as connection:
            try:
                files.create_view(connection, _LOOKUP_VIEW, with_filename=True)
                return _look_up(connection, manifest.partition)
            except duckdb.Error as error:
                raise _store_error(f"the table of {manifest.partition}", error) from error


def _look_up(connection: duckdb.DuckDBPyConnection, partition: date) -> DayInTable:
    day = partition.isoformat()
    counts = connection.execute(
        f"""SELECT dt = $day, starts_with(parse_filename(filename), $day), hour("Timestamp"), count(*)
            FROM {_LOOKUP_VIEW} GROUP BY ALL""",
        {"day": day},
    ).fetchall()
    by_hour: Counter[int] = Counter()
    for is_of_date, _, hour, rows in counts:
        if is_of_date:
            by_hour[hour] += rows
    return DayInTable(
        rows_owned=sum(rows for _, is_owned, _, rows in counts if is_owned),
        rows_of_date=by_hour.total(),
        rows_by_hour=dict(sorted(by_hour.items())),
    )


class _Files:
    """Parquet files of one schema in the lake."""

    def __init__(self, lake: Store, keys: Sequence[str], schema: pa.Schema, partition_columns: Sequence[str]):
        self._lake = lake
        self._keys = keys
        self._schema = schema
        self._partition_columns = partition_columns

    def create_view_of_many(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        """A view of any number of files, for this connection and not its cursors.

        Their paths are in a variable: as text of the view, each query would parse them again.
        """
        variable = f"{name}_files"
        connection.execute(f"SET VARIABLE {_quoted_name(variable)} = $paths", {"paths": self._paths(self._keys)})
        self._create(connection, name, f"getvariable({_quoted_text(variable)})")

    def _paths(self, keys: Iterable[str]) -> list[str]:
        base = str(self._lake.root) if self._lake.root is not None else self._lake.url
        return [_escaped_glob(f"{base}/{key}") for key in keys]

    def create_view(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: str,
        *,
        with_filename: bool = False,
        is_temporary: bool = False,
    ) -> None:
        paths = ", ".join(map(_quoted_text, self._paths(self._keys)))
        self._create(connection, name, f"[{paths}]", with_filename=with_filename, is_temporary=is_temporary)

    def _create(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: str,
        paths: str,
        *,
        with_filename: bool = False,
        is_temporary: bool = False,
    ) -> None:
        """The view of the files at ``paths``, a list in SQL; an empty one where there is no file."""
        extra = ["filename"] if with_filename else []
        create = f"CREATE {'TEMP ' if is_temporary else ''}VIEW {_quoted_name(name)} AS"
        if not self._keys:
            connection.execute(f"{create} {self._empty_select(extra)}")
            return
        columns = ", ".join([*map(_quoted_name, self._schema.names), *self._partition_values(), *extra])
        # a column that an older file lacks is NULL; by name, so that no file has to be opened to know
        fields = ", ".join(
            f"{_quoted_text(field.name)}: "
            f"{{name: {_quoted_text(field.name)}, type: '{_SQL_TYPES[field.type]}', default_value: NULL}}"
            for field in self._schema
        )
        connection.execute(
            f"{create} SELECT {columns} FROM read_parquet({paths}, schema = MAP {{{fields}}}, filename = true)"
        )

    def _partition_values(self) -> list[str]:
        """The partition columns as text. DuckDB evaluates conditions on them before it opens a file.

        ``hive_partitioning`` cannot be combined with a schema, would take the first such folder of the path, and makes
        a folder ``source=null``, in any case, a NULL (duckdb/duckdb#24309).
        """
        folders = "".join(f"/{column}=([^/]*)" for column in self._partition_columns)
        return [
            f"regexp_extract(filename, '{folders}/[^/]*$', {number}) AS {_quoted_name(column)}"
            for number, column in enumerate(self._partition_columns, 1)
        ]

    def _empty_select(self, extra: Iterable[str]) -> str:
        typed = [(field.name, _SQL_TYPES[field.type]) for field in self._schema]
        typed += [(column, "VARCHAR") for column in [*self._partition_columns, *extra]]
        values = ", ".join(f"NULL::{kind} AS {_quoted_name(column)}" for column, kind in typed)
        return f"SELECT {values} WHERE false"


def open_connection(settings: QuerySettings, lake: Store) -> duckdb.DuckDBPyConnection:
    """A connection, yet without views, that can read this lake within the memory limit of the settings."""
    connection = duckdb.connect(
        config={
            "memory_limit": f"{settings.memory_mb}MiB",
            "threads": settings.workers,
            "temp_directory": str(settings.scratch_dir or tempfile.gettempdir()),
            # DuckDB must not download extensions
            "autoinstall_known_extensions": False,
        }
    )
    # footers are cached; a changed file is recognized by its modification time or ETag
    connection.execute("SET parquet_metadata_cache = true")
    if lake.root is None:
        # INSTALL would download it; the package duckdb-extension-httpfs has the signed file of this release
        folder = files("duckdb_extension_httpfs") / "extensions" / f"v{duckdb.__version__}"
        connection.execute(f"LOAD {_quoted_text(str(folder / 'httpfs.duckdb_extension'))}")
        S3Secret().renew(connection)
    return connection


class S3Secret:
    """The credentials with which DuckDB reads a lake in S3, found by boto3: variables, a profile or a role."""

    def __init__(self) -> None:
        # imported late: a lake in a folder does not need boto3
        import boto3
        from botocore.exceptions import BotoCoreError

        try:
            session = boto3.Session()
            self._credentials = session.get_credentials()
        except BotoCoreError as error:
            raise SettingsError(f"DuckDB has no credentials for S3: {error}") from error
        self._region = os.environ.get("AWS_REGION") or session.region_name or "us-east-1"
        self._current: tuple[str | None, ...] = ()

    def renew(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Give them to DuckDB where it has none, or where those of a role have been renewed."""
        if self._credentials is None:
            raise SettingsError("DuckDB has no credentials for S3: set AWS_ACCESS_KEY_ID, AWS_PROFILE or a role")
        keys = self._credentials.get_frozen_credentials()
        credentials = (keys.access_key, keys.secret_key, keys.token)
        if credentials == self._current:
            return
        options = dict(zip(("KEY_ID", "SECRET", "SESSION_TOKEN"), credentials, strict=True)) | {"REGION": self._region}
        if endpoint := s3_endpoint():
            # emulators have an IP address, where a bucket cannot be part of the host name
            url = urlsplit(endpoint)
            options |= {"ENDPOINT": url.netloc, "URL_STYLE": "path", "USE_SSL": str(url.scheme == "https").lower()}
        secret = ", ".join(f"{name} {_quoted_text(value)}" for name, value in options.items() if value)
        connection.execute(f"CREATE OR REPLACE SECRET lake (TYPE s3, {secret})")
        self._current = credentials


def _store_error(what: str, error: duckdb.Error) -> StoreError:
    first_line = str(error).split("\n", 1)[0]
    return StoreError(f"{what} cannot be queried: {first_line}")


def _escaped_glob(path: str) -> str:
    """A glob pattern that matches just this path."""
    return re.sub(r"([\[*?])", r"[\1]", path)


def _quoted_name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _quoted_text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
