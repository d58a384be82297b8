"""The stand-in for Athena keeps to Athena's rules, and unchanged clients read through it the rows that DuckDB reads."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from botocore.exceptions import ClientError
from pyathena import connect as pyathena_connect
from pyathena.cursor import Cursor
from pyathena.pandas.cursor import PandasCursor

from audit_pipeline.catalog.duckdb import connect
from audit_pipeline.settings import Settings
from tests.servers.athena import AthenaServer, Column, DuckDBEngine, QueryResult, TrinoEngine, WorkGroup
from tests.servers.s3 import S3Server, s3_server
from tests.servers.trino import CATALOG, TrinoServer
from tests.support.lake import DAY1, DAY2, DAY3, Lake
from tests.support.paths import RAW_EXAMPLES, REPOSITORY, SUPPORT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

DATABASE = "audit_logs_db"
BUCKET = "athena-results"
Rows = list[tuple[Any, ...]]

#: A million million rows: it takes days unless it is stopped.
ENDLESS = (
    "SELECT count(*) FROM UNNEST(sequence(1, 10000)) AS a(x) CROSS JOIN UNNEST(sequence(1, 10000)) AS b(y) "
    "CROSS JOIN UNNEST(sequence(1, 10000)) AS c(z) WHERE x * y * z % 7 = 3"
)


def memory() -> duckdb.DuckDBPyConnection:
    """A table ``auditlog`` of a few rows, and one of 2,500."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute(
        """CREATE VIEW auditlog AS SELECT 'e' || i AS "Id", 'shop' AS source, '2026-05-01' AS dt FROM range(3) AS r(i);
           CREATE VIEW numbers AS SELECT i AS n FROM range(2500) AS r(i)"""
    )
    return connection


class Recorder:
    """An engine that only records its statements."""

    def __init__(self) -> None:
        self.given: list[tuple[str, Sequence[str], str | None]] = []

    def run(self, sql: str, parameters: Sequence[str], database: str | None, cancelled: threading.Event) -> QueryResult:
        self.given.append((sql, parameters, database))
        return QueryResult([Column("x", "varchar")], [["1"]])


@pytest.fixture
def server() -> Iterator[AthenaServer]:
    with AthenaServer(DuckDBEngine(memory)) as running:
        yield running


def start(server: AthenaServer, sql: str, *parameters: str, **more: Any) -> str:
    given = {"QueryExecutionContext": {"Database": DATABASE}} | more
    if parameters:
        given["ExecutionParameters"] = list(parameters)
    # without boto3's own validation, as the server's is tested
    client = server.client(parameter_validation=False, retries={"total_max_attempts": 1})
    query_id: str = client.start_query_execution(QueryString=sql, **given)["QueryExecutionId"]
    return query_id


def ended(server: AthenaServer, query_id: str) -> dict[str, Any]:
    server.wait_for(query_id)
    return described(server, query_id)


def described(server: AthenaServer, query_id: str) -> dict[str, Any]:
    execution: dict[str, Any] = server.client().get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
    return execution


def pages(server: AthenaServer, query_id: str, **more: Any) -> list[list[list[str | None]]]:
    found = []
    for page in server.client().get_paginator("get_query_results").paginate(QueryExecutionId=query_id, **more):
        rows = page["ResultSet"]["Rows"]
        found.append([[datum.get("VarCharValue") for datum in row["Data"]] for row in rows])
    return found


def rows_of(server: AthenaServer, sql: str, *parameters: str) -> list[list[str | None]]:
    """The rows of a query, without the header."""
    query_id = start(server, sql, *parameters)
    status = ended(server, query_id)["Status"]
    assert status["State"] == "SUCCEEDED", status
    return [row for page in pages(server, query_id) for row in page][1:]


def reason(server: AthenaServer, sql: str, *parameters: str) -> str:
    """Why a query failed."""
    status = ended(server, start(server, sql, *parameters))["Status"]
    assert status["State"] == "FAILED"
    text: str = status["StateChangeReason"]
    return text


