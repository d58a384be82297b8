"""A client of Athena: runs one statement, and returns its rows as Arrow and its cost."""

import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from botocore.exceptions import ClientError

from audit_pipeline.aws import athena_client, aws_errors
from audit_pipeline.catalog.arrow import array_of_texts, arrow_type
from audit_pipeline.catalog.cancellation import cancelled_by_caller
from audit_pipeline.catalog.literals import execution_parameter
from audit_pipeline.catalog.query_log import log_query
from audit_pipeline.catalog.results import QueryStats, Result
from audit_pipeline.errors import AuditPipelineError, QueryCancelledError, QueryError
from audit_pipeline.retrying import growing, retry
from audit_pipeline.settings import QuerySettings

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient

__all__ = ["Athena", "athena_of", "price_of"]

_log: Final = logging.getLogger(__name__)

#: Athena's quota for a query string, in bytes.
_MAX_SQL_BYTES: Final = 262_144
_PAGE_ROWS: Final = 1000

#: Seconds between two polls of a query: most of ours end within a second, and long ones need few polls.
_FIRST_POLL, _POLL_GROWTH, _LONGEST_POLL = 0.05, 1.5, 2.0
#: How long to retry where Athena has too many queries or requests at once, after boto3's own attempts.
_THROTTLED_SECONDS: Final = 300.0
_FIRST_PAUSE, _PAUSE_GROWTH, _LONGEST_PAUSE = 0.25, 2.0, 15.0
_THROTTLED: Final = frozenset({"ThrottlingException", "TooManyRequestsException"})

_MB: Final = 1 << 20
_USD_PER_BYTE: Final = 5 / (1 << 40)


def athena_of(settings: QuerySettings) -> "Athena":
    """A client by these settings, which sends nothing yet. :class:`SettingsError` where no region is found."""
    return Athena(
        database=settings.database, workgroup=settings.athena_workgroup, output_url=settings.athena_output_url
    )


