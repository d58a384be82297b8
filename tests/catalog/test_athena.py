"""The client of Athena against the stand-in for its API: results, limits, failures and cancelling."""

import _thread
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from audit_pipeline.catalog import athena as athena_module
from audit_pipeline.catalog.athena import Athena, athena_of, price_of
from audit_pipeline.errors import QueryCancelledError, QueryError, SettingsError
from audit_pipeline.settings import QuerySettings
from tests.servers.athena import DATABASE, AthenaServer, Column, DuckDBEngine, Engine, QueryResult, WorkGroup
from tests.support.waiting import HANGS_SECONDS, wait_until

pytestmark = pytest.mark.slow

SQL = "SELECT * FROM numbers WHERE n < ? AND t <> ? ORDER BY n"
ROWS = 2500


class Fixed(Engine):
    """Gives the same answer to every query."""

    def __init__(self, columns: Sequence[Column], *rows: Sequence[str | None], scanned: int = 0) -> None:
        self.result = QueryResult(columns, rows, scanned)

    def run(self, *_: object) -> QueryResult:
        return self.result


@pytest.fixture(scope="module")
def numbers() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(
            f"""CREATE TABLE numbers AS FROM range({ROWS}) AS r(i)
            SELECT i::INTEGER AS n, CASE i % 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 't' || i END AS t"""
        )
        yield connection


@pytest.fixture
def server(numbers: duckdb.DuckDBPyConnection) -> Iterator[AthenaServer]:
    with AthenaServer(DuckDBEngine(numbers.cursor, injected={})) as running:
        yield running


def client_of(server: AthenaServer, **changed: Any) -> Athena:
    """Without boto3's own retries, so that ours are seen."""
    given = {"database": DATABASE, "workgroup": "primary", "output_url": None} | changed
    return Athena(client=server.client(retries={"total_max_attempts": 1}), **given)


def answered(engine: Engine) -> pa.Table:
    with AthenaServer(engine) as server:
        return client_of(server).run("SELECT 1").table


def starts_of(server: AthenaServer) -> list[dict[str, Any]]:
    return [call.request for call in server.calls if call.operation == "StartQueryExecution"]


def only_query_of(server: AthenaServer) -> str:
    return next(iter(server._executions))


def when_polled(server: AthenaServer, act: Callable[[], object]) -> None:
    """Act once the client has polled its query."""

    def wait() -> None:
        wait_until(lambda: "GetQueryExecution" in server.operations(), "a poll")
        act()

    threading.Thread(target=wait, daemon=True).start()


# -- results


def test_all_rows_of_all_pages_come_in_order_and_null_is_not_an_empty_text(server: AthenaServer) -> None:
    table = client_of(server).run("SELECT n, t FROM numbers ORDER BY n").table
    texts = [None if i % 3 == 0 else "" if i % 3 == 1 else f"t{i}" for i in range(ROWS)]
    assert table.to_pydict() == {"n": list(range(ROWS)), "t": texts}
    assert server.operations().count("GetQueryResults") == 3


@pytest.mark.parametrize("rows", [0, 1, 999, 1000, 1001])
def test_the_header_is_not_a_row_wherever_a_page_ends(server: AthenaServer, rows: int) -> None:
    table = client_of(server).run(f"SELECT n FROM numbers WHERE n < {rows} ORDER BY n").table
    assert table.column("n").to_pylist() == list(range(rows))
    assert table.schema == pa.schema([("n", pa.int32())])


def test_a_statement_that_shows_no_header_keeps_its_first_row() -> None:
    with AthenaServer(Fixed([Column("tab_name", "string")], ["auditlog"], ["auditlog_quarantine"])) as server:
        result = client_of(server).run("SHOW TABLES")
    assert result.table.column(0).to_pylist() == ["auditlog", "auditlog_quarantine"]
    assert result.stats.cost_usd == 0