def refusal(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


# States ----------------------------------------------------------------------------------------------------------


def test_a_query_is_queued_then_runs_then_has_succeeded(server: AthenaServer) -> None:
    server.hold("QUEUED")
    query_id = start(server, "SELECT 1 AS x")
    seen = []
    for hold in (lambda: None, lambda: server.hold("RUNNING"), server.release):
        hold()
        server.wait_for(query_id, ("QUEUED", "RUNNING", "SUCCEEDED")[len(seen)])
        seen.append(described(server, query_id))
        if len(seen) < 3:
            code, text = refusal(lambda: pages(server, query_id))
            assert (code, text) == (
                "InvalidRequestException",
                f"Query has not yet finished. Current state: {seen[-1]['Status']['State']}",
            )
    assert [execution["Status"]["State"] for execution in seen] == ["QUEUED", "RUNNING", "SUCCEEDED"]
    assert ["CompletionDateTime" in execution["Status"] for execution in seen] == [False, False, True]
    done = seen[-1]
    assert (done["StatementType"], done["SubstatementType"], done["WorkGroup"]) == ("DML", "SELECT", "primary")
    assert done["ResultConfiguration"]["OutputLocation"] == f"s3://athena-results/primary/{query_id}.csv"
    assert done["EngineVersion"]["EffectiveEngineVersion"] == "Athena engine version 3"
    assert done["Statistics"]["TotalExecutionTimeInMillis"] >= done["Statistics"]["EngineExecutionTimeInMillis"]
    assert pages(server, query_id) == [[["x"], ["1"]]]


def test_a_query_can_be_slowed_down(server: AthenaServer) -> None:
    server.seconds_queued, server.seconds_running = 0.2, 0.3
    statistics = ended(server, start(server, "SELECT 1"))["Statistics"]
    assert statistics["QueryQueueTimeInMillis"] >= 200
    assert statistics["EngineExecutionTimeInMillis"] >= 300


def test_a_failure_has_its_reason_and_its_category(server: AthenaServer) -> None:
    query_id = start(server, "SELECT nothing FROM numbers")
    status = ended(server, query_id)["Status"]
    assert status["State"] == "FAILED"
    assert status["StateChangeReason"] == "COLUMN_NOT_FOUND: line 1:1: Column 'nothing' cannot be resolved"
    assert status["AthenaError"]["ErrorCategory"] == 2
    code, text = refusal(lambda: pages(server, query_id))
    assert (code, text) == (
        "InvalidRequestException",
        "Query did not finish successfully. Final query state: FAILED",
    )


def test_a_failure_can_be_configured(server: AthenaServer) -> None:
    server.fail_next("Query exhausted resources at this scale factor", category=1, error=0, retryable=True)
    first, second = (ended(server, start(server, "SELECT 1"))["Status"] for _ in range(2))
    assert first["StateChangeReason"] == "Query exhausted resources at this scale factor"
    assert first["AthenaError"]["Retryable"] is True
    assert second["State"] == "SUCCEEDED"


def test_a_running_query_is_really_stopped(server: AthenaServer) -> None:
    query_id = start(server, ENDLESS)
    server.wait_for(query_id, "RUNNING")
    time.sleep(0.3)
    assert server.at_work() == 1
    server.client().stop_query_execution(QueryExecutionId=query_id)
    status = ended(server, query_id)["Status"]
    assert (status["State"], status["StateChangeReason"]) == ("CANCELLED", "Query cancelled by user")
    wait_until(lambda: not server.at_work(), "the end of DuckDB's work")
    assert refusal(lambda: pages(server, query_id))[1].endswith("Final query state: CANCELLED")


def test_a_query_stopped_in_the_queue_never_runs() -> None:
    with AthenaServer(recorder := Recorder()) as server:
        server.hold("QUEUED")
        query_id = start(server, "SELECT 1")
        server.client().stop_query_execution(QueryExecutionId=query_id)
        assert server.wait_for(query_id) == "CANCELLED"
        assert recorder.given == []


def test_stopping_what_has_ended_changes_nothing(server: AthenaServer) -> None:
    query_id = start(server, "SELECT 1")
    before = ended(server, query_id)
    server.client().stop_query_execution(QueryExecutionId=query_id)
    assert described(server, query_id) == before


def test_an_id_that_was_never_given_is_refused(server: AthenaServer) -> None:
    for call in ("get_query_execution", "get_query_results", "stop_query_execution"):
        code, text = refusal(lambda call=call: getattr(server.client(), call)(QueryExecutionId="nobody"))
        assert (code, text) == ("InvalidRequestException", "QueryExecution nobody was not found")


# Starting --------------------------------------------------------------------------------------------------------


def test_the_same_token_is_the_same_query() -> None:
    with AthenaServer(recorder := Recorder()) as server:
        token = {"ClientRequestToken": "t" * 32}
        first, again = (start(server, "SELECT ?", "1", **token) for _ in range(2))
        assert first == again
        assert start(server, "SELECT ?", "1") != first
        server.wait_for(first)
        for sql, parameter in (("SELECT ?", "2"), ("SELECT ? ", "1")):
            code, text = refusal(lambda sql=sql, parameter=parameter: start(server, sql, parameter, **token))
            assert (code, text) == ("InvalidRequestException", "Idempotent parameters do not match")
    assert len(recorder.given) == 2


def test_a_token_has_at_least_32_characters(server: AthenaServer) -> None:
    assert "clientRequestToken" in refusal(lambda: start(server, "SELECT 1", ClientRequestToken="t" * 31))[1]


@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_query_has_at_most_262144_bytes(letter: str) -> None:
    def sql(size: int) -> str:
        letters = letter * ((size - 9) // len(letter.encode()))
        return f"SELECT '{letters}'".ljust(size - (len(letters.encode()) - len(letters)))

    with AthenaServer(recorder := Recorder()) as server:
        assert len(sql(262_144).encode()) == 262_144
        server.wait_for(start(server, sql(262_144)))
        code, text = refusal(lambda: start(server, sql(262_145)))
        assert code == "InvalidRequestException"
        assert "'queryString' failed to satisfy constraint" in text
        assert "less than or equal to 262144" in text
    assert len(recorder.given) == 1


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT 1; DROP TABLE auditlog", "Only one sql statement is allowed"),
        ("SELECT 1;;", "Only one sql statement is allowed"),
        ("SELECT (", "line 1:8: mismatched input"),
        ("SELECT 'open", "line 1:1:"),
        ("SELECT n FROM numbers LIMIT 1 OFFSET 1", "line 1:36: mismatched input 'OFFSET'"),
        ("-- nothing", "mismatched input '<EOF>'"),
        ("", "'queryString' failed to satisfy constraint"),
    ],
)
def test_what_is_not_one_statement_is_refused_at_once(server: AthenaServer, sql: str, says: str) -> None:
    code, text = refusal(lambda: start(server, sql))
    assert code == "InvalidRequestException"
    assert says in text


