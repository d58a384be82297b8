"""Athena's API for tests: a server on this machine that boto3, PyAthena and awswrangler take for Athena.

It keeps to what Athena documents (states, limits, pages with the header row, parameters that are SQL literals, the CSV
in S3) and runs the SQL in an :class:`Engine`: DuckDB, which is fast, or Trino, which Athena is built on. Its sources:

- https://docs.aws.amazon.com/athena/latest/APIReference/ and its model in botocore: operations, states, limits, errors;
- https://docs.aws.amazon.com/athena/latest/ug/querying-with-prepared-statements.html : parameters;
- https://docs.aws.amazon.com/athena/latest/ug/partition-projection-dynamic-id-partitioning.html : injected projection;
- responses to PyAthena and awswrangler, whose code says what they rely on: types, texts, the CSV.
"""

import base64
import json
import re
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Protocol

import duckdb
import sqlglot
import trino
from botocore.exceptions import BotoCoreError, ClientError
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.optimizer.pushdown_predicates import pushdown_predicates
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, traverse_scope
from sqlglot.tokens import Token, TokenType

from tests.servers.aws_clients import AWS_VARIABLES, aws_client
from tests.servers.json_http import JsonService, Refused
from tests.servers.s3 import S3Server
from tests.support.waiting import HANGS_SECONDS

__all__ = [
    "AthenaServer",
    "Column",
    "DuckDBEngine",
    "Engine",
    "QueryFailedError",
    "QueryResult",
    "TrinoEngine",
    "WorkGroup",
]

DATABASE: Final = "audit_logs_db"
CATALOG: Final = "AwsDataCatalog"
MAX_QUERY_BYTES: Final = 262_144
MAX_PAGE_ROWS: Final = 1000
MAX_PARAMETER_CHARACTERS: Final = 1024
ENGINE_VERSION: Final = {"SelectedEngineVersion": "AUTO", "EffectiveEngineVersion": "Athena engine version 3"}
#: Of AthenaError: the category (system or user), and the number of the error.
SYSTEM, USER = 1, 2
USER_ERROR, ENGINE_ERROR, CANNOT_WRITE = 1000, 200, 401

_Json = dict[str, Any]
_FINAL_STATES: Final = ("SUCCEEDED", "FAILED", "CANCELLED")


# Results of engines -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """A column of a result, with Athena's name of its type."""

    name: str
    type: str
    precision: int = 0
    scale: int = 0


