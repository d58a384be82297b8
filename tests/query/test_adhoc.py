"""Ad-hoc SQL: the same results from DuckDB as from Trino, which Athena is built on, and what is refused."""

import datetime as dt
import re
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from audit_pipeline.errors import QueryCancelledError, QueryError
from audit_pipeline.query import InvalidQueryError
from audit_pipeline.query.adhoc import _locked_connection, read_only, run_sql
from audit_pipeline.query.translate import _FUNCTIONS, to_duckdb
from audit_pipeline.settings import QuerySettings
from tests.servers.aws_clients import ACCESS_KEY, SECRET_KEY
from tests.servers.s3 import S3Server, s3_server
from tests.servers.trino import TrinoServer
from tests.support import shop
from tests.support.example_queries import CHANGES_OF_AN_ORDER
from tests.support.lake import DAY1, Lake, key, zipped
from tests.support.paths import DATA

ROWS = r"""(VALUES
    (1, 'Alpha', timestamp '2026-05-01 23:00:00.123', CAST(NULL AS varchar),
     '{"q":1.10,"e":1e2,"n":null,"o":{"a":"x"},"l":[1,"two"],"s":"te\u00e9\"t","b":true,"big":12345678901234567890123}'),
    (2, 'beta', timestamp '2026-05-03 01:00:12.456', '', '{}')
) AS t(i, s, ts, n, j)"""

#: One per line: expressions to be selected from the rows above, which stand for the table ``t``, and whole queries.
SAME = (DATA / "same_in_trino.sql").read_text(encoding="utf-8").splitlines()

#: The differences that docs/ask/sql.md lists: the result in Trino, and that in DuckDB.
DIFFERENT = [
    ("2 / 3.0", Decimal("0.7"), 0.6666666666666666),
    ("CAST(CAST(1 AS double) AS varchar)", "1.0E0", "1.0"),
    ("CAST(CAST(2.5 AS double) AS integer)", 3, 2),
    ("i = '1'", None, True),
    ("1 / 0", None, None),
]


def whole(sql: str) -> str:
    query = sql if sql.startswith(("SELECT", "WITH", "VALUES")) else f"SELECT {sql} FROM t ORDER BY i"
    return re.sub(r"\bFROM t\b", lambda _: f"FROM {ROWS}", query)


def plain(value: Any) -> Any:
    """Values that Python's drivers give in types of their own."""
    if isinstance(value, dt.datetime) and value.tzinfo:
        return value.astimezone(dt.UTC).replace(tzinfo=None)
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return bytes(value) if isinstance(value, bytearray | memoryview) else value


