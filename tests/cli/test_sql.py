"""``sql``: its results, and how they are shown."""

import re
import signal
import subprocess
import time

import pytest

from audit_pipeline.catalog.results import QueryStats
from audit_pipeline.cli.results import print_stats
from tests.support.cli_harness import QueryCommands, Row
from tests.support.example_queries import CHANGES_OF_AN_ORDER, UPDATES_BY_A_USER
from tests.support.waiting import HANGS_SECONDS

MAY = ("--from", "2026-05-11", "--to", "2026-05-17")


def ids(rows: list[Row]) -> list[str]:
    return [row["Id"] for row in rows]


def test_the_posts_two_queries_run_as_printed(queries: QueryCommands) -> None:
    assert ids(queries.json("sql", UPDATES_BY_A_USER)) == ["w10", "w9", "w8"]
    assert ids(queries.json("sql", CHANGES_OF_AN_ORDER)) == ["e6", "e5", "e4", "e3", "e2", "e1"]
    assert "--nonsense" in queries.refuses("sql", "SELECT 1", "--nonsense")


def test_sql_rows_are_those_of_query(queries: QueryCommands) -> None:
    ordered = "ORDER BY Timestamp DESC, Id DESC"
    sql = f"SELECT * FROM auditlog WHERE dt BETWEEN '2026-05-11' AND '2026-05-17' {ordered}"
    assert queries.json("sql", sql) == queries.json("query", *MAY)


def at_width(queries: QueryCommands, columns: int, sql: str, *options: str) -> str:
    queries.env["COLUMNS"] = str(columns)
    return queries.shows("sql", sql, *options)


BOTH_STATES = "SELECT Before, After FROM auditlog WHERE EntityId = '500' ORDER BY Timestamp"


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_table_that_is_too_wide_is_a_block_a_row_with_every_value(queries: QueryCommands, columns: int) -> None:
    rows = queries.json("sql", BOTH_STATES)
    assert len(rows) == 2
    shown = at_width(queries, columns, BOTH_STATES)
    for row in rows:
        for value in row.values():
            assert ("NULL" if value is None else value) in shown
    if columns < 200:
        block = ["Before | NULL", f"After  | {rows[0]['After']}"]
        assert shown.splitlines()[:3] == ["-[ 1 ]".ljust(min(columns, max(map(len, block))), "-"), *block]
    else:
        assert shown.split()[:2] == ["Before", "After"]


@pytest.mark.parametrize(("columns", "is_table"), [(23, True), (22, False)])
def test_a_table_is_shown_as_soon_as_all_of_it_fits(queries: QueryCommands, columns: int, is_table: bool) -> None:
    shown = at_width(queries, columns, "SELECT 'ten chars!' AS a, 'ten chars.' AS b")
    assert ("-[ 1 ]" not in shown) == is_table
    assert "ten chars!" in shown
    assert "ten chars." in shown


def test_a_terminal_of_any_width_shows_every_column(queries: QueryCommands) -> None:
    for columns in (40, 80, 200):
        shown = re.sub(r"\x1b\[[\d;]*m", "", queries.on_a_terminal("sql", BOTH_STATES, columns=columns))
        assert "Before" in shown
        assert "After" in shown
        assert '{"status":"Pending","total":1.10,"note":null}' in shown


def test_a_pipe_has_160_columns_unless_requested_otherwise(queries: QueryCommands) -> None:
    def shown(width: int) -> str:
        return queries.shows("sql", f"SELECT rpad('x', {width}, 'x') AS a, 1 AS b")

    assert "-[ 1 ]" not in shown(155)
    assert "-[ 1 ]" in shown(159)


def test_no_value_is_shortened_and_null_is_not_an_empty_text(queries: QueryCommands) -> None:
    sql = "SELECT rpad('x', 5000, 'y') AS long, CAST(NULL AS varchar) AS absent, '' AS empty"
    long = "x".ljust(5000, "y")
    assert at_width(queries, 80, sql).splitlines()[1:] == [f"long   | {long}", "absent | NULL", "empty  | "]


@pytest.mark.parametrize("columns", [20, 80])
def test_control_characters_are_escapes_in_a_table_and_in_a_block(queries: QueryCommands, columns: int) -> None:
    shown = at_width(queries, columns, "SELECT 'clear' || chr(27) || '[2J' || chr(10) || 'line' AS a, 'b' AS b")
    assert "clear\\x1b[2J\\nline" in shown


def test_columns_of_one_name_are_all_shown(queries: QueryCommands) -> None:
    heading, _, row = (
        line.split() for line in at_width(queries, 80, "SELECT 1 AS a, 2 AS a").splitlines() if line.strip()
    )
    assert (heading, row) == (["a", "a_2"], ["1", "2"])


def test_a_result_without_rows_has_its_headings_or_says_so(queries: QueryCommands) -> None:
    sql = "SELECT * FROM auditlog WHERE dt = '1999-01-01'"
    assert at_width(queries, 300, sql).split()[:2] == ["Id", "Timestamp"]
    assert at_width(queries, 80, sql) == "(no rows)\n"


def test_a_person_sees_a_thousand_rows_unless_they_want_all(queries: QueryCommands) -> None:
    sql = "SELECT x FROM UNNEST(sequence(1, 1005)) AS u(x) ORDER BY x"
    short, full = at_width(queries, 80, sql), at_width(queries, 80, sql, "--full")
    assert "1001" not in short
    assert short.endswith("… and 5 more rows: --full shows all\n")
    assert full.split()[-1] == "1005"