def test_a_semicolon_may_end_a_statement_and_stand_in_a_text(server: AthenaServer) -> None:
    assert rows_of(server, "SELECT 'a;b' AS \"c;d\" ; -- end;") == [["a;b"]]


@pytest.mark.parametrize(
    "sql", ["CREATE TABLE x AS SELECT 1", "ALTER TABLE a.b ADD COLUMNS (`x` string)", "INSERT INTO x VALUES (1)"]
)
def test_the_fast_engine_says_that_it_only_reads(server: AthenaServer, sql: str) -> None:
    assert reason(server, sql).startswith("NOT_SUPPORTED: this stand-in for Athena runs SELECT only, not ")


def test_work_groups_say_where_results_go() -> None:
    groups = {"open": WorkGroup(), "set": WorkGroup("s3://set/a"), "firm": WorkGroup("s3://firm/b/", enforced=True)}
    with AthenaServer(Recorder(), work_groups=groups) as server:

        def location(group: str, requested: str | None) -> str:
            given = {"WorkGroup": group} | ({"ResultConfiguration": {"OutputLocation": requested}} if requested else {})
            query_id = start(server, "SELECT 1", **given)
            return str(ended(server, query_id)["ResultConfiguration"]["OutputLocation"]).replace(query_id, "ID")

        assert location("set", None) == "s3://set/a/ID.csv"
        assert location("set", "s3://mine/c/") == "s3://mine/c/ID.csv"
        assert location("open", "s3://mine") == "s3://mine/ID.csv"
        assert location("firm", "s3://mine/c/") == "s3://firm/b/ID.csv"
        assert "No output location provided" in refusal(lambda: location("open", None))[1]
        assert "not a valid S3 path" in refusal(lambda: location("open", "/tmp/x"))[1]
        assert refusal(lambda: location("other", None)) == (
            "InvalidRequestException",
            "WorkGroup other is not found.",
        )
        configuration = server.client().get_work_group(WorkGroup="firm")["WorkGroup"]["Configuration"]
        assert configuration["EnforceWorkGroupConfiguration"] is True
        assert configuration["ResultConfiguration"] == {"OutputLocation": "s3://firm/b/"}


# Parameters ------------------------------------------------------------------------------------------------------


