"""A client of Trino, which runs the same SQL as Athena."""

import base64
import json
import logging
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from audit_pipeline.catalog.arrow import array_of_texts, arrow_type
from audit_pipeline.catalog.cancellation import cancelled_by_caller, cancelling
from audit_pipeline.catalog.literals import sql_literal
from audit_pipeline.catalog.query_log import log_query
from audit_pipeline.catalog.results import QueryStats, Result
from audit_pipeline.errors import QueryCancelledError, QueryError, SettingsError
from audit_pipeline.settings import QuerySettings

try:
    import trino
    from requests.exceptions import RequestException
except ImportError as error:
    raise SettingsError(
        "AUDIT_QUERY_BACKEND=trino needs Trino's client: pip install 'audit-pipeline[trino]'"
    ) from error

__all__ = ["Trino", "TrinoAddress", "parse_trino_url", "trino_of"]

_log: Final = logging.getLogger(__name__)

_PAGE_ROWS: Final = 10_000
#: A type name with its precision and scale; those of arrays, rows and times with a zone do not match.
_TYPE: Final = re.compile(r"(\w+)(?:\((\d+)(?:, ?(\d+))?\))?")
_URL_FORMAT: Final = "https://user[:password]@host[:port]/catalog"


@dataclass(frozen=True, slots=True)
class TrinoAddress:
    """A server, the user and the catalog; ``port`` is None for the default of the scheme."""

    scheme: str
    host: str
    port: int | None
    user: str
    password: str | None
    catalog: str

    def __repr__(self) -> str:
        return f"{self.scheme}://{self.user}@{self.host}:{self.port}/{self.catalog}"