def test_bytes_cost_and_the_id_of_the_query_are_printed_where_the_engine_reports_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_stats(2000, QueryStats(1.5, bytes_scanned=10_485_760, cost_usd=0.00005, query_id="q-1"))
    print_stats(1, QueryStats(0.25))
    assert capsys.readouterr().err.splitlines() == [
        "2,000 rows in 1.50 s, 10.49 MB scanned, $0.000050, query q-1",
        "1 row in 0.25 s",
    ]


def test_sql_prints_what_it_took_on_stderr(queries: QueryCommands) -> None:
    result = queries("sql", "SELECT 1 AS x", "--format", "json")
    assert result.stdout == '{"x": 1}\n'
    assert re.fullmatch(r"1 row in \d+\.\d\d s\n", result.stderr)


def test_csv_of_sql_distinguishes_null_from_an_empty_text_and_writes_what_csv_has_no_type_for(
    queries: QueryCommands,
) -> None:
    sql = "SELECT NULL AS a, '' AS b, array[1, 2] AS c, 1.10 AS d, to_utf8('x') AS e, 'say \"hi\", ok' AS f"
    assert queries.shows("sql", sql, "--format", "csv").splitlines() == [
        '"a","b","c","d","e","f"',
        ',"","[1, 2]","1.10","x","say ""hi"", ok"',
    ]


def test_a_refused_statement_is_one_line_with_code_2(queries: QueryCommands) -> None:
    result = queries("sql", "DROP TABLE\nx")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: sql must be a query, which begins with SELECT or WITH, not with 'DROP'\n"
    result = queries("sql", "SELECT nope FROM auditlog")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith('error: DuckDB could not run the query: Binder Error: Referenced column "nope"')


ENDLESS = """
SELECT count(*)
FROM UNNEST(sequence(1, 100000)) AS a(x), UNNEST(sequence(1, 100000)) AS b(x), UNNEST(sequence(1, 9)) AS c(x)
WHERE a.x * b.x * c.x = 7 AND EXISTS (SELECT 1 FROM auditlog)
"""


SAY_WHEN_A_QUERY_BEGINS = """
from audit_pipeline.cli import main
from audit_pipeline.query import adhoc

run = adhoc._run_in_duckdb

def say_and_run(*arguments):
    print("begins", flush=True)
    return run(*arguments)

adhoc._run_in_duckdb = say_and_run
main()
"""


def test_ctrl_c_stops_a_query(queries: QueryCommands) -> None:
    (python, *_), env = queries.command()
    command = [python, "-c", SAY_WHEN_A_QUERY_BEGINS, "sql", ENDLESS]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    time.sleep(0.5)  # it is in DuckDB by then, or on its way there
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=HANGS_SECONDS)
    assert (process.returncode, out, errors) == (130, "", "interrupted\n")


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("1/2", 0),
        ("-7/2", -3),
        ("(SELECT max(EntityIndex + 1) / 2 FROM auditlog)", 0),
        ("CAST(1 AS double)/2", 0.5),
        ("date '2026-05-31' + interval '1' day", "2026-06-01"),
        ("CAST(date_add('day', -7, date '2026-05-08') AS varchar)", "2026-05-01"),
        ("date_diff('day', timestamp '2026-05-01 23:00:00', timestamp '2026-05-02 01:00:00')", 0),
        ("json_extract_scalar('{\"a\":1.10}', '$.a')", "1.10"),
        ("json_extract_scalar('{\"a\":{}}', '$.a')", None),
        ("json_extract_scalar('no JSON', '$.a')", None),
        ("regexp_extract('abc', 'z')", None),
        ("max(NULL)", None),
        ("timestamp '2026-05-01 10:00:00.500'", "2026-05-01T10:00:00.500Z"),
        ("10000000000000000000000000", 10000000000000000000000000),
        ("1.10", "1.10"),
        ("map(array['a'], array[1])", {"a": 1}),
        ("array['x', NULL]", ["x", None]),
    ],
)
def test_sql_means_what_it_means_in_athena(queries: QueryCommands, sql: str, value: object) -> None:
    assert queries.json("sql", f"SELECT {sql} AS x") == [{"x": value}]


def test_the_row_is_seen_as_it_was_delivered_by_sql_too(queries: QueryCommands) -> None:
    (row,) = queries.json(
        "sql",
        "SELECT json_extract_scalar(Before, '$.total') AS before, json_extract_scalar(After, '$.total') AS after,"
        " CAST(Timestamp AS varchar) AS at FROM auditlog WHERE Id = 'e5'",
    )
    assert row == {"before": "1.10", "after": "1.1", "at": "2026-05-14 12:31:02.000"}


@pytest.mark.parametrize(
    "sql",
    [
        "WITH a AS (SELECT 1 AS x), b AS (SELECT x FROM a) SELECT x FROM b",
        "WITH auditlog AS (SELECT 1 AS x) SELECT x FROM auditlog",
        "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r WHERE x < 1) SELECT x FROM r",
        "SELECT x FROM (WITH a AS (SELECT 1 AS x) SELECT * FROM a)",
        "(SELECT 1 AS x) UNION (SELECT 1)",
        "SELECT * FROM (VALUES 1) AS v(x)",
        "SELECT x FROM UNNEST(array[1]) AS u(x)",
        "/* first */ SELECT 1 AS x -- and last\n;;",
        "\n\tselect count(DISTINCT dt) - 3 as X from AwsDataCatalog.AUDIT_LOGS_DB.AuditLog",
        'SELECT 1 AS x FROM "audit_logs_db"."auditlog" OFFSET 3 LIMIT 1',
        "SELECT 1 AS x WHERE NOT EXISTS (SELECT * FROM auditlog_quarantine)",
    ],
)
def test_queries_of_many_forms_are_answered(queries: QueryCommands, sql: str) -> None:
    (row,) = queries.json("sql", sql)
    assert [*row.values()] == [1]