LITERALS = [
    ("'O''Brien'", "O'Brien"),
    ("'two\nlines'", "two\nlines"),
    ("'Zoë 😀 日本'", "Zoë 😀 日本"),
    (r"U&'\+01F600 \00e9 \\ '''", "😀 é \\ '"),
    ("U&'!0041?' UESCAPE '!'", "A?"),
    ("'?'", "?"),
    ("'a -- b /* c'", "a -- b /* c"),
    (r"'\'", "\\"),
    ("''", ""),
    ("'1'", "1"),
    ("NULL", None),
    ("true", "true"),
    ("-12", "-12"),
    ("1.50", "1.50"),
    ("1e3", "1000.0"),
    ("DATE '2026-05-01'", "2026-05-01"),
    ("TIMESTAMP '2026-05-01 10:00:00.123'", "2026-05-01 10:00:00.123"),
    ("X'0aff'", "0a ff"),
]


@pytest.mark.parametrize(("literal", "value"), LITERALS)
def test_a_parameter_is_a_literal(server: AthenaServer, literal: str, value: str | None) -> None:
    assert rows_of(server, "SELECT ? AS value", literal) == [[value]]


@pytest.mark.parametrize(
    "parameter",
    [
        "O'Brien",
        "plain",
        "'a",
        "'a' OR 1=1",
        "'a', 'b'",
        "'a' 'b'",
        "'a' || 'b'",
        "'a' -- b",
        "'a';",
        "(SELECT 1)",
        "(1)",
        "now()",
        '"Id"',
        "1 + 1",
        "?",
        " ",
    ],
)
def test_a_parameter_that_is_not_one_literal_is_refused(server: AthenaServer, parameter: str) -> None:
    code, text = refusal(lambda: start(server, "SELECT ?", parameter))
    assert (code, text) == (
        "InvalidRequestException",
        f"Execution parameter is not a single SQL literal: {parameter}",
    )


def test_a_parameter_has_1_to_1024_characters_and_a_list_of_them_is_not_empty(server: AthenaServer) -> None:
    def literal(length: int) -> str:
        return f"'{'é' * (length - 2)}'"

    assert rows_of(server, "SELECT length(?)", literal(1024)) == [["1022"]]
    for parameter in (literal(1025), ""):
        assert "'executionParameters' failed" in refusal(lambda p=parameter: start(server, "SELECT ?", p))[1]
    assert "'executionParameters' failed" in refusal(lambda: start(server, "SELECT 1", ExecutionParameters=[]))[1]


def test_a_question_mark_in_a_text_or_a_comment_is_no_parameter(server: AthenaServer) -> None:
    sql = "SELECT '?' AS a, ? AS \"b?\" /* ? */, 'it''s ?' AS c -- ?\n, ? AS d"
    assert rows_of(server, sql, "'1'", "'2'") == [["?", "1", "it's ?", "2"]]


def test_parameters_go_to_their_places_in_the_order_of_the_text(server: AthenaServer) -> None:
    sql = (
        "WITH a AS (SELECT ? AS x, ? AS y) SELECT ? AS first, x, y FROM a WHERE ? = 4 AND x IN (?, ?) "
        "GROUP BY x, y HAVING max(?) = 7 ORDER BY x + ? LIMIT 9"
    )
    assert rows_of(server, sql, "1", "2", "3", "4", "5", "1", "7", "8") == [["3", "1", "2"]]


@pytest.mark.parametrize("parameters", [(), ("1",), ("1", "2", "3")])
def test_each_question_mark_needs_its_parameter(server: AthenaServer, parameters: tuple[str, ...]) -> None:
    expected = (
        f"INVALID_PARAMETER_USAGE: line 1:1: Incorrect number of parameters: expected 2 but found {len(parameters)}"
    )
    assert reason(server, "SELECT ?, ?, '?'", *parameters) == expected


# Results ---------------------------------------------------------------------------------------------------------


def test_a_page_has_at_most_1000_rows_and_the_first_begins_with_the_header(server: AthenaServer) -> None:
    query_id = start(server, "SELECT n FROM numbers ORDER BY n")
    ended(server, query_id)
    found = pages(server, query_id)
    assert [len(page) for page in found] == [1000, 1000, 501]
    assert [row for page in found for row in page] == [["n"], *([str(i)] for i in range(2500))]
    small = pages(server, query_id, PaginationConfig={"PageSize": 7, "MaxItems": 21})
    assert [row for page in small for row in page] == [["n"], *([str(i)] for i in range(20))]
    assert [len(page) for page in small] == [7, 7, 7]


def test_a_page_of_more_than_1000_rows_is_refused(server: AthenaServer) -> None:
    query_id = start(server, "SELECT 1")
    ended(server, query_id)
    code, text = refusal(lambda: server.client().get_query_results(QueryExecutionId=query_id, MaxResults=1001))
    assert (code, text) == ("InvalidRequestException", "MaxResults is more than maximum allowed length 1000.")


