"""A Trino server: the same SQL as Athena's, for those who run their own."""

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
from audit_pipeline.catalog.literals import literal
from audit_pipeline.catalog.logged import cost_of, shape_of
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

#: Seconds between two looks at whether a query is to be cancelled.
_LOOK_SECONDS: Final = 0.05
_PAGE_ROWS: Final = 10_000
#: The name of a type with a precision and a scale; arrays, rows and times with a zone are others.
_TYPE: Final = re.compile(r"(\w+)(?:\((\d+)(?:, ?(\d+))?\))?")
_FORM: Final = "https://user[:password]@host[:port]/catalog"


@dataclass(frozen=True, slots=True)
class TrinoAddress:
    """Where a server is and who asks it; ``port`` is None for the usual one of the scheme."""

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
        raise SettingsError(f"AUDIT_TRINO_URL is not set: write {_FORM}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingsError(f"AUDIT_TRINO_URL is no URL: write {_FORM}") from None
    catalog = unquote(parts.path.strip("/"))
    complete = parts.scheme in ("http", "https") and parts.hostname and parts.username and catalog
    if not complete or "/" in catalog or parts.query or parts.fragment:
        raise SettingsError(f"AUDIT_TRINO_URL needs a user, a server and a catalog, and no more: write {_FORM}")
    if parts.password is not None and parts.scheme == "http":
        raise SettingsError("AUDIT_TRINO_URL has a password, which is sent over https:// only")
    return TrinoAddress(
        scheme=parts.scheme,
        host=parts.hostname or "",
        port=port,
        user=unquote(parts.username or ""),
        password=None if parts.password is None else unquote(parts.password),
        catalog=catalog,
    )


def trino_of(settings: QuerySettings) -> "Trino":
    """The server that these settings name; nothing is asked yet."""
    return Trino(parse_trino_url(settings.trino_url), schema=settings.database)


class Trino:
    """Runs statements in one catalog, with one schema as the one that names without a schema mean.

    It may be used from several threads at once: each statement has a connection of its own.
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
            # as Athena has it: else a time without a zone would be one of this machine's
            "timezone": "UTC",
            # values as Trino writes them: Python's types have fewer digits and years
            "legacy_primitive_types": True,
            # rows in the answers themselves; else some servers hand out addresses of their object store
            "encoding": None,
        }

    @property
    def catalog(self) -> str:
        return self._catalog

    def run(
        self, sql: str, parameters: Sequence[str | int] = (), *, cancelled: threading.Event | None = None
    ) -> Result:
        """Run one statement to its end and fetch all its rows; ``parameters`` are the values of its ``?``.

        There is no time-out. The query is stopped in the server when ``cancelled`` is set and by whatever interrupts
        the waiting. Raises :class:`QueryError` or its subclass :class:`QueryCancelledError`.
        """
        whole = _immediate(sql, parameters) if parameters else sql
        stop = cancelled or threading.Event()
        with _trino_errors(stop), trino.dbapi.connect(**self._options) as connection:
            cursor = connection.cursor()
            with _stopping(cursor, cancelled):
                try:
                    table = _fetch(cursor.execute(whole))
                except trino.exceptions.TrinoQueryError:
                    raise
                except BaseException:  # Ctrl-C and Dagster's interrupts too: nobody would wait for it any more
                    _stop(cursor)
                    raise
        if stop.is_set():
            # the client takes a query that it has cancelled for one that has ended
            raise _cancelled_by_caller()
        stats = _stats_of(cursor.stats)
        _log.info("Trino query %s: %s: %s", stats.query_id, cost_of(stats), shape_of(sql))
        return Result(table, stats)


def _immediate(sql: str, parameters: Sequence[str | int]) -> str:
    quoted = sql.replace("'", "''")
    return f"EXECUTE IMMEDIATE '{quoted}' USING {', '.join(map(literal, parameters))}"


@contextmanager
def _trino_errors(stop: threading.Event) -> Iterator[None]:
    """Turn the client's errors into :class:`QueryError`, one line each."""
    try:
        yield
    except trino.exceptions.TrinoQueryError as error:
        told = f"Trino query {error.query_id}"
        if stop.is_set():
            raise _cancelled_by_caller() from error
        message = " ".join(error.message.split())
        if error.error_name in ("USER_CANCELED", "ADMINISTRATIVELY_KILLED"):
            raise QueryCancelledError(f"{told} was cancelled in Trino: {message}") from error
        raise QueryError(f"{told} failed: {error.error_name}: {message}") from error
    except (trino.exceptions.Error, trino.exceptions.HttpError, RequestException) as error:
        if stop.is_set():
            raise _cancelled_by_caller() from error
        raise QueryError(f"Trino cannot be asked: {' '.join(str(error).split())[:400]}") from error


def _cancelled_by_caller() -> QueryCancelledError:
    return QueryCancelledError("the query was cancelled by its caller")


@contextmanager
def _stopping(cursor: "trino.dbapi.Cursor", cancelled: threading.Event | None) -> Iterator[None]:
    """Stop the query of this cursor once ``cancelled`` is set, for the cursor's own calls only return when it ends."""
    if cancelled is None:
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_LOOK_SECONDS):
            if cancelled.is_set():
                # again and again: there is nothing to stop before the server has answered once
                _stop(cursor)

    watcher = threading.Thread(target=watch, name="stop-trino", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _stop(cursor: "trino.dbapi.Cursor") -> None:
    with suppress(trino.exceptions.Error, trino.exceptions.HttpError, RequestException):
        cursor.cancel()


def _fetch(cursor: "trino.dbapi.Cursor") -> pa.Table:
    pages = [_table_of(cursor.fetchmany(_PAGE_ROWS), cursor.description or ())]
    while pages[-1].num_rows == _PAGE_ROWS:
        pages.append(_table_of(cursor.fetchmany(_PAGE_ROWS), cursor.description or ()))
    return pa.concat_tables(pages)


def _table_of(rows: Sequence[Sequence[Any]], described: Sequence[Any]) -> pa.Table:
    arrays = [
        array_of_texts(
            [_text(row[number], column.type_code) for row in rows], _arrow_type(column.type_code), column.name
        )
        for number, column in enumerate(described)
    ]
    return pa.Table.from_arrays(arrays, names=[column.name for column in described])


def _arrow_type(kind: str) -> pa.DataType:
    found = _TYPE.fullmatch(kind)
    return arrow_type(found[1], int(found[2] or 0), int(found[3] or 0)) if found else pa.string()


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