def test_every_type_of_athena_becomes_arrow() -> None:
    cases: list[tuple[str, str, pa.DataType, Any]] = [
        ("varchar", 'x,\n"é"\'', pa.string(), 'x,\n"é"\''),
        ("char", "x ", pa.string(), "x "),
        ("timestamp", "2026-05-01 10:00:00.123", pa.timestamp("ms"), datetime(2026, 5, 1, 10, 0, 0, 123000)),
        ("timestamp", "1969-12-31 23:59:59.999", pa.timestamp("ms"), datetime(1969, 12, 31, 23, 59, 59, 999000)),
        ("date", "2026-05-01", pa.date32(), date(2026, 5, 1)),
        ("integer", "-2147483648", pa.int32(), -(2**31)),
        ("tinyint", "-128", pa.int32(), -128),
        ("smallint", "32767", pa.int32(), 32767),
        ("bigint", "9223372036854775807", pa.int64(), 2**63 - 1),
        ("double", "1.0E22", pa.float64(), 1e22),
        ("double", "Infinity", pa.float64(), float("inf")),
        ("float", "0.1", pa.float64(), 0.1),
        ("boolean", "true", pa.bool_(), True),
        ("varbinary", "7b 00 ff", pa.binary(), b"{\x00\xff"),
        ("varbinary", "", pa.binary(), b""),
        ("timestamp with time zone", "2026-05-01 10:00:00.123 UTC", pa.string(), "2026-05-01 10:00:00.123 UTC"),
        ("array", "[a, b]", pa.string(), "[a, b]"),
        ("row", "{x=1}", pa.string(), "{x=1}"),
    ]
    columns = [Column(f"c{i}", kind, 3 if kind.startswith("timestamp") else 0) for i, (kind, *_) in enumerate(cases)]
    columns.append(Column("money", "decimal", 38, 2))
    table = answered(
        Fixed(columns, [*(text for _, text, *_ in cases), "-12345678901234567890.10"], [None] * len(columns))
    )
    assert table.schema.types == [*(kind for *_, kind, _ in cases), pa.decimal128(38, 2)]
    assert list(table.to_pylist()[0].values()) == [*(value for *_, value in cases), Decimal("-12345678901234567890.10")]
    assert set(table.to_pylist()[1].values()) == {None}


def test_columns_may_share_a_name() -> None:
    table = answered(Fixed([Column("x", "integer"), Column("x", "varchar")], ["1", "a"]))
    assert [column[0].as_py() for column in table.columns] == [1, "a"]


def test_a_value_that_is_not_of_its_type_is_one_clear_error() -> None:
    with pytest.raises(QueryError, match="column x cannot be read as int32"):
        answered(Fixed([Column("x", "integer")], ["one"]))


# -- what is sent


def test_parameters_go_as_literals_apart_from_the_statement(server: AthenaServer) -> None:
    table = client_of(server).run(SQL, [5, "t2"]).table
    assert table.column("n").to_pylist() == [1, 4]
    (request,) = starts_of(server)
    assert request["QueryString"] == SQL
    assert request["ExecutionParameters"] == ["5", "'t2'"]


@pytest.mark.parametrize("text", ["O'Brien", "' OR 1=1 --", "a\nb", "\\' OR TRUE --", "\u202e"])
def test_a_hostile_text_is_only_ever_compared(server: AthenaServer, text: str) -> None:
    assert client_of(server).run("SELECT n FROM numbers WHERE t = ?", [text]).table.num_rows == 0
    assert client_of(server).run("SELECT n FROM numbers WHERE n = 1 AND ? <> t", [text]).table.num_rows == 1


def test_workgroup_database_and_place_of_results_are_sent_as_set(numbers: duckdb.DuckDBPyConnection) -> None:
    groups = {"audit": WorkGroup("s3://group/")}
    with AthenaServer(DuckDBEngine(numbers.cursor, injected={}), work_groups=groups) as server:
        client_of(server, workgroup="audit", output_url="s3://mine/results").run("SELECT n FROM numbers")
        client_of(server, workgroup="audit").run("SELECT n FROM numbers")
        first, second = starts_of(server)
    assert first["WorkGroup"] == "audit"
    assert first["QueryExecutionContext"] == {"Database": DATABASE}
    assert first["ResultConfiguration"] == {"OutputLocation": "s3://mine/results"}
    assert "ResultConfiguration" not in second  # the workgroup's place