def test_a_token_belongs_to_its_query(server: AthenaServer) -> None:
    first, second = (start(server, "SELECT n FROM numbers") for _ in range(2))
    for query_id in (first, second):
        ended(server, query_id)
    client = server.client()
    token = client.get_query_results(QueryExecutionId=first)["NextToken"]
    for query_id, given in ((second, token), (first, "bm9uc2Vuc2U=")):
        code, _ = refusal(lambda q=query_id, t=given: client.get_query_results(QueryExecutionId=q, NextToken=t))
        assert code == "InvalidRequestException"


def test_a_result_without_rows_still_has_its_header(server: AthenaServer) -> None:
    query_id = start(server, "SELECT n FROM numbers WHERE n < 0")
    ended(server, query_id)
    assert pages(server, query_id) == [[["n"]]]


def test_null_is_not_the_empty_text(server: AthenaServer) -> None:
    query_id = start(server, "SELECT NULL AS a, '' AS b, 'NULL' AS c")
    ended(server, query_id)
    [_, row] = server.client().get_query_results(QueryExecutionId=query_id)["ResultSet"]["Rows"]
    assert row["Data"] == [{}, {"VarCharValue": ""}, {"VarCharValue": "NULL"}]


VALUES = [
    ("'a'", "varchar", 2_147_483_647, "a"),
    ("true", "boolean", 0, "true"),
    ("CAST(7 AS integer)", "integer", 10, "7"),
    ("CAST(7 AS bigint)", "bigint", 19, "7"),
    ("sum(7)", "bigint", 19, "7"),
    ("CAST(1.5 AS decimal(10, 2))", "decimal", 10, "1.50"),
    ("CAST(0.1 AS double)", "double", 17, "0.1"),
    ("CAST(12345678 AS double)", "double", 17, "1.2345678E7"),
    ("CAST(0.00025 AS double)", "double", 17, "2.5E-4"),
    ("X'00ff'", "varbinary", 1_073_741_824, "00 ff"),
    ("DATE '2026-05-01'", "date", 0, "2026-05-01"),
    ("TIMESTAMP '2026-05-01 10:00:00'", "timestamp", 3, "2026-05-01 10:00:00.000"),
    ("ARRAY[1, NULL]", "array", 0, "[1, null]"),
]


@pytest.mark.parametrize(("sql", "kind", "precision", "text"), VALUES)
def test_values_are_written_as_athena_writes_them(
    server: AthenaServer, sql: str, kind: str, precision: int, text: str
) -> None:
    query_id = start(server, f"SELECT {sql} AS value")
    ended(server, query_id)
    result = server.client().get_query_results(QueryExecutionId=query_id)["ResultSet"]
    [info] = result["ResultSetMetadata"]["ColumnInfo"]
    assert (info["Name"], info["Type"], info["Precision"]) == ("value", kind, precision)
    assert result["Rows"][1] == {"Data": [{"VarCharValue": text}]}


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT * FROM auditlog WHERE source = 'shop'", ["id", "source", "dt"]),
        ('SELECT Id, "Id", id AS "My Id", count(*) FROM auditlog WHERE source = \'shop\' GROUP BY 1', None),
    ],
)
def test_columns_have_the_names_that_were_written(server: AthenaServer, sql: str, names: list[str] | None) -> None:
    query_id = start(server, sql)
    ended(server, query_id)
    assert pages(server, query_id)[0][0] == (names or ["Id", "Id", "My Id", "_col3"])


# Throttling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["ThrottlingException", "TooManyRequestsException"])
@pytest.mark.parametrize("operation", ["StartQueryExecution", "GetQueryExecution"])
def test_a_throttled_call_succeeds_when_it_is_repeated(server: AthenaServer, code: str, operation: str) -> None:
    server.throttle(operation, 1, code)
    client = server.client(retries={"mode": "standard", "max_attempts": 3})
    query_id = client.start_query_execution(QueryString="SELECT 1")["QueryExecutionId"]
    client.get_query_execution(QueryExecutionId=query_id)
    assert [(c.operation, c.error) for c in server.calls if c.operation == operation] == [
        (operation, code),
        (operation, None),
    ]


def test_a_call_throttled_too_often_fails_and_is_not_started(server: AthenaServer) -> None:
    server.throttle("StartQueryExecution", 2)
    for _ in range(2):
        assert refusal(lambda: start(server, "SELECT 1"))[0] == "ThrottlingException"
    ended(server, start(server, "SELECT 1"))
    assert [call.error for call in server.calls if call.operation == "StartQueryExecution"] == [
        "ThrottlingException",
        "ThrottlingException",
        None,
    ]


