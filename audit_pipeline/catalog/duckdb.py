"""The table in DuckDB: views over the lake's Parquet files, in a folder or in S3, with no server behind them."""

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

from audit_pipeline.catalog.files import data_files
from audit_pipeline.catalog.table import DayInTable
from audit_pipeline.contract.columns import PARTITION_COLUMNS, QUARANTINE_SCHEMA, ROW_SCHEMA
from audit_pipeline.errors import SettingsError, StoreError
from audit_pipeline.settings import QuerySettings
from audit_pipeline.store.layout import QUARANTINE_PREFIX, TABLE_PREFIX
from audit_pipeline.store.manifest import Manifest
from audit_pipeline.store.objects import Store, open_store, s3_endpoint

__all__ = ["DuckDBTable", "S3Secret", "connect", "create_view", "open_connection"]

_LOOKED_UP: Final = "auditlog"

_SQL_TYPES: Final = {
    pa.string(): "VARCHAR",
    pa.timestamp("ms"): "TIMESTAMP",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.binary(): "BLOB",
}


def connect(settings: QuerySettings) -> duckdb.DuckDBPyConnection:
    """A connection with the table and its quarantine as views over the lake as it is now.

    They are named as in Athena, ``audit_logs_db.auditlog`` or ``auditlog`` for short. A lake without files gives empty
    views with the same columns.
    """
    lake = open_store(settings.lake_url, create=True)
    connection = open_connection(settings, lake)
    schema = _quoted(settings.database)
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    connection.execute(f"USE {schema}")
    rows = _Files(lake, [f"{TABLE_PREFIX}/dt=*/source=*/*.parquet"], ROW_SCHEMA, PARTITION_COLUMNS)
    quarantine = _Files(lake, [f"{QUARANTINE_PREFIX}/dt=*/*.parquet"], QUARANTINE_SCHEMA, PARTITION_COLUMNS[:1])
    for name, found in ((settings.table, rows), (f"{settings.table}_quarantine", quarantine)):
        try:
            found.create_view_if_any(connection, name)
        except duckdb.Error as error:
            raise _failure("the lake", error) from error
    return connection


def create_view(connection: duckdb.DuckDBPyConnection, name: str, lake: Store, keys: Sequence[str]) -> None:
    """A view of this connection over just these data files; other connections to the same database don't see it.

    Raises ``duckdb.IOException`` where one of them is gone.
    """
    files = _Files(lake, [_literal_pattern(key) for key in keys], ROW_SCHEMA, PARTITION_COLUMNS)
    files.create_view(connection, name, is_temporary=True)


class DuckDBTable:
    """The stand-in for Athena: nothing to create, for every query reads the lake's files as they are."""

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
        patterns = [_literal_pattern(file.key) for file in data_files(lake, dates)]
        files = _Files(lake, patterns, ROW_SCHEMA, PARTITION_COLUMNS)
        with open_connection(self._settings, lake) as connection:
            try:
                files.create_view(connection, _LOOKED_UP, with_filename=True)
                return _look_up(connection, manifest.partition)
            except duckdb.Error as error:
                raise _failure(f"the table of {manifest.partition}", error) from error


def _look_up(connection: duckdb.DuckDBPyConnection, partition: date) -> DayInTable:
    day = partition.isoformat()
    counted = connection.execute(
        f"""SELECT dt = $day, starts_with(parse_filename(filename), $day), hour("Timestamp"), count(*)
            FROM {_LOOKED_UP} GROUP BY ALL""",
        {"day": day},
    ).fetchall()
    by_hour: Counter[int] = Counter()
    for is_of_date, _, hour, rows in counted:
        if is_of_date:
            by_hour[hour] += rows
    return DayInTable(
        rows_owned=sum(rows for _, is_owned, _, rows in counted if is_owned),
        rows_of_date=by_hour.total(),
        rows_by_hour=dict(sorted(by_hour.items())),
    )