@pytest.fixture(scope="module")
def in_duckdb(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[InDuckDB]":
    settings = QuerySettings(lake_url=str(tmp_path_factory.mktemp("lake")), workers=1)
    with _locked_connection(settings) as connection:
        yield InDuckDB(settings, connection)


class InDuckDB:
    def __init__(self, settings: QuerySettings, connection: duckdb.DuckDBPyConnection) -> None:
        self._settings = settings
        self._connection = connection

    def rows(self, sql: str) -> list[list[Any]]:
        statement = to_duckdb(read_only(sql)[1], self._settings)
        return [list(row) for row in self._connection.execute(statement).fetchall()]


@pytest.mark.parametrize("sql", SAME, ids=lambda sql: sql[:60])
def test_duckdb_gives_the_results_of_trino(trino: TrinoServer, in_duckdb: InDuckDB, sql: str) -> None:
    assert plain(in_duckdb.rows(whole(sql))) == plain(trino.rows(whole(sql)))


def test_every_function_that_is_let_through_is_compared() -> None:
    used = {type(node) for sql in SAME for node in read_only(whole(sql))[1].walk()}
    assert {kind.__name__ for kind in _FUNCTIONS - used} == set()


@pytest.mark.parametrize(("sql", "in_trino", "here"), DIFFERENT)
def test_the_differences_that_remain_are_those_that_are_documented(
    trino: TrinoServer, in_duckdb: InDuckDB, sql: str, in_trino: Any, here: Any
) -> None:
    assert in_duckdb.rows(whole(sql))[0] == [here]
    if in_trino is None:
        with pytest.raises(Exception, match=r"Cannot apply operator|Division by zero"):
            trino.rows(whole(sql))
    else:
        assert trino.rows(whole(sql))[0] == [in_trino]


def test_trino_gets_the_query_too(trino: TrinoServer, tmp_path: Path) -> None:
    settings = QuerySettings(lake_url=str(tmp_path), query_backend="trino", trino_url=trino.url)
    result = run_sql(settings, "-- a comment\nSELECT 1 AS x, ROW(1, 2) < ROW(1, 3) AS y;")
    assert result.table.to_pylist() == [{"x": 1, "y": True}]
    with pytest.raises(QueryError):
        run_sql(settings, "SELECT * FROM audit_logs_db.nothing_of_this_name")


# S3


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        server.client.create_bucket(Bucket="audit")
        yield server


def test_a_lake_in_s3_is_read_and_nothing_else_there(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    local = shop.filled(Lake(tmp_path))
    s3.upload("audit", "analytics", local.files("."))
    s3.upload("audit", "elsewhere", {"secret.csv": b"a,b\nsecret,1\n"})
    settings = QuerySettings(lake_url="s3://audit/analytics", workers=1)
    assert run_sql(settings, CHANGES_OF_AN_ORDER).table["Id"].to_pylist() == ["e6", "e5", "e4", "e3", "e2", "e1"]
    assert run_sql(settings, "SELECT count(*) AS n FROM auditlog_quarantine").table.to_pylist() == [{"n": 0}]
    for sql in ("SELECT current_setting('s3_secret_access_key')", "SELECT * FROM 's3://audit/elsewhere/secret.csv'"):
        with pytest.raises(InvalidQueryError):
            run_sql(settings, sql)
    with _locked_connection(settings) as connection:
        for file in ("s3://audit/elsewhere/secret.csv", f"{s3.endpoint}/audit/elsewhere/secret.csv", "/etc/passwd"):
            with pytest.raises(duckdb.PermissionException):
                connection.execute(f"SELECT * FROM read_text('{file}')")


def test_an_error_shows_no_key(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    settings = QuerySettings(lake_url="s3://audit/analytics", workers=1)
    with pytest.raises(QueryError) as refused:
        run_sql(settings, "SELECT nope FROM auditlog")
    assert ACCESS_KEY not in str(refused.value).split()
    assert SECRET_KEY not in str(refused.value)
    assert str(DAY1) not in str(refused.value)


# what is refused, and what a query can reach


@pytest.fixture(scope="module")
def shop_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return shop.filled(Lake(tmp_path_factory.mktemp("shop")))


@pytest.fixture
def settings(shop_lake: Lake) -> QuerySettings:
    return QuerySettings(lake_url=str(shop_lake.path), workers=1)


WRITES = [
    "INSERT INTO audit_logs_db.auditlog VALUES (1)",
    "UPDATE audit_logs_db.auditlog SET Action = 'x'",
    "DELETE FROM audit_logs_db.auditlog",
    "MERGE INTO audit_logs_db.auditlog USING x ON true WHEN MATCHED THEN DELETE",
    "TRUNCATE TABLE audit_logs_db.auditlog",
    "CREATE TABLE x AS SELECT 1",
    "CREATE VIEW x AS SELECT 1",
    "DROP TABLE audit_logs_db.auditlog",
    "/* SELECT */ DROP TABLE audit_logs_db.auditlog",
    "/* /* */ DROP TABLE audit_logs_db.auditlog -- */ SELECT 1",
    "ALTER TABLE audit_logs_db.auditlog ADD COLUMN x int",
    "MSCK REPAIR TABLE audit_logs_db.auditlog",
    "COPY (SELECT 1) TO 'x.csv'",
    "UNLOAD (SELECT 1) TO 's3://x' WITH (format = 'PARQUET')",
    "SELECT * INTO x FROM audit_logs_db.auditlog",
    "WITH x AS (DELETE FROM auditlog RETURNING *) SELECT * FROM x",
    "WITH x AS (INSERT INTO y VALUES (1)) SELECT 1",
    "SELECT 1; DROP TABLE audit_logs_db.auditlog",
    "SELECT 1; SELECT 2",
    "ATTACH 'x.db'",
    "DETACH x",
    "USE x",
    "SET threads = 1",
    "RESET threads",
    "PRAGMA database_list",
    "INSTALL httpfs",
    "LOAD httpfs",
    "EXPORT DATABASE 'x'",
    "IMPORT DATABASE 'x'",
    "BEGIN",
    "CHECKPOINT",
    "VACUUM",
    "CALL system.runtime.kill_query('x')",
    "PREPARE x FROM SELECT 1",
    "EXECUTE x",
    "GRANT SELECT ON x TO y",
    "EXPLAIN ANALYZE SELECT 1",
    "SHOW TABLES",
    "DESCRIBE audit_logs_db.auditlog",
    "FROM audit_logs_db.auditlog",
    "USING EXTERNAL FUNCTION f(x VARCHAR) RETURNS VARCHAR LAMBDA 'l' SELECT f('x')",
    "",
    "-- nothing",
    ";",
    "SELECT 'open",
    "SELECT /* open",
    f"SELECT {'(' * 5000}1{')' * 5000}",
    f"SELECT '{'x' * 262_144}'",
]


@pytest.mark.parametrize("sql", WRITES, ids=lambda sql: sql[:40])
@pytest.mark.parametrize("backend", ["duckdb", "athena", "trino"])
def test_what_is_not_one_query_is_refused_before_any_engine_sees_it(
    settings: QuerySettings, backend: str, sql: str
) -> None:
    # neither Athena nor Trino can be reached here
    with pytest.raises(InvalidQueryError, match=r"^sql "):
        run_sql(settings.model_copy(update={"query_backend": backend}), sql)


ELSEWHERE = [
    "SELECT * FROM read_parquet('{file}')",
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM read_csv_auto('{file}')",
    "SELECT * FROM read_json('{file}')",
    "SELECT * FROM read_text('{file}')",
    "SELECT * FROM read_blob('{file}')",
    "SELECT * FROM parquet_metadata('{file}')",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM sniff_csv('{file}')",
    "SELECT * FROM '{file}'",
    'SELECT * FROM "{file}"',
    'WITH "{file}" AS (SELECT * FROM "{file}") SELECT * FROM "{file}"',
    'WITH a AS (SELECT * FROM "{file}"), "{file}" AS (SELECT 1) SELECT * FROM a',
    'SELECT * FROM (WITH "{file}" AS (SELECT 1) SELECT * FROM "{file}"), "{file}"',
    'WITH RECURSIVE a AS (SELECT * FROM "{file}"), "{file}" AS (SELECT 1) SELECT * FROM a',
    "SELECT * FROM auditlog, LATERAL read_text('{file}')",
    "SELECT * FROM auditlog CROSS JOIN read_text('{file}') AS t",
    "SELECT (SELECT content FROM read_text('{file}'))",
    "SELECT 1 WHERE EXISTS (SELECT * FROM read_text('{file}'))",
    "SELECT 1 ORDER BY (SELECT content FROM read_text('{file}'))",
    "SELECT 1 UNION SELECT content FROM read_text('{file}')",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table(['auditlog'])",
    "SELECT * FROM TABLE(system.query(query => 'x'))",
    "SELECT * FROM sqlite_scan('{file}', 'x')",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM pragma_database_list()",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_catalog.pg_tables",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM duckdb_views",
    "SELECT * FROM other_db.auditlog",
    "SELECT * FROM memory.audit_logs_db.auditlog",
    "SELECT * FROM elsewhere.audit_logs_db.auditlog",
    "SELECT * FROM settings",
    "SELECT getenv('HOME')",
    "SELECT current_setting('temp_directory')",
    "SELECT getvariable('x')",
    "SELECT nextval('x')",
    "SELECT write_log('x')",
    "SELECT json_serialize_sql('SELECT 1')",
    "SELECT audit_json_scalar('{{}}', '[]')",
    "SELECT COLUMNS('.*') FROM auditlog",
    "SELECT system.main.getenv('HOME')",
    "SELECT ?",
    "SELECT @@version",
    "SELECT * FROM auditlog FOR UPDATE",
]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret.csv"
    file.write_text("a,b\nsecret,1\n")
    return file


@pytest.mark.parametrize("sql", ELSEWHERE)
def test_a_query_can_reach_nothing_but_the_tables(settings: QuerySettings, secret: Path, sql: str) -> None:
    with pytest.raises(InvalidQueryError, match=r"^sql (reads|uses|cannot be parsed)"):
        run_sql(settings, sql.format(file=secret, folder=secret.parent))


@pytest.mark.parametrize(
    "sql",
    [
        "ROW(1, 2) < ROW(1, 3)",
        "format('%s', 1)",
        "json_value('{}', 'lax $.a')",
        "CAST(json_extract('{}', '$.a') AS varchar)",
        "json_extract_scalar('{}', '$..a')",
        "json_extract_scalar('{}', lower('$.a'))",
        "json_extract_scalar('[1]', '$[-1]')",
        "json_extract_scalar('{\"a\":1}', '$.*')",
        "split_part('a', ',', 2)",
        "substr('abc', -5)",
        "regexp_replace('abc', '(b)', '<$1>')",
        "current_timestamp AT TIME ZONE 'Europe/Berlin'",
        "extract(dow FROM current_timestamp)",
        "millisecond(current_timestamp)",
        "date '2026-05-02' - date '2026-05-01'",
        "max_by(1, 2, 3)",
        "typeof(1)",
        "nothing_of_this_name(1)",
    ],
)
def test_what_duckdb_would_answer_otherwise_than_athena_is_refused(settings: QuerySettings, sql: str) -> None:
    with pytest.raises(InvalidQueryError, match="DuckDB"):
        run_sql(settings, f"SELECT {sql}")


@pytest.mark.parametrize("sql", ["SELECT 1 LIMIT 10 OFFSET 5", "SELECT 1 LIMIT ALL OFFSET 5", "SELECT 1 LIMIT 5, 10"])
def test_limit_before_offset_is_refused_as_athena_does(settings: QuerySettings, sql: str) -> None:
    with pytest.raises(InvalidQueryError, match="OFFSET before LIMIT"):
        run_sql(settings, sql)


@pytest.mark.parametrize("sql", ["SELECT $$text$$", "SELECT $1", "SELECT 1 AS x, $$, 2, $$"])
def test_a_name_stays_a_name(settings: QuerySettings, sql: str) -> None:
    with pytest.raises(QueryError, match="not found"):
        run_sql(settings, sql)


def test_the_connection_itself_reaches_no_file_and_keeps_its_settings(settings: QuerySettings, secret: Path) -> None:
    """The second fence, for the day on which the first has a hole."""
    of_python = pa.table({"a": ["secret"]})
    assert duckdb.sql("SELECT * FROM of_python").fetchall() == [("secret",)]
    assert of_python.num_rows == 1
    with _locked_connection(settings) as connection:
        assert connection.execute("SELECT count(*) FROM audit_logs_db.auditlog").fetchone() == (shop.BUSY + 11,)
        connection.execute("SELECT count(*) FROM audit_logs_db.auditlog_quarantine")
        for statement in (
            f"SELECT * FROM '{secret}'",
            f"SELECT * FROM read_text('{secret}')",
            f"SELECT * FROM read_parquet('{settings.lake_url}/auditlog_parquet/../../{secret.name}')",
            f"SELECT * FROM read_text('{settings.lake_url}/auditlog_manifest/_lake.json')",
            "SELECT * FROM glob('/etc/*')",
            f"COPY (SELECT 1) TO '{secret.parent}/x.csv'",
            f"ATTACH '{secret.parent}/x.db'",
            "INSTALL httpfs",
            "LOAD httpfs",
            "SET enable_external_access = true",
            "SET allowed_directories = ['/']",
            "SET lock_configuration = false",
            "SELECT * FROM of_python",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(statement).fetchall()
    assert [p.name for p in secret.parent.iterdir()] == [secret.name]


@pytest.mark.parametrize("folder", ["plain", "we[i]rd * name?", "it's ünïcode"])
def test_a_lake_under_any_path_is_read(tmp_path: Path, folder: str) -> None:
    lake = Lake(tmp_path / folder)
    lake.write(key(DAY1), zipped(shop.change("e1", f"{DAY1}T10:00:00Z", ("Order", "1"), "Update")))
    lake.run(DAY1)
    settings = QuerySettings(lake_url=str(lake.path), workers=1)
    assert run_sql(settings, "SELECT Id FROM auditlog").table.to_pylist() == [{"Id": "e1"}]


def test_another_database_and_table_have_their_own_names(settings: QuerySettings) -> None:
    named = settings.model_copy(update={"database": "audit", "table": "log"})
    assert run_sql(named, "SELECT count(*) AS n FROM audit.log").table.to_pylist() == [{"n": shop.BUSY + 11}]
    with pytest.raises(InvalidQueryError, match=r"the only tables are audit\.log and audit\.log_quarantine"):
        run_sql(named, "SELECT * FROM audit_logs_db.auditlog")


def test_a_result_that_does_not_fit_is_refused_with_a_word_on_what_to_do(settings: QuerySettings) -> None:
    small = settings.model_copy(update={"memory_mb": 256})
    big = "SELECT a.x, rpad('x', 100000, 'y') AS y FROM UNNEST(sequence(1, 4000)) AS a(x)"
    with pytest.raises(QueryError, match="AUDIT_MEMORY_MB=256"):
        run_sql(small, big)
    assert run_sql(small, f"SELECT count(*) AS n FROM ({big})").table.to_pylist() == [{"n": 4000}]


ENDLESS = """
SELECT count(*)
FROM UNNEST(sequence(1, 100000)) AS a(x), UNNEST(sequence(1, 100000)) AS b(x), UNNEST(sequence(1, 9)) AS c(x)
WHERE a.x * b.x * c.x = 7 AND EXISTS (SELECT 1 FROM auditlog)
"""


def test_a_caller_stops_a_query(settings: QuerySettings) -> None:
    cancelled = threading.Event()
    threading.Timer(1, cancelled.set).start()
    with pytest.raises(QueryCancelledError):
        run_sql(settings, ENDLESS, cancelled=cancelled)


def test_a_caller_stops_a_query_whose_rows_flow(settings: QuerySettings) -> None:
    cancelled = threading.Event()
    threading.Timer(1, cancelled.set).start()
    numbers = "UNNEST(sequence(1, 100000))"
    with pytest.raises(QueryCancelledError):
        run_sql(
            settings,
            f"SELECT a.x FROM {numbers} AS a(x), {numbers} AS b(x) WHERE (a.x * b.x) % 1009 = 1",
            cancelled=cancelled,
        )


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("/* a /* b */ SELECT 1 -- c\n;", "SELECT 1"),
        ("-- x\n WITH a AS (SELECT 1) SELECT * FROM a;;\n", "WITH a AS (SELECT 1) SELECT * FROM a"),
        ("SELECT 'a;b' /* kept */ , 1 ; ", "SELECT 'a;b' /* kept */ , 1"),
        ("(SELECT 1)", "(SELECT 1)"),
    ],
)
def test_athena_and_trino_get_the_query_as_written_from_its_first_word_on(given: str, sent: str) -> None:
    assert read_only(given)[0] == sent