# Injected projection and databases -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM auditlog WHERE source = 'shop'",
        "SELECT count(*) FROM audit_logs_db.auditlog WHERE 'shop' = SOURCE AND (Id = 'a' OR dt >= '2026-05-01')",
        "SELECT count(*) FROM AwsDataCatalog.audit_logs_db.auditlog AS t WHERE t.source IN ('shop', 'web')",
        "SELECT count(*) FROM auditlog WHERE source = 'sh' || 'op'",
        "SELECT count(*) FROM auditlog WHERE (source = 'shop' OR source = 'web') AND (Id > 'a' OR source > 'b')",
        "SELECT count(*) FROM (SELECT Id, source AS s FROM auditlog) WHERE s = 'shop'",
        "WITH t AS (SELECT * FROM auditlog) SELECT count(*) FROM t WHERE source = 'shop'",
        "SELECT count(*) FROM (SELECT Id FROM auditlog WHERE source = 'shop' UNION ALL "
        "SELECT Id FROM auditlog WHERE source = 'web')",
    ],
)
def test_the_injected_column_is_given_by_static_equalities(server: AthenaServer, sql: str) -> None:
    assert rows_of(server, sql) == [["3"]]


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "WHERE dt = '2026-05-01'",
        "WHERE source LIKE 'shop%'",
        "WHERE source > 'a'",
        "WHERE source <> 'a'",
        "WHERE source = 'shop' AND source LIKE 's%'",
        "WHERE source = 'shop' OR dt = '2026-05-01'",
        "WHERE source IN (SELECT 'shop')",
        "WHERE source = (SELECT 'shop')",
        "WHERE NOT source = 'web'",
        "WHERE source = Id",
    ],
)
def test_a_query_without_them_fails(server: AthenaServer, condition: str) -> None:
    assert reason(server, f"SELECT count(*) FROM auditlog {condition}") == (
        "CONSTRAINT_VIOLATION: For the injected projected partition column source, the WHERE clause must contain "
        "only static equality conditions, and at least one such condition must be present."
    )


def test_each_place_that_reads_the_table_needs_them(server: AthenaServer) -> None:
    sql = "SELECT count(*) FROM auditlog AS a JOIN auditlog AS b ON a.Id = b.Id"
    assert "CONSTRAINT_VIOLATION" in reason(server, f"{sql} WHERE a.source = 'shop'")
    assert rows_of(server, f"{sql} AND b.source = 'shop' WHERE a.source = 'shop'") == [["3"]]
    both = "SELECT * FROM auditlog WHERE source = 'shop' UNION ALL SELECT * FROM auditlog"
    assert "CONSTRAINT_VIOLATION" in reason(server, both)


def test_a_parameter_can_be_the_static_equality(server: AthenaServer) -> None:
    assert rows_of(server, "SELECT count(*) FROM auditlog WHERE source = ?", "'shop'") == [["3"]]


@pytest.mark.parametrize(
    ("sql", "database", "says"),
    [
        ("SELECT * FROM other.numbers", DATABASE, "SCHEMA_NOT_FOUND"),
        ("SELECT * FROM numbers", "default", "SCHEMA_NOT_FOUND"),
        ("SELECT * FROM nowhere.audit_logs_db.numbers", DATABASE, "CATALOG_NOT_FOUND"),
        ("SELECT * FROM letters", DATABASE, "TABLE_NOT_FOUND"),
    ],
)
def test_tables_are_in_their_database(server: AthenaServer, sql: str, database: str, says: str) -> None:
    query_id = start(server, sql, QueryExecutionContext={"Database": database})
    assert ended(server, query_id)["Status"]["StateChangeReason"].startswith(says)


def test_the_fast_engine_refuses_what_differs_from_athena(server: AthenaServer) -> None:
    assert reason(server, "SELECT ROW(1, 2) < ROW(2, 1)").startswith("NOT_SUPPORTED")


# Unchanged clients over a lake that the pipeline wrote -----------------------------------------------------------

