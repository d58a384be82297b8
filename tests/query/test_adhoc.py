"""Ad-hoc SQL: the same results from DuckDB as from Trino, which Athena is built on, and a lake in S3."""

import datetime as dt
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from audit_pipeline.errors import QueryError
from audit_pipeline.query import InvalidQueryError
from audit_pipeline.query.adhoc import _locked_connection, read_only, run_sql
from audit_pipeline.query.translate import _FUNCTIONS, to_duckdb
from audit_pipeline.settings import QuerySettings
from tests.servers.aws_clients import ACCESS_KEY, SECRET_KEY
from tests.servers.s3 import S3Server, s3_server
from tests.servers.trino import TrinoServer
from tests.support import shop
from tests.support.example_queries import CHANGES_OF_AN_ORDER
from tests.support.lake import DAY1, Lake
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
    s3.upload("audit", "analytics", {**local.files("auditlog_parquet"), **local.files("auditlog_quarantine")})
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