@dataclass(frozen=True)
class QueryResult:
    """A result as Athena shows it: every value as text, None for NULL."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str | None]]
    scanned_bytes: int = 0


class QueryFailedError(Exception):
    """A query that ends as FAILED, with Athena's reason."""

    def __init__(self, reason: str, *, category: int = USER, error: int = USER_ERROR, retryable: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.details = {
            "ErrorCategory": category,
            "ErrorType": error,
            "Retryable": retryable,
            "ErrorMessage": reason,
        }


class Engine(Protocol):
    """What runs the SQL. ``parameters`` are checked SQL literals, one for each ``?``."""

    def run(
        self, sql: str, parameters: Sequence[str], database: str | None, cancelled: threading.Event
    ) -> QueryResult: ...


# The server ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WorkGroup:
    """``output`` is the location of its results; with ``enforced``, it overrides that of the client."""

    output: str | None = None
    enforced: bool = False


@dataclass(frozen=True)
class Call:
    """A request that the server received, and the code of its error, if any."""

    operation: str
    request: _Json
    error: str | None


class _Refused(Refused):
    """By default, an invalid request."""

    def __init__(self, message: str, code: str = "InvalidRequestException", **members: str) -> None:
        super().__init__(code, message, 500 if code == "InternalServerException" else 400, **members)


@dataclass
class _Execution:
    """One query of the server."""

    id: str
    request: _Json
    sql: str
    parameters: Sequence[str]
    kind: tuple[str, str]
    work_group: str
    output: str
    cancelled: threading.Event = field(default_factory=threading.Event)
    state: str = "QUEUED"
    failure: QueryFailedError | None = None
    result: QueryResult | None = None
    #: When it was submitted, began to run, and ended.
    times: list[float] = field(default_factory=lambda: [time.time()])
    thread: threading.Thread | None = None

    @property
    def database(self) -> str | None:
        context: _Json = self.request.get("QueryExecutionContext", {})
        return context.get("Database")

    @property
    def rows(self) -> list[Sequence[str | None]]:
        """All rows of GetQueryResults; the first of a SELECT is its header."""
        assert self.result is not None
        header = [[column.name for column in self.result.columns]] if self.kind[1] == "SELECT" else []
        return [*header, *self.result.rows]

    @property
    def reason(self) -> str | None:
        if self.failure:
            return self.failure.reason
        return "Query cancelled by user" if self.state == "CANCELLED" else None


class AthenaServer(JsonService):
    """A running server, as a context manager.

    Without ``s3`` it writes no CSV files, and only names their locations.
    """

    message_member = "Message"

    def __init__(
        self, engine: Engine, s3: S3Server | None = None, work_groups: Mapping[str, WorkGroup] | None = None
    ) -> None:
        self.engine = engine
        self.s3 = s3
        self.work_groups = dict(work_groups or {"primary": WorkGroup("s3://athena-results/primary/")})
        #: Every request so far, throttled ones included.
        self.calls: list[Call] = []
        #: The minimum time of each query in these states.
        self.seconds_queued = 0.0
        self.seconds_running = 0.0
        self._changed = threading.Condition()
        self._executions: dict[str, _Execution] = {}
        self._by_token: dict[str, _Execution] = {}
        self._refusals: defaultdict[str, deque[_Refused]] = defaultdict(deque)
        self._failures: deque[QueryFailedError] = deque()
        self._held: str | None = None

    def stop(self) -> None:
        super().stop()
        for execution in self._executions.values():
            self._cancel(execution)
        for execution in self._executions.values():
            assert execution.thread is not None
            execution.thread.join(HANGS_SECONDS)

    def client(self, **config: Any) -> Any:
        """A boto3 client of this server; ``config`` is botocore's."""
        return aws_client("athena", self.endpoint, **config)

    def environment(self) -> dict[str, str]:
        """The environment in which unchanged clients find this server and its S3."""
        s3 = {"AWS_ENDPOINT_URL_S3": self.s3.endpoint} if self.s3 else {}
        return AWS_VARIABLES | {"AWS_ENDPOINT_URL_ATHENA": self.endpoint} | s3

    def operations(self) -> list[str]:
        """The names of the calls so far."""
        return [call.operation for call in self.calls]

    def throttle(self, operation: str, times: int = 1, code: str = "ThrottlingException") -> None:
        """Refuse the next ``times`` calls of ``operation``; Athena also says ``TooManyRequestsException``."""
        self.refuse(operation, times, code, "Rate exceeded")

    def refuse(self, operation: str, times: int, code: str, message: str = "refused by the test") -> None:
        """Answer the next ``times`` calls of ``operation`` with this error."""
        self._refusals[operation].extend(_Refused(message, code) for _ in range(times))

    def fail_next(self, reason: str, *, category: int = USER, error: int = USER_ERROR, retryable: bool = False) -> None:
        """The next query that runs ends as FAILED."""
        self._failures.append(QueryFailedError(reason, category=category, error=error, retryable=retryable))

    def hold(self, state: str = "RUNNING") -> None:
        """Queries stop in ``state`` until :meth:`release`."""
        with self._changed:
            self._held = state
            self._changed.notify_all()

    def release(self) -> None:
        """Held queries continue."""
        with self._changed:
            self._held = None
            self._changed.notify_all()

    def wait_for(self, query_id: str, *states: str) -> str:
        """Wait until a query is in one of these states, by default in a final one."""
        execution = self._executions[query_id]
        with self._changed:
            assert self._changed.wait_for(lambda: execution.state in (states or _FINAL_STATES), HANGS_SECONDS), (
                f"{query_id} is still {execution.state}"
            )
            return execution.state

    def at_work(self) -> int:
        """The number of queries that still occupy a thread, and so an engine."""
        return sum(e.thread is not None and e.thread.is_alive() for e in self._executions.values())

    # The operations

    def respond(self, operation: str, request: _Json) -> _Json:
        error = None
        try:
            if self._refusals[operation]:
                raise self._refusals[operation].popleft()
            if operation not in _OPERATIONS:
                raise _Refused(f"this stand-in has no operation {operation}", "UnknownOperationException")
            return _OPERATIONS[operation](self, request)
        except _Refused as refusal:
            error = refusal.code
            raise
        finally:
            self.calls.append(Call(operation, request, error))

    def _start(self, request: _Json) -> _Json:
        sql = request.get("QueryString", "")
        _check_length("queryString", len(sql.encode()), 1, MAX_QUERY_BYTES)
        token = request.get("ClientRequestToken")
        if token is not None:
            _check_length("clientRequestToken", len(token), 32, 128)
        parameters = _checked_parameters(request)
        name = request.get("WorkGroup", "primary")
        location = self._location(name, request)
        sql, kind = _one_statement(sql)
        with self._changed:
            if token in self._by_token:
                if _without_token(self._by_token[token].request) != _without_token(request):
                    raise _Refused("Idempotent parameters do not match")
                return {"QueryExecutionId": self._by_token[token].id}
            query_id = str(uuid.uuid4())
            extension = "csv" if kind[0] == "DML" else "txt"
            output = f"{location.rstrip('/')}/{query_id}.{extension}"
            execution = _Execution(query_id, request, sql, parameters, kind, name, output)
            execution.thread = threading.Thread(target=self._work, args=(execution,), daemon=True)
            self._executions[query_id] = execution
            if token is not None:
                self._by_token[token] = execution
        execution.thread.start()
        return {"QueryExecutionId": query_id}

    def _location(self, name: str, request: _Json) -> str:
        work_group = self._work_group(name)
        requested = request.get("ResultConfiguration", {}).get("OutputLocation")
        location = work_group.output if work_group.enforced else requested or work_group.output
        if location is None:
            raise _Refused(
                "No output location provided. An output location is required either through the Workgroup result "
                "configuration setting or as an API input."
            )
        if not (found := re.fullmatch("s3://([^/]+)(?:/.*)?", location)):
            raise _Refused(f"outputLocation is not a valid S3 path: {location}")
        if self.s3:
            try:
                self.s3.client.head_bucket(Bucket=found[1])
            except (BotoCoreError, ClientError) as error:
                raise _Refused(f"Unable to verify/create output bucket {found[1]}") from error
        return location

    def _work_group(self, name: str) -> WorkGroup:
        if name not in self.work_groups:
            raise _Refused(f"WorkGroup {name} is not found.")
        return self.work_groups[name]

    def _get(self, request: _Json) -> _Json:
        return {"QueryExecution": self._described(self._execution(request))}

    def _stop(self, request: _Json) -> _Json:
        self._cancel(self._execution(request))
        return {}

    def _results(self, request: _Json) -> _Json:
        execution = self._execution(request)
        with self._changed:
            state = execution.state
        if state in ("QUEUED", "RUNNING"):
            raise _Refused(f"Query has not yet finished. Current state: {state}")
        if execution.result is None:
            raise _Refused(f"Query did not finish successfully. Final query state: {state}")
        most = request.get("MaxResults", MAX_PAGE_ROWS)
        if not 1 <= most <= MAX_PAGE_ROWS:
            raise _Refused(f"MaxResults is more than maximum allowed length {MAX_PAGE_ROWS}.")
        first = _row_of(request["NextToken"], execution.id) if "NextToken" in request else 0
        rows = execution.rows
        page = [{"Data": [{} if v is None else {"VarCharValue": v} for v in row]} for row in rows[first : first + most]]
        metadata = {"ColumnInfo": [_column_info(column) for column in execution.result.columns]}
        more = {"NextToken": _token_of(first + most, execution.id)} if first + most < len(rows) else {}
        return {"ResultSet": {"Rows": page, "ResultSetMetadata": metadata}, "UpdateCount": 0} | more

    def _get_work_group(self, request: _Json) -> _Json:
        work_group = self._work_group(request["WorkGroup"])
        return {
            "WorkGroup": {
                "Name": request["WorkGroup"],
                "State": "ENABLED",
                "Configuration": {
                    "ResultConfiguration": {"OutputLocation": work_group.output} if work_group.output else {},
                    "EnforceWorkGroupConfiguration": work_group.enforced,
                    "PublishCloudWatchMetricsEnabled": False,
                    "RequesterPaysEnabled": False,
                    "EngineVersion": ENGINE_VERSION,
                },
            }
        }

    def _execution(self, request: _Json) -> _Execution:
        query_id = request.get("QueryExecutionId", "")
        if query_id not in self._executions:
            raise _Refused(f"QueryExecution {query_id} was not found")
        return self._executions[query_id]

    def _described(self, execution: _Execution) -> _Json:
        with self._changed:
            submitted, *later = execution.times
            ended = later[-1] if execution.state in _FINAL_STATES else None
            until = ended or time.time()
            began = later[0] if later else until
            status = {
                "State": execution.state,
                "SubmissionDateTime": submitted,
                "CompletionDateTime": ended,
                "StateChangeReason": execution.reason,
                "AthenaError": execution.failure.details if execution.failure else None,
            }
            given = {"ExecutionParameters": execution.parameters} if execution.parameters else {}
            return given | {
                "QueryExecutionId": execution.id,
                "Query": execution.request["QueryString"],
                "StatementType": execution.kind[0],
                "SubstatementType": execution.kind[1],
                "ResultConfiguration": {"OutputLocation": execution.output},
                "ResultReuseConfiguration": {"ResultReuseByAgeConfiguration": {"Enabled": False}},
                "QueryExecutionContext": {"Catalog": CATALOG} | execution.request.get("QueryExecutionContext", {}),
                "Status": {k: v for k, v in status.items() if v is not None},
                "Statistics": {
                    "EngineExecutionTimeInMillis": _milliseconds(until - began),
                    "DataScannedInBytes": execution.result.scanned_bytes if execution.result else 0,
                    "TotalExecutionTimeInMillis": _milliseconds(until - submitted),
                    "QueryQueueTimeInMillis": _milliseconds(began - submitted),
                    "ResultReuseInformation": {"ReusedPreviousResult": False},
                },
                "WorkGroup": execution.work_group,
                "EngineVersion": ENGINE_VERSION,
            }

    # The life of a query

    def _work(self, execution: _Execution) -> None:
        result, failure = None, None
        try:
            self._stay(execution, "QUEUED", self.seconds_queued)
            self._stay(execution, "RUNNING", self.seconds_running)
            if not execution.cancelled.is_set():
                result = self._run(execution)
        except QueryFailedError as error:
            failure = error
        except Exception as error:
            text = f"GENERIC_INTERNAL_ERROR: {type(error).__name__}: {error}"
            failure = QueryFailedError(text, category=SYSTEM, error=ENGINE_ERROR)
        with self._changed:
            if execution.cancelled.is_set():
                self._change(execution, "CANCELLED")
            else:
                execution.result, execution.failure = result, failure
                self._change(execution, "FAILED" if failure else "SUCCEEDED")

    def _run(self, execution: _Execution) -> QueryResult:
        if self._failures:
            raise self._failures.popleft()
        result = self.engine.run(execution.sql, execution.parameters, execution.database, execution.cancelled)
        if self.s3 and not execution.cancelled.is_set():
            bucket, _, key = execution.output.removeprefix("s3://").partition("/")
            body = _csv(result) if execution.kind[0] == "DML" else _plain(result)
            try:
                self.s3.client.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/octet-stream")
            except (BotoCoreError, ClientError) as error:
                reason = f"Access denied when writing output to url: {execution.output}"
                raise QueryFailedError(reason, error=CANNOT_WRITE) from error
        return result

    def _stay(self, execution: _Execution, state: str, seconds: float) -> None:
        with self._changed:
            if execution.state != state:
                self._change(execution, state)
            self._changed.wait_for(execution.cancelled.is_set, seconds)
            self._changed.wait_for(lambda: self._held != state or execution.cancelled.is_set())

    def _cancel(self, execution: _Execution) -> None:
        with self._changed:
            if execution.state not in _FINAL_STATES:
                execution.cancelled.set()
                self._changed.notify_all()

    def _change(self, execution: _Execution, state: str) -> None:
        execution.times.append(time.time())
        execution.state = state
        self._changed.notify_all()


_OPERATIONS: Final[Mapping[str, Callable[[AthenaServer, _Json], _Json]]] = {
    "StartQueryExecution": AthenaServer._start,
    "GetQueryExecution": AthenaServer._get,
    "StopQueryExecution": AthenaServer._stop,
    "GetQueryResults": AthenaServer._results,
    "GetWorkGroup": AthenaServer._get_work_group,
}


# Requests --------------------------------------------------------------------------------------------------------

_QUOTED: Final = r"'(?:[^']|'')*'"
_NUMBER: Final = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_TYPES: Final = "date|time|timestamp|decimal|tinyint|smallint|integer|int|bigint|real|double|varchar|char|boolean|json"
_LITERAL: Final = re.compile(
    rf"\s*(?:{_QUOTED}|[Uu]&{_QUOTED}(?:\s+UESCAPE\s+'.')?|[Xx]{_QUOTED}|{_NUMBER}|true|false|null|(?:{_TYPES})\s*{_QUOTED}"
    rf"|interval\s+[+-]?\s*{_QUOTED}\s+\w+)\s*",
    re.IGNORECASE,
)


def _checked_parameters(request: _Json) -> list[str]:
    if "ExecutionParameters" not in request:
        return []
    parameters: list[str] = request["ExecutionParameters"]
    _check_length("executionParameters", len(parameters), 1, None)
    for parameter in parameters:
        _check_length("executionParameters", len(parameter), 1, MAX_PARAMETER_CHARACTERS)
        if not _LITERAL.fullmatch(parameter):
            raise _Refused(
                f"Execution parameter is not a single SQL literal: {parameter}", AthenaErrorCode="INVALID_INPUT"
            )
    return parameters


def _check_length(member: str, length: int, least: int, most: int | None) -> None:
    if length < least or (most is not None and length > most):
        bound = f"greater than or equal to {least}" if length < least else f"less than or equal to {most}"
        raise _Refused(
            f"1 validation error detected: Value at '{member}' failed to satisfy constraint: "
            f"Member must have length {bound}",
            AthenaErrorCode="INVALID_INPUT",
        )


def _one_statement(sql: str) -> tuple[str, tuple[str, str]]:
    """The statement without a semicolon after it, its type and its subtype."""
    try:
        tokens = sqlglot.tokenize(sql, read="trino")
        ends = [i for i, token in enumerate(tokens) if token.token_type == TokenType.SEMICOLON]
        if ends and ends[0] != len(tokens) - 1:
            raise _malformed(f"Only one sql statement is allowed. Got: {sql}")
        if ends:
            tokens = tokens[:-1]
        if not tokens:
            raise _malformed("line 1:1: mismatched input '<EOF>'")
        _refuse_what_only_sqlglot_takes(tokens)
        sql = sql[: tokens[-1].end + 1]
        tree = sqlglot.parse_one(sql, read="athena")
    except ParseError as error:
        [first, *_] = error.errors or [{}]
        place = f"line {first.get('line', 1)}:{first.get('col', 1)}"
        raise _malformed(f"{place}: mismatched input {first.get('highlight')!r}") from error
    except SqlglotError as error:
        raise _malformed(f"line 1:1: {error}") from error
    return sql, _kind(tree)


def _refuse_what_only_sqlglot_takes(tokens: Sequence[Token]) -> None:
    kinds = [token.token_type for token in tokens]
    for i, kind in enumerate(kinds):
        if kind == TokenType.LIMIT and kinds[i + 2 : i + 3] == [TokenType.OFFSET]:
            raise _malformed(f"line {tokens[i + 2].line}:{tokens[i + 2].col}: mismatched input 'OFFSET'")


def _malformed(message: str) -> _Refused:
    return _Refused(message, AthenaErrorCode="MALFORMED_QUERY")


def _kind(tree: exp.Expr) -> tuple[str, str]:
    if isinstance(tree, exp.Query | exp.Values):
        return "DML", "SELECT"
    name = tree.name if isinstance(tree, exp.Command) else tree.key
    if isinstance(tree, exp.Insert | exp.Update | exp.Delete | exp.Merge):
        return "DML", name.upper()
    if name.upper() in ("EXPLAIN", "SHOW", "DESCRIBE"):
        return "UTILITY", name.upper()
    return "DDL", name.upper()


def _without_token(request: _Json) -> _Json:
    return {k: v for k, v in request.items() if k != "ClientRequestToken"}


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))