QUERIES = {
    "the table": (
        """SELECT * FROM audit_logs_db.auditlog WHERE dt >= '2026-05-01' AND source IN ({sources})
           ORDER BY "Timestamp" DESC, "Id", source, "EntityIndex" """
    ),
    "the quarantine": 'SELECT * FROM auditlog_quarantine ORDER BY dt, "RawKey", "Offset", "Reason"',
    "counts": 'SELECT dt, "Action", count(*) FROM auditlog WHERE source IN ({sources}) GROUP BY 1, 2 ORDER BY 1, 2',
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake of the examples, run by the pipeline."""
    lake = Lake(tmp_path_factory.mktemp("lake"))
    for path in (path for path in RAW_EXAMPLES.rglob("*") if path.is_file()):
        lake.write(path.relative_to(RAW_EXAMPLES).as_posix(), path.read_bytes())
    for day in (DAY1, DAY2, DAY3):
        lake.run(day)
    return Settings(raw_url=str(lake.raw), lake_url=str(lake.path), start_date=DAY1, workers=1, memory_mb=512)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        running.client.create_bucket(Bucket=BUCKET)
        yield running


@pytest.fixture
def athena(settings: Settings, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[AthenaServer]:
    """Athena over the lake; clients of this process find it and its S3 through the environment."""
    with AthenaServer(DuckDBEngine(lambda: connect(settings)), s3) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture(params=QUERIES)
def question(request: pytest.FixtureRequest, settings: Settings) -> tuple[str, Rows]:
    """A query, and its rows as DuckDB reads them itself."""
    with connect(settings) as connection:
        found = connection.execute("SELECT DISTINCT source FROM auditlog").fetchall()
        quoted = ("'" + source.replace("'", "''") + "'" for (source,) in found)
        sql = QUERIES[request.param].format(sources=", ".join(quoted))
        rows = connection.execute(sql.replace("audit_logs_db.", "")).fetchall()
    assert rows
    return sql, rows


def as_text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.hex(" ")
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")
    return None if value is None else str(value)


@pytest.mark.slow
def test_boto3_reads_the_rows_of_the_lake(athena: AthenaServer, question: tuple[str, Rows]) -> None:
    sql, rows = question
    assert rows_of(athena, sql) == [[as_text(value) for value in row] for row in rows]


@pytest.mark.slow
def test_the_csv_in_s3_has_every_value_in_quotes_and_nothing_for_null(athena: AthenaServer, s3: S3Server) -> None:
    query_id = start(athena, "SELECT 'a \"b\",\nc' AS x, '' AS y, NULL AS \"z\", 1 AS n")
    location = ended(athena, query_id)["ResultConfiguration"]["OutputLocation"]
    assert location == f"s3://{BUCKET}/primary/{query_id}.csv"
    body = s3.client.get_object(Bucket=BUCKET, Key=f"primary/{query_id}.csv")["Body"].read()
    assert body.decode() == '"x","y","z","n"\n"a ""b"",\nc","",,"1"\n'


@pytest.mark.slow
def test_a_bucket_that_is_not_there_is_refused_at_once(athena: AthenaServer) -> None:
    given = {"ResultConfiguration": {"OutputLocation": "s3://no-such-bucket/x/"}}
    code, text = refusal(lambda: start(athena, "SELECT 1", **given))
    assert (code, text) == (
        "InvalidRequestException",
        "Unable to verify/create output bucket no-such-bucket",
    )


@pytest.mark.slow
@pytest.mark.parametrize("cursor", [Cursor, PandasCursor])
def test_pyathena_reads_the_rows_of_the_lake(
    athena: AthenaServer, question: tuple[str, Rows], cursor: type[Any]
) -> None:
    sql, rows = question
    with (
        pyathena_connect(work_group="primary", schema_name=DATABASE, cursor_class=cursor, poll_interval=0.05) as opened,
        opened.cursor() as cursor_of_query,
    ):
        found = [tuple(map(plain, row)) for row in cursor_of_query.execute(sql).fetchall()]
    # pandas makes NULL of empty texts, whatever the CSV says
    expected = (
        [tuple(None if value == "" else value for value in row) for row in rows] if cursor is PandasCursor else rows
    )
    assert found == expected


def plain(value: Any) -> Any:
    """A value without what pandas makes of it: NaN for NULL, and times of its own."""
    if value is None or str(value) in ("nan", "<NA>", "NaT"):
        return None
    return value.to_pydatetime() if hasattr(value, "to_pydatetime") else value


@pytest.mark.slow
def test_pyathena_quotes_what_it_puts_into_the_query(athena: AthenaServer) -> None:
    with pyathena_connect(work_group="primary", schema_name=DATABASE, poll_interval=0.05) as opened:
        rows = opened.cursor().execute("SELECT %(name)s AS name", {"name": "O'Brien ? \\ \n"}).fetchall()
        assert rows == [("O'Brien ? \\ \n",)]
        rows = opened.cursor().execute("SELECT ?, ?", ["'O''Brien'", "1"], paramstyle="qmark").fetchall()
        assert rows == [("O'Brien", 1)]
    assert athena.calls[-1].operation == "GetQueryResults"
    starts = [call.request for call in athena.calls if call.operation == "StartQueryExecution"]
    assert starts[1]["ExecutionParameters"] == ["'O''Brien'", "1"]


@pytest.fixture(scope="module")
def awswrangler() -> str:
    """The Python of a venv with awswrangler, whose pyarrow is older than ours."""
    given = os.environ.get("AWSWRANGLER_PYTHON")
    program = Path(given) if given else REPOSITORY / ".venv-awswrangler" / "bin" / "python"
    if not program.exists():
        missing = f"awswrangler is not installed: {program} is missing ('make awswrangler' brings it in)"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return str(program)


@pytest.mark.slow
def test_awswrangler_reads_the_rows_of_the_lake(
    awswrangler: str, athena: AthenaServer, question: tuple[str, Rows]
) -> None:
    sql, rows = question
    found = read_with(awswrangler, sql)
    expected = [[as_text(value) for value in row] for row in rows]
    # it makes NULL of empty texts, and one character of each end of line
    assert [[as_text(value) for value in row] for row in found] == [
        [value.replace("\r\n", "\n").replace("\r", "\n") if value else None for value in row] for row in expected
    ]
    assert "GetWorkGroup" in athena.operations()


@pytest.mark.slow
def test_awswrangler_hands_over_parameters(awswrangler: str, athena: AthenaServer) -> None:
    assert read_with(awswrangler, "SELECT ? AS name, ? AS n", "'O''Brien'", "12") == [["O'Brien", 12]]
    [begun] = [call.request for call in athena.calls if call.operation == "StartQueryExecution"]
    assert begun["ExecutionParameters"] == ["'O''Brien'", "12"]


def read_with(python: str, *arguments: str) -> list[list[Any]]:
    sql, *parameters = arguments
    command = [python, str(SUPPORT / "awswrangler_client.py"), sql, DATABASE, *parameters]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rows: list[list[Any]] = json.loads(done.stdout)["rows"]
    return rows


# The same over Trino ---------------------------------------------------------------------------------------------


@pytest.fixture
def over_trino(trino: TrinoServer) -> Iterator[AthenaServer]:
    with suppress(trino.s3.client.exceptions.BucketAlreadyOwnedByYou, trino.s3.client.exceptions.BucketAlreadyExists):
        trino.s3.client.create_bucket(Bucket=BUCKET)
    with AthenaServer(TrinoEngine(trino.host, trino.port, CATALOG), trino.s3) as running:
        yield running


@pytest.mark.slow
def test_trino_takes_the_same_literals(over_trino: AthenaServer) -> None:
    for literal, value in LITERALS:
        assert rows_of(over_trino, "SELECT ? AS value", literal) == [[value]], literal


@pytest.mark.slow
def test_trino_gives_the_same_types_and_texts(over_trino: AthenaServer) -> None:
    for sql, kind, _, text in VALUES:
        query_id = start(over_trino, f"SELECT {sql} AS value")
        ended(over_trino, query_id)
        result = over_trino.client().get_query_results(QueryExecutionId=query_id)["ResultSet"]
        assert result["ResultSetMetadata"]["ColumnInfo"][0]["Type"] == kind
        assert result["Rows"][1] == {"Data": [{"VarCharValue": text}]}, sql


@pytest.mark.slow
def test_trino_counts_parameters_and_not_question_marks_in_texts(over_trino: AthenaServer) -> None:
    assert rows_of(over_trino, "SELECT '?' AS a, ? AS b -- ?\n", "'O''Brien'") == [["?", "O'Brien"]]
    assert "Incorrect number of parameters: expected 1 but found 2" in reason(over_trino, "SELECT ?", "1", "2")
    assert "Incorrect number of parameters: expected 1 but found 0" in reason(over_trino, "SELECT ?")


@pytest.mark.slow
def test_a_query_of_trino_is_stopped(over_trino: AthenaServer, trino: TrinoServer) -> None:
    query_id = start(over_trino, ENDLESS)
    states = f"SELECT state, error_code FROM system.runtime.queries WHERE query = '{ENDLESS}'"
    while trino.rows(states) != [["RUNNING", None]]:
        assert over_trino.at_work()
        time.sleep(0.05)
    over_trino.client().stop_query_execution(QueryExecutionId=query_id)
    assert over_trino.wait_for(query_id) == "CANCELLED"
    assert trino.rows(states) == [["FAILED", "USER_CANCELED"]]