def price_of(bytes_scanned: int) -> float:
    """US dollars of a SELECT: 5 a TB, bytes rounded up to a MB, 10 MB at least.

    The price of us-east-1, read in 2026; other regions differ a little. DDL and failed queries cost nothing.
    """
    return max(10, -(-bytes_scanned // _MB)) * _MB * _USD_PER_BYTE


class Athena:
    """Runs statements in one workgroup; ``database`` is the one of unqualified table names. Thread-safe."""

    def __init__(
        self, *, database: str, workgroup: str, output_url: str | None, client: "AthenaClient | None" = None
    ) -> None:
        self._client = client or athena_client()
        self._context: dict[str, Any] = {
            "QueryExecutionContext": {"Database": database},
            "WorkGroup": workgroup,
            **({"ResultConfiguration": {"OutputLocation": output_url}} if output_url else {}),
        }

    def run(
        self, sql: str, parameters: Sequence[str | int] = (), *, cancelled: threading.Event | None = None
    ) -> Result:
        """Run one statement to its end and fetch all its rows; ``parameters`` are the values of its ``?``.

        There is no time-out. The query is stopped in Athena when ``cancelled`` is set, and by any exception raised
        while it waits, Ctrl-C included. Raises :class:`QueryError`, its subclass :class:`QueryCancelledError`, or
        :class:`SettingsError`.
        """
        if (size := len(sql.encode())) > _MAX_SQL_BYTES:
            raise QueryError(f"the statement has {size:,} bytes, over Athena's limit of {_MAX_SQL_BYTES:,}: shorten it")
        stop = cancelled or threading.Event()
        with aws_errors("Athena"):
            query_id = self._start(sql, parameters, stop)
            execution = self._wait(query_id, stop)
            _check_succeeded(execution)
            table = self._fetch(execution, stop)
        stats = _stats_of(execution)
        log_query(_log, "Athena", sql, stats)
        return Result(table, stats)

    def _start(self, sql: str, parameters: Sequence[str | int], stop: threading.Event) -> str:
        literals: dict[str, Any] = (
            {"ExecutionParameters": [*map(execution_parameter, parameters)]} if parameters else {}
        )
        # one token for all attempts: a start whose response got lost does not become a second query
        request = {"QueryString": sql, "ClientRequestToken": str(uuid.uuid4())} | self._context | literals
        started: dict[str, Any] = self._call(self._client.start_query_execution, stop, request)
        return str(started["QueryExecutionId"])

    def _wait(self, query_id: str, stop: threading.Event) -> dict[str, Any]:
        """The execution once it has ended, with or without success."""
        try:
            pauses = growing(_FIRST_POLL, _POLL_GROWTH, _LONGEST_POLL)
            while True:
                response = self._call(self._client.get_query_execution, stop, {"QueryExecutionId": query_id})
                execution: dict[str, Any] = response["QueryExecution"]
                if execution["Status"]["State"] in ("SUCCEEDED", "FAILED", "CANCELLED"):
                    return execution
                _pause(next(pauses), stop)
        except BaseException:  # Ctrl-C and Dagster's interrupts too: no caller is left, and the query costs money
            self._stop(query_id)
            raise

    def _stop(self, query_id: str) -> None:
        try:
            with aws_errors("Athena"):
                self._client.stop_query_execution(QueryExecutionId=query_id)
        except AuditPipelineError as error:
            _log.warning("Athena query %s may still be running: %s", query_id, error)

    def _fetch(self, execution: dict[str, Any], stop: threading.Event) -> pa.Table:
        request: dict[str, Any] = {"QueryExecutionId": execution["QueryExecutionId"], "MaxResults": _PAGE_ROWS}
        # statements other than DML have no header row, and DML other than SELECT no rows at all
        has_header = execution.get("StatementType") == "DML"
        pages: list[pa.Table] = []
        while True:
            response = self._call(self._client.get_query_results, stop, request)
            rows = response["ResultSet"]["Rows"]
            pages.append(_table_of(rows[1:] if has_header and not pages else rows, response["ResultSet"]))
            if not response.get("NextToken"):
                return pa.concat_tables(pages)
            request["NextToken"] = response["NextToken"]

    def _call(self, operation: Callable[..., Any], stop: threading.Event, request: dict[str, Any]) -> Any:
        """The operation's response; throttled requests are retried."""

        def attempt() -> Any:
            _pause(0, stop)
            return operation(**request)

        pauses = growing(_FIRST_PAUSE, _PAUSE_GROWTH, _LONGEST_PAUSE)
        return retry(attempt, _is_throttled, pauses, seconds=_THROTTLED_SECONDS, pause=lambda s: _pause(s, stop))


def _is_throttled(error: Exception) -> bool:
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in _THROTTLED


def _pause(seconds: float, stop: threading.Event) -> None:
    if stop.wait(seconds):
        raise cancelled_by_caller()


def _check_succeeded(execution: dict[str, Any]) -> None:
    status = execution["Status"]
    query = f"Athena query {execution['QueryExecutionId']}"
    reason = " ".join(status.get("StateChangeReason", "no reason given").split())
    if status["State"] == "CANCELLED":
        raise QueryCancelledError(f"{query} was cancelled in Athena: {reason}")
    if status["State"] == "FAILED":
        raise QueryError(f"{query} failed: {reason}")


def _table_of(rows: Sequence[dict[str, Any]], results: dict[str, Any]) -> pa.Table:
    """One page. A cell of NULL has no ``VarCharValue``; that of an empty text is empty."""
    columns = results["ResultSetMetadata"].get("ColumnInfo", [])
    values = [[datum.get("VarCharValue") for datum in row["Data"]] for row in rows]
    arrays = [
        array_of_texts(
            [row[number] for row in values],
            arrow_type(column["Type"], column.get("Precision", 0), column.get("Scale", 0)),
            column["Name"],
        )
        for number, column in enumerate(columns)
    ]
    return pa.Table.from_arrays(arrays, names=[column["Name"] for column in columns])


def _stats_of(execution: dict[str, Any]) -> QueryStats:
    statistics = execution.get("Statistics", {})
    scanned = statistics.get("DataScannedInBytes", 0)
    return QueryStats(
        seconds=statistics.get("TotalExecutionTimeInMillis", 0) / 1000,
        bytes_scanned=scanned,
        cost_usd=price_of(scanned) if execution.get("StatementType") == "DML" else 0.0,
        query_id=execution["QueryExecutionId"],
    )