def test_a_statement_that_athena_would_refuse_for_its_length_is_not_sent(server: AthenaServer) -> None:
    sql = f"SELECT '{'é' * 131_072}'"
    with pytest.raises(QueryError, match="262,144"):
        client_of(server).run(sql)
    assert server.calls == []


# -- cost


def test_a_query_reports_its_id_time_bytes_and_price(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "audit_pipeline.catalog.athena")
    with AthenaServer(Fixed([Column("x", "integer")], ["1"], scanned=3 << 30)) as server:
        server.seconds_running = 0.2
        stats = client_of(server).run("SELECT x FROM t WHERE y = 'jane@example.com' AND z = 4711 -- of jane").stats
        assert stats.query_id == only_query_of(server)
    assert stats.bytes_scanned == 3 << 30
    assert stats.cost_usd == pytest.approx(3 * 5 / 1024)
    assert 0.2 <= stats.seconds < 60
    (line,) = [record.getMessage() for record in caplog.records]
    assert "SELECT x FROM t WHERE y = ? AND z = ?" in line
    assert "3,221,225,472 bytes" in line
    assert str(stats.query_id) in line
    assert not any(secret in line for secret in ("jane", "4711"))


@pytest.mark.parametrize(
    ("scanned", "megabytes"), [(0, 10), (1, 10), (10 << 20, 10), ((10 << 20) + 1, 11), (1 << 40, 1 << 20)]
)
def test_the_price_is_five_dollars_a_terabyte_and_ten_megabytes_at_least(scanned: int, megabytes: int) -> None:
    assert price_of(scanned) == pytest.approx(5 * megabytes / (1 << 20))


# -- throttling and failures


@pytest.mark.parametrize("code", ["ThrottlingException", "TooManyRequestsException"])
@pytest.mark.parametrize("operation", ["StartQueryExecution", "GetQueryExecution", "GetQueryResults"])
def test_a_throttled_request_is_retried(server: AthenaServer, operation: str, code: str) -> None:
    server.throttle(operation, times=2, code=code)
    assert client_of(server).run(SQL, [2, "x"]).table.num_rows == 1
    assert server.operations().count("StartQueryExecution") == (3 if operation == "StartQueryExecution" else 1)


def test_a_start_that_is_repeated_stays_one_query(server: AthenaServer) -> None:
    server.throttle("StartQueryExecution", times=2)
    client_of(server).run(SQL, [2, "x"])
    tokens = {request["ClientRequestToken"] for request in starts_of(server)}
    assert len(tokens) == 1
    client_of(server).run(SQL, [2, "x"])
    assert len({request["ClientRequestToken"] for request in starts_of(server)}) == 2
    assert len(server._executions) == 2


def test_throttling_without_end_is_one_clear_error(server: AthenaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(athena_module, "_THROTTLED_SECONDS", 0.5)
    server.throttle("StartQueryExecution", times=1000, code="TooManyRequestsException")
    with pytest.raises(QueryError, match="StartQueryExecution: TooManyRequestsException: Rate exceeded"):
        client_of(server).run(SQL, [2, "x"])


def test_a_query_that_fails_reports_athenas_reason_and_its_id(server: AthenaServer) -> None:
    server.fail_next("HIVE_BAD_DATA: Malformed Parquet file.\n  at line 2")
    with pytest.raises(QueryError, match=r"HIVE_BAD_DATA: Malformed Parquet file\. at line 2$") as failure:
        client_of(server).run("SELECT n FROM numbers")
    assert only_query_of(server) in str(failure.value)
    assert not isinstance(failure.value, QueryCancelledError)


def test_a_statement_that_athena_refuses_is_one_line(server: AthenaServer) -> None:
    with pytest.raises(QueryError, match="Athena refused StartQueryExecution: InvalidRequestException: ") as failure:
        client_of(server).run("SELECT FROM WHERE")
    assert "\n" not in str(failure.value)


def test_a_server_that_does_not_answer_is_one_line(server: AthenaServer) -> None:
    client = client_of(server)
    server.__exit__()
    with pytest.raises(QueryError, match="cannot reach Athena: ") as failure:
        client.run("SELECT 1")
    assert "\n" not in str(failure.value)
    server.__enter__()


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ({"AWS_REGION": None, "AWS_DEFAULT_REGION": None}, "region"),
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "credentials"),
        ({"AWS_SECRET_ACCESS_KEY": None}, "Partial credentials"),
        ({"AWS_PROFILE": "nobody"}, "nobody"),
    ],
)
def test_a_missing_region_or_key_is_a_wrong_setting(
    missing: dict[str, str | None], message: str, server: AthenaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        server.environment() | {"AWS_CONFIG_FILE": "/none", "AWS_SHARED_CREDENTIALS_FILE": "/none"} | missing
    ).items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=message) as failure:
        athena_of(QuerySettings(lake_url="s3://bucket/lake", query_backend="athena")).run("SELECT 1")
    assert "\n" not in str(failure.value)