class _Files:
    """Parquet files of one schema under path patterns of the lake."""

    def __init__(self, lake: Store, patterns: Sequence[str], schema: pa.Schema, partition_columns: Sequence[str]):
        base = _literal_pattern(str(lake.root)) if lake.root is not None else _literal_pattern(lake.url)
        self._lake = lake
        self._patterns = [f"{base}/{pattern}" for pattern in patterns]
        self._schema = schema
        self._partition_columns = partition_columns

    def create_view_if_any(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        """As :meth:`create_view`, but of no file at all where the patterns match none."""
        try:
            self.create_view(connection, name)
        except duckdb.IOException as error:
            if "No files found that match" not in str(error):
                raise
            _Files(self._lake, [], self._schema, self._partition_columns).create_view(connection, name)

    def create_view(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: str,
        *,
        with_filename: bool = False,
        is_temporary: bool = False,
    ) -> None:
        extra = ["filename"] if with_filename else []
        create = f"CREATE {'TEMP ' if is_temporary else ''}VIEW {_quoted(name)} AS"
        if not self._patterns:
            connection.execute(f"{create} {self._nothing(extra)}")
            return
        columns = ", ".join(_quoted(c) for c in [*self._schema.names, *self._partition_columns, *extra])
        connection.execute(f"{create} SELECT {columns} FROM {self._scan(with_filename)}")

    def _scan(self, with_filename: bool) -> str:
        paths = ", ".join(_text(pattern) for pattern in self._patterns)
        # without its types, DuckDB would make a date of dt, and numbers of sources that look like some
        types = ", ".join(f"{_quoted(column)}: VARCHAR" for column in self._partition_columns)
        options = f"hive_partitioning = true, hive_types = {{{types}}}, filename = {str(with_filename).lower()}"
        return f"read_parquet([{paths}], {options})"

    def _nothing(self, extra: Iterable[str]) -> str:
        typed = [(field.name, _SQL_TYPES[field.type]) for field in self._schema]
        typed += [(column, "VARCHAR") for column in [*self._partition_columns, *extra]]
        return "SELECT " + ", ".join(f"NULL::{kind} AS {_quoted(column)}" for column, kind in typed) + " WHERE false"


def open_connection(settings: QuerySettings, lake: Store) -> duckdb.DuckDBPyConnection:
    """A connection that can read this lake within the settings' memory; it has no view yet."""
    # DuckDB reads partition columns from the whole path, and of two the first
    if found := re.search(rf"(?:^|/)((?:{'|'.join(PARTITION_COLUMNS)})=[^/]*)(?:/|$)", lake.url):
        raise SettingsError(f"a lake cannot lie under {found[1]!r}, which is taken for a partition: {lake.url}")
    connection = duckdb.connect(
        config={
            "memory_limit": f"{settings.memory_mb}MiB",
            "threads": settings.workers,
            "temp_directory": str(settings.scratch_dir or tempfile.gettempdir()),
            # it would look for extensions on the internet
            "autoinstall_known_extensions": False,
        }
    )
    # footers are read once; a file that has changed meanwhile is told by its time or e_tag
    connection.execute("SET parquet_metadata_cache = true")
    if lake.root is None:
        # INSTALL would download it; the package holds the signed file of just this release
        folder = files("duckdb_extension_httpfs") / "extensions" / f"v{duckdb.__version__}"
        connection.execute(f"LOAD {_text(str(folder / 'httpfs.duckdb_extension'))}")
        S3Secret().renew(connection)
    return connection


class S3Secret:
    """The keys with which DuckDB reads a lake in S3, from where boto3 finds them: variables, a profile, a role."""

    def __init__(self) -> None:
        # late: who reads a folder does not wait for them
        import boto3
        from botocore.exceptions import BotoCoreError

        try:
            session = boto3.Session()
            self._credentials = session.get_credentials()
        except BotoCoreError as error:
            raise SettingsError(f"DuckDB finds no keys for the lake in S3: {error}") from error
        self._region = os.environ.get("AWS_REGION") or session.region_name or "us-east-1"
        self._given: tuple[str | None, ...] = ()

    def renew(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Hand them to DuckDB, where it has none or those of a role have been replaced."""
        if self._credentials is None:
            raise SettingsError("DuckDB finds no keys for the lake in S3: set AWS_ACCESS_KEY_ID, AWS_PROFILE or a role")
        keys = self._credentials.get_frozen_credentials()
        given = (keys.access_key, keys.secret_key, keys.token)
        if given == self._given:
            return
        options = dict(zip(("KEY_ID", "SECRET", "SESSION_TOKEN"), given, strict=True)) | {"REGION": self._region}
        if endpoint := s3_endpoint():
            # stand-ins answer on a plain address, where a bucket cannot be part of the host name
            url = urlsplit(endpoint)
            options |= {"ENDPOINT": url.netloc, "URL_STYLE": "path", "USE_SSL": str(url.scheme == "https").lower()}
        told = ", ".join(f"{name} {_text(value)}" for name, value in options.items() if value)
        connection.execute(f"CREATE OR REPLACE SECRET lake (TYPE s3, {told})")
        self._given = given


def _failure(what: str, error: duckdb.Error) -> StoreError:
    first_line = str(error).split("\n", 1)[0]
    return StoreError(f"{what} cannot be queried: {first_line}")


def _literal_pattern(path: str) -> str:
    """A pattern that matches just this path."""
    return re.sub(r"([\[*?])", r"[\1]", path)


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