def parse_trino_url(url: str | None) -> TrinoAddress:
    """The parts of ``AUDIT_TRINO_URL``; :class:`SettingsError`, which never shows the password, where one is wrong."""
    if not url:
        raise SettingsError(f"AUDIT_TRINO_URL is not set: write {_URL_FORMAT}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingsError(f"AUDIT_TRINO_URL is not a URL: write {_URL_FORMAT}") from None
    catalog = unquote(parts.path.strip("/"))
    complete = parts.scheme in ("http", "https") and parts.hostname and parts.username and catalog
    if not complete or "/" in catalog or parts.query or parts.fragment:
        raise SettingsError(f"AUDIT_TRINO_URL needs a user, a server, a catalog and nothing else: write {_URL_FORMAT}")
    if parts.password is not None and parts.scheme == "http":
        raise SettingsError("AUDIT_TRINO_URL has a password, which needs https://")
    return TrinoAddress(
        scheme=parts.scheme,
        host=parts.hostname or "",
        port=port,
        user=unquote(parts.username or ""),
        password=None if parts.password is None else unquote(parts.password),
        catalog=catalog,
    )


def trino_of(settings: QuerySettings) -> "Trino":
    """A client by these settings, which sends nothing yet."""
    return Trino(parse_trino_url(settings.trino_url), schema=settings.database)


class Trino:
    """Runs statements in one catalog; ``schema`` is the one of unqualified table names.

    Thread-safe: each statement has a connection of its own.
    """

    def __init__(self, address: TrinoAddress, *, schema: str) -> None:
        password = address.password
        self._catalog = address.catalog
        self._options: dict[str, Any] = {
            "host": address.host,
            "port": address.port or (443 if address.scheme == "https" else 8080),
            "http_scheme": address.scheme,
            "user": address.user,
            "auth": None if password is None else trino.auth.BasicAuthentication(address.user, password),
            "catalog": address.catalog,
            "schema": schema,
            "source": "audit-pipeline",
            # as in Athena; by default a time without a zone is in the zone of this machine
            "timezone": "UTC",
            # values as texts: Python's types have fewer digits and years
            "legacy_primitive_types": True,
            # rows inline; some servers would return URLs of their object store instead
            "encoding": None,
        }

    @property
    def catalog(self) -> str:
        return self._catalog

    def run(
        self, sql: str, parameters: Sequence[str | int] = (), *, cancelled: threading.Event | None = None
    ) -> Result:
        """Run one statement to its end and fetch all its rows; ``parameters`` are the values of its ``?``.

        There is no time-out. The query is stopped in the server when ``cancelled`` is set, and by any exception raised
        while it waits, Ctrl-C included. Raises :class:`QueryError` or its subclass :class:`QueryCancelledError`.
        """
        statement = _execute_immediate(sql, parameters) if parameters else sql
        stop = cancelled or threading.Event()
        with _trino_errors(stop), trino.dbapi.connect(**self._options) as connection:
            cursor = connection.cursor()
            with cancelling(lambda: _cancel(cursor), cancelled):
                try:
                    table = _fetch(cursor.execute(statement))
                except trino.exceptions.TrinoQueryError:
                    raise
                except BaseException:  # Ctrl-C and Dagster's interrupts too: no caller is left
                    _cancel(cursor)
                    raise
        if stop.is_set():
            # the client reports a query that it has cancelled as one that has ended
            raise cancelled_by_caller()
        stats = _stats_of(cursor.stats)
        log_query(_log, "Trino", sql, stats)
        return Result(table, stats)


def _execute_immediate(sql: str, parameters: Sequence[str | int]) -> str:
    quoted = sql.replace("'", "''")
    return f"EXECUTE IMMEDIATE '{quoted}' USING {', '.join(map(sql_literal, parameters))}"


@contextmanager
def _trino_errors(stop: threading.Event) -> Iterator[None]:
    """Turn the client's errors into :class:`QueryError`, one line each."""
    try:
        yield
    except trino.exceptions.TrinoQueryError as error:
        query = f"Trino query {error.query_id}"
        if stop.is_set():
            raise cancelled_by_caller() from error
        message = " ".join(error.message.split())
        if error.error_name in ("USER_CANCELED", "ADMINISTRATIVELY_KILLED"):
            raise QueryCancelledError(f"{query} was cancelled in Trino: {message}") from error
        raise QueryError(f"{query} failed: {error.error_name}: {message}") from error
    except (trino.exceptions.Error, trino.exceptions.HttpError, RequestException) as error:
        if stop.is_set():
            raise cancelled_by_caller() from error
        raise QueryError(f"cannot reach Trino: {' '.join(str(error).split())[:400]}") from error


def _cancel(cursor: "trino.dbapi.Cursor") -> None:
    with suppress(trino.exceptions.Error, trino.exceptions.HttpError, RequestException):
        cursor.cancel()


def _fetch(cursor: "trino.dbapi.Cursor") -> pa.Table:
    pages = [_table_of(cursor.fetchmany(_PAGE_ROWS), cursor.description or ())]
    while pages[-1].num_rows == _PAGE_ROWS:
        pages.append(_table_of(cursor.fetchmany(_PAGE_ROWS), cursor.description or ()))
    return pa.concat_tables(pages)


def _table_of(rows: Sequence[Sequence[Any]], columns: Sequence[Any]) -> pa.Table:
    arrays = [
        array_of_texts(
            [_text(row[number], column.type_code) for row in rows], _arrow_type(column.type_code), column.name
        )
        for number, column in enumerate(columns)
    ]
    return pa.Table.from_arrays(arrays, names=[column.name for column in columns])


def _arrow_type(kind: str) -> pa.DataType:
    parsed = _TYPE.fullmatch(kind)
    return arrow_type(parsed[1], int(parsed[2] or 0), int(parsed[3] or 0)) if parsed else pa.string()


def _text(value: Any, kind: str) -> str | None:
    if value is None or (isinstance(value, str) and kind != "varbinary"):
        return value
    if kind == "varbinary":
        return base64.b64decode(value).hex()
    return json.dumps(value, ensure_ascii=False)


def _stats_of(stats: dict[str, Any]) -> QueryStats:
    return QueryStats(
        seconds=stats.get("elapsedTimeMillis", 0) / 1000,
        bytes_scanned=stats.get("physicalInputBytes"),
        query_id=stats.get("queryId"),
    )