def test_the_region_of_the_store_is_athenas_too(server: AthenaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (server.environment() | {"AWS_CONFIG_FILE": "/none"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    result = athena_of(QuerySettings(lake_url="s3://bucket/lake")).run("SELECT count(*) FROM numbers")
    assert result.table.to_pylist() == [{"_col0": ROWS}]


# -- cancelling


def test_a_query_whose_caller_cancels_is_stopped_in_athena(server: AthenaServer) -> None:
    server.hold()
    cancelled = threading.Event()
    when_polled(server, cancelled.set)
    with pytest.raises(QueryCancelledError, match="by its caller"):
        client_of(server).run("SELECT n FROM numbers", cancelled=cancelled)
    assert server.wait_for(only_query_of(server)) == "CANCELLED"


def test_a_query_that_is_cancelled_before_it_starts_is_never_sent(server: AthenaServer) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(QueryCancelledError):
        client_of(server).run("SELECT n FROM numbers", cancelled=cancelled)
    assert server.calls == []


def test_cancelling_does_not_wait_for_throttling_to_end(server: AthenaServer) -> None:
    server.throttle("StartQueryExecution", times=1000)
    cancelled = threading.Event()
    threading.Timer(1, cancelled.set).start()
    began = time.monotonic()
    with pytest.raises(QueryCancelledError):
        client_of(server).run("SELECT n FROM numbers", cancelled=cancelled)
    assert time.monotonic() - began < 20  # it would be 300 seconds


def test_an_interrupt_stops_the_query_in_athena_and_goes_on(server: AthenaServer) -> None:
    server.hold()
    when_polled(server, _thread.interrupt_main)
    with pytest.raises(KeyboardInterrupt):
        client_of(server).run("SELECT n FROM numbers")
    assert server.wait_for(only_query_of(server)) == "CANCELLED"


def test_an_interrupt_goes_on_though_the_query_cannot_be_stopped(
    server: AthenaServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.hold()
    server.refuse("StopQueryExecution", 1, "AccessDeniedException")
    when_polled(server, _thread.interrupt_main)
    with pytest.raises(KeyboardInterrupt):
        client_of(server).run("SELECT n FROM numbers")
    assert f"Athena query {only_query_of(server)} may still be running: " in caplog.text


def test_a_query_that_somebody_stops_in_athena_is_reported_as_cancelled(server: AthenaServer) -> None:
    server.hold()
    stopper = server.client()
    when_polled(server, lambda: stopper.stop_query_execution(QueryExecutionId=only_query_of(server)))
    with pytest.raises(QueryCancelledError, match="was cancelled in Athena: Query cancelled by user"):
        client_of(server).run("SELECT n FROM numbers")


def test_a_long_query_is_polled_less_and_less_often(server: AthenaServer) -> None:
    server.seconds_running = 3
    client_of(server).run("SELECT count(*) FROM numbers")
    assert 4 <= server.operations().count("GetQueryExecution") <= 12


def test_one_client_serves_several_threads(server: AthenaServer) -> None:
    client = client_of(server)
    found: dict[int, Any] = {}

    def query(number: int) -> None:
        found[number] = client.run("SELECT n FROM numbers WHERE n = ?", [number]).table.to_pylist()

    threads = [threading.Thread(target=query, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANGS_SECONDS)
    assert found == {number: [{"n": number}] for number in range(8)}