# Results ---------------------------------------------------------------------------------------------------------


def _token_of(row: int, query_id: str) -> str:
    return base64.urlsafe_b64encode(f"{query_id}/{row}".encode()).decode()


def _row_of(token: str, query_id: str) -> int:
    with suppress(ValueError):
        of_query, row = base64.urlsafe_b64decode(token).decode().split("/")
        if of_query == query_id:
            return int(row)
    raise _Refused("Malformed next token")


def _column_info(column: Column) -> _Json:
    return {
        "CatalogName": "hive",
        "SchemaName": "",
        "TableName": "",
        "Name": column.name,
        "Label": column.name,
        "Type": column.type,
        "Precision": column.precision,
        "Scale": column.scale,
        "Nullable": "UNKNOWN",
        "CaseSensitive": column.type in ("varchar", "char"),
    }


def _csv(result: QueryResult) -> bytes:
    """Every value in quotes, and nothing at all for NULL."""
    rows = [[column.name for column in result.columns], *result.rows]
    return "".join(
        ",".join("" if value is None else '"' + value.replace('"', '""') + '"' for value in row) + "\n" for row in rows
    ).encode()


def _plain(result: QueryResult) -> bytes:
    return "".join("\t".join(value or "" for value in row) + "\n" for row in result.rows).encode()


_PRECISIONS: Final = {
    "boolean": 0,
    "tinyint": 3,
    "smallint": 5,
    "integer": 10,
    "bigint": 19,
    "float": 17,
    "double": 17,
    "varchar": 2_147_483_647,
    "varbinary": 1_073_741_824,
    "timestamp": 3,
    "timestamp with time zone": 3,
}


def _column(name: str, kind: str, precision: int | None = None, scale: int = 0) -> Column:
    return Column(name, kind, _PRECISIONS.get(kind, 0) if precision is None else precision, scale)


def _text(value: Any) -> str | None:
    """A value as Athena writes it."""
    match value:
        case None:
            return None
        case bool():
            return str(value).lower()
        case float():
            return _java_double(value)
        case bytes():
            return value.hex(" ")
        case datetime():
            zone = "" if value.tzinfo is None else f" {value.tzname()}"
            return value.replace(tzinfo=None).isoformat(" ", "milliseconds") + zone
        case date():
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
        case list() | tuple():
            return "[" + ", ".join(_text(item) or "null" for item in value) + "]"
        case dict():
            return "{" + ", ".join(f"{key}={_text(item) or 'null'}" for key, item in value.items()) + "}"
        case _:
            return str(value)


def _java_double(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return format(Decimal(repr(value)), "f") if "e" in repr(value) else repr(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    rest = "".join(map(str, digits[1:])) or "0"
    return f"{'-' * sign}{digits[0]}.{rest}E{int(exponent) + len(digits) - 1}"


# DuckDB ----------------------------------------------------------------------------------------------------------

_DUCKDB_TYPES: Final = {
    "BOOLEAN": "boolean",
    "TINYINT": "tinyint",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    # of sums, which are bigint in Athena
    "HUGEINT": "bigint",
    "FLOAT": "float",
    "DOUBLE": "double",
    "VARCHAR": "varchar",
    "BLOB": "varbinary",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP_S": "timestamp",
    "TIMESTAMP_MS": "timestamp",
    "TIMESTAMP_NS": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
}


class DuckDBEngine:
    """SELECT only, translated from Athena's dialect, over the tables of one database in the connection's main schema.

    ``connect`` is called for each query, and what it gives is closed after it. ``injected`` names the tables with
    injected projection, and their column: Athena refuses queries of those that don't say which values they want.
    """

    def __init__(
        self,
        connect: Callable[[], duckdb.DuckDBPyConnection],
        database: str = DATABASE,
        injected: Mapping[str, str] | None = None,
    ) -> None:
        self._connect = connect
        self._database = database
        self._injected = {"auditlog": "source"} if injected is None else dict(injected)

    def run(self, sql: str, parameters: Sequence[str], database: str | None, cancelled: threading.Event) -> QueryResult:
        tree = _with_parameters(sql, parameters)
        if not isinstance(tree, exp.Query | exp.Values):
            raise QueryFailedError(f"NOT_SUPPORTED: this stand-in for Athena runs SELECT only, not {_kind(tree)[1]}")
        _refuse_row_comparisons(tree)
        for _, _, table in _tables(tree):
            self._resolve(table, database)
        with self._connect() as connection, _interrupting(connection.interrupt, cancelled):
            try:
                self._check_projection(tree, connection)
                connection.execute("SET enable_profiling = 'no_output'")
                connection.execute(tree.sql(dialect="duckdb"))
                described, rows = connection.description, connection.fetchall()
                profile = json.loads(connection.get_profiling_information())
            except duckdb.Error as error:
                raise _duckdb_failure(error) from error
        names = _output_names(tree, [name for name, *_ in described])
        columns = [_duckdb_column(name, str(kind)) for name, (_, kind, *_) in zip(names, described, strict=True)]
        return QueryResult(
            columns, [[_text(value) for value in row] for row in rows], profile.get("total_bytes_read", 0)
        )

    def _check_projection(self, tree: exp.Expr, connection: duckdb.DuckDBPyConnection) -> None:
        for name, column in self._injected.items():
            if not (_is_pinned(tree, name, column) or _is_pinned(_pushed_down(tree, name, connection), name, column)):
                raise QueryFailedError(
                    f"CONSTRAINT_VIOLATION: For the injected projected partition column {column}, the WHERE clause "
                    "must contain only static equality conditions, and at least one such condition must be present."
                )

    def _resolve(self, table: exp.Table, context: str | None) -> None:
        """Remove the name of the database, which DuckDB does not have."""
        database = (table.db or context or "default").lower()
        if database == "information_schema":
            return
        if table.catalog and table.catalog.lower() != CATALOG.lower():
            raise QueryFailedError(f"CATALOG_NOT_FOUND: line 1:1: Catalog '{table.catalog}' does not exist")
        if database != self._database:
            raise QueryFailedError(f"SCHEMA_NOT_FOUND: line 1:1: Schema '{database}' does not exist")
        table.set("catalog", None)
        table.set("db", None)


def _with_parameters(sql: str, parameters: Sequence[str]) -> exp.Expr:
    """The statement as a tree, with literals for its ``?``."""
    places = [t for t in sqlglot.tokenize(sql, read="trino") if t.token_type == TokenType.PLACEHOLDER]
    if len(places) != len(parameters):
        raise QueryFailedError(
            f"INVALID_PARAMETER_USAGE: line 1:1: Incorrect number of parameters: "
            f"expected {len(places)} but found {len(parameters)}"
        )
    # the tree does not have the order in which its placeholders were written, so they get names
    for number, place in reversed(list(enumerate(places))):
        sql = f"{sql[: place.start]} :parameter_{number} {sql[place.end + 1 :]}"
    literals = {f"parameter_{i}": sqlglot.parse_one(text, read="athena") for i, text in enumerate(parameters)}

    def plain(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Placeholder) and node.name in literals:
            return plain(literals[node.name].copy())
        if isinstance(node, exp.UnicodeString):
            return exp.Literal.string(_unescaped(node))
        return node

    return sqlglot.parse_one(sql, read="athena").transform(plain)


def _unescaped(node: exp.UnicodeString) -> str:
    escape = re.escape(node.args["escape"].name if node.args.get("escape") else "\\")
    pattern = rf"{escape}(?:({escape})|([0-9A-Fa-f]{{4}})|\+([0-9A-Fa-f]{{6}}))"
    return re.sub(pattern, lambda m: m[1] or chr(int(m[2] or m[3], 16)), node.name)


def _refuse_row_comparisons(tree: exp.Expr) -> None:
    for node in tree.find_all(exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE):
        if isinstance(node.this, exp.Struct):
            raise QueryFailedError("NOT_SUPPORTED: DuckDB would compare ROW values in another way than Athena")


def _tables(tree: exp.Expr) -> Iterator[tuple[Scope, str, exp.Table]]:
    """Every real table of a statement, with its scope and its alias there."""
    for scope in traverse_scope(tree):
        for alias, table in scope.sources.items():
            if isinstance(table, exp.Table) and isinstance(table.this, exp.Identifier):
                yield scope, alias, table


def _is_pinned(tree: exp.Expr, name: str, column: str) -> bool:
    """Whether the table has, wherever it is read, only static equality conditions on the column, and at least one."""
    for scope, alias, table in _tables(tree):
        if table.name.lower() == name:
            about = [c for c in _conditions(scope, alias) if _is_about(c, alias, column)]
            if not about or not all(map(_is_static_equality, about)):
                return False
    return True


def _pushed_down(tree: exp.Expr, name: str, connection: duckdb.DuckDBPyConnection) -> exp.Expr:
    """The statement with its conditions pushed down into its subqueries, as Athena's planner does."""
    columns = {row[0].lower(): row[1] for row in connection.execute(f"DESCRIBE {name}").fetchall()}
    with suppress(SqlglotError):
        qualified = qualify(
            tree.copy(), dialect="athena", schema={name: columns}, validate_qualify_columns=False, isolate_tables=False
        )
        return pushdown_predicates(qualified, dialect="athena")
    return tree


def _conditions(scope: Scope, alias: str) -> list[exp.Expr]:
    """The conditions that every row of the table must meet."""
    where = scope.expression.args.get("where")
    joins = scope.expression.args.get("joins") or []
    all_of = [where and where.this, *(join.args.get("on") for join in joins if join.alias_or_name == alias)]
    return [condition for whole in all_of if whole for condition in _conjuncts(whole)]


def _conjuncts(condition: exp.Expr) -> list[exp.Expr]:
    condition = condition.unnest()
    if isinstance(condition, exp.And):
        return [*_conjuncts(condition.this), *_conjuncts(condition.expression)]
    return [condition]


def _is_about(condition: exp.Expr, alias: str, column: str) -> bool:
    """Whether a condition is one on the column alone."""
    columns = list(condition.find_all(exp.Column))
    return bool(columns) and all(c.name.lower() == column and c.table.lower() in ("", alias.lower()) for c in columns)


def _is_static_equality(condition: exp.Expr) -> bool:
    condition = condition.unnest()
    match condition:
        case exp.EQ():
            return _is_constant(condition.expression) or _is_constant(condition.this)
        case exp.In():
            return bool(condition.expressions) and all(map(_is_constant, condition.expressions))
        case exp.Or():
            return _is_static_equality(condition.this) and _is_static_equality(condition.expression)
        case _:
            return False


def _is_constant(node: exp.Expr) -> bool:
    return all(isinstance(part, exp.Literal | exp.DPipe | exp.Paren | exp.Concat) for part in node.walk())


def _output_names(tree: exp.Expr, names: Sequence[str]) -> list[str]:
    """Athena's names of the columns: as written in the query, in lower case for those of ``*``."""
    selects = tree.selects if isinstance(tree, exp.Query) else [exp.null()] * len(names)
    if not any(select.is_star for select in selects):
        named = (select.output_name if isinstance(select, exp.Alias | exp.Column) else "" for select in selects)
        return [name or f"_col{i}" for i, name in enumerate(named)]
    aliases = {select.alias for select in selects if isinstance(select, exp.Alias)}
    return [name if name in aliases else name.lower() for name in names]


def _duckdb_column(name: str, kind: str) -> Column:
    if found := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind):
        return _column(name, "decimal", int(found[1]), int(found[2]))
    if kind.endswith("[]"):
        return _column(name, "array")
    if kind.startswith(("STRUCT", "MAP")):
        return _column(name, "row" if kind.startswith("STRUCT") else "map")
    return _column(name, _DUCKDB_TYPES.get(kind, "varchar"))


def _duckdb_failure(error: duckdb.Error) -> QueryFailedError:
    text = str(error).split("\n", 1)[0]
    if found := re.search("Table with name (.+?) does not exist", text):
        return QueryFailedError(f"TABLE_NOT_FOUND: line 1:1: Table '{found[1]}' does not exist")
    if found := re.search('Referenced column "(.+?)" not found', text):
        return QueryFailedError(f"COLUMN_NOT_FOUND: line 1:1: Column '{found[1]}' cannot be resolved")
    if isinstance(error, duckdb.IOException | duckdb.HTTPException):
        return QueryFailedError(f"HIVE_CANNOT_OPEN_SPLIT: {text}", category=SYSTEM, error=ENGINE_ERROR)
    syntax = isinstance(error, duckdb.ParserException | duckdb.BinderException | duckdb.CatalogException)
    return QueryFailedError(f"{'SYNTAX_ERROR' if syntax else 'GENERIC_USER_ERROR'}: {text}")


# Trino -----------------------------------------------------------------------------------------------------------


class TrinoEngine:
    """A real Trino server, over the tables of one of its catalogs."""

    def __init__(self, host: str, port: int, catalog: str, user: str = "athena") -> None:
        self._address: _Json = {"host": host, "port": port, "catalog": catalog, "user": user}

    def run(self, sql: str, parameters: Sequence[str], database: str | None, cancelled: threading.Event) -> QueryResult:
        if parameters:
            quoted = sql.replace("'", "''")
            sql = f"EXECUTE IMMEDIATE '{quoted}' USING {', '.join(parameters)}"
        # values as texts: Python's types have fewer digits and years
        session: _Json = {"schema": database, "timezone": "UTC", "legacy_primitive_types": True}
        with trino.dbapi.connect(**self._address, **session) as connection:
            cursor = connection.cursor()
            with _interrupting(cursor.cancel, cancelled):
                try:
                    cursor.execute(sql)
                    rows = cursor.fetchall()
                except trino.exceptions.TrinoQueryError as error:
                    system = error.error_type in ("INTERNAL_ERROR", "EXTERNAL", "INSUFFICIENT_RESOURCES")
                    raise QueryFailedError(
                        f"{error.error_name}: {error.message}",
                        category=SYSTEM if system else USER,
                        error=ENGINE_ERROR if system else USER_ERROR,
                    ) from error
            kinds = [str(described[1]) for described in cursor.description or ()]
            columns = [_trino_column(d[0], kind) for d, kind in zip(cursor.description or (), kinds, strict=True)]
            texts = [[_trino_text(value, kind) for value, kind in zip(row, kinds, strict=True)] for row in rows]
            return QueryResult(columns, texts, (cursor.stats or {}).get("physicalInputBytes", 0))


def _trino_column(name: str, kind: str) -> Column:
    if found := re.fullmatch(r"decimal\((\d+),\s*(\d+)\)", kind):
        return _column(name, "decimal", int(found[1]), int(found[2]))
    if found := re.fullmatch(r"(varchar|char)\((\d+)\)", kind):
        return _column(name, found[1], int(found[2]))
    if kind == "real":
        return _column(name, "float")
    return _column(name, re.sub(r"\(.*\)", "", kind))


def _trino_text(value: Any, kind: str) -> str | None:
    if kind == "varbinary" and isinstance(value, str):
        return base64.b64decode(value).hex(" ")
    if kind.startswith("timestamp") and isinstance(value, str):
        # Athena has milliseconds, whatever the precision in the query
        return re.sub(r"(:\d\d)(?:\.(\d+))?(?= |$)", lambda m: f"{m[1]}.{(m[2] or '')[:3]:0<3}", value, count=1)
    return _text(value)


@contextmanager
def _interrupting(interrupt: Callable[[], object], cancelled: threading.Event) -> Iterator[None]:
    """While the block runs, call ``interrupt`` once ``cancelled`` is set, and repeat it until the block ends."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            if cancelled.is_set():
                with suppress(Exception):
                    interrupt()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
