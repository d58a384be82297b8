"""``query``, ``history`` and ``sql``: what a person sees, what a script reads, and what a hostile word can do."""

import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from audit_pipeline.catalog.results import QueryStats
from audit_pipeline.cli.filters import OPTIONS
from audit_pipeline.cli.results import print_stats
from audit_pipeline.errors import QueryCancelledError, QueryError
from audit_pipeline.query import AuditLogQuery, InvalidQueryError
from audit_pipeline.query.adhoc import _locked_connection, read_only, run_sql
from audit_pipeline.settings import QuerySettings
from tests.support import shop
from tests.support.cli_harness import Commands
from tests.support.example_queries import CHANGES_OF_AN_ORDER, UPDATES_BY_A_USER
from tests.support.lake import DAY1, Lake, key, zipped
from tests.support.waiting import HANGS_SECONDS

#: Escape sequences that clear the screen and set the title, C1's CSI, a right-to-left override, and rich's markup.
HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e[red]x[/red]"
DANGEROUS = set("\x1b\x07\x9b\u202e")
MAY = ("--from", "2026-05-11", "--to", "2026-05-17")

Row = dict[str, Any]


class Cli(Commands):
    def __init__(self, lake: Path, **env: str) -> None:
        super().__init__({"AUDIT_LAKE_URL": str(lake), "AUDIT_WORKERS": "1"} | env)

    def rows(self, *arguments: str) -> list[Row]:
        return [json.loads(line) for line in self.shows(*arguments, "--format", "json").splitlines()]

    def refuses(self, *arguments: str) -> str:
        return " ".join(self.refusal(*arguments).replace("│", " ").split())

    def command(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        given = os.environ | {k: v for k, v in self.env.items() if v} | {"PYTHONPATH": os.pathsep.join(sys.path)}
        return [sys.executable, "-m", "audit_pipeline.cli", *arguments], given

    def on_a_terminal(self, *arguments: str, code: int = 0) -> str:
        """What a terminal of 120 columns gets to see, and then what goes to stderr."""
        command, given = self.command(*arguments)
        master, terminal = pty.openpty()
        env = given | {"COLUMNS": "120", "TERM": "xterm-256color"}
        env.pop("NO_COLOR", None)
        process = subprocess.Popen(command, env=env, stdout=terminal, stderr=subprocess.PIPE)
        os.close(terminal)
        shown = b"".join(iter(lambda: _read(master), b""))
        os.close(master)
        _, errors = process.communicate(timeout=HANGS_SECONDS)
        assert process.returncode == code, errors
        return shown.decode() + errors.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how a terminal ends
        return b""


@pytest.fixture(scope="module")
def shop_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return shop.filled(Lake(tmp_path_factory.mktemp("shop")))


@pytest.fixture
def cli(shop_lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("AUDIT_")]:
        monkeypatch.delenv(name)
    return Cli(shop_lake.path)


@pytest.fixture
def settings(shop_lake: Lake) -> QuerySettings:
    return QuerySettings(lake_url=str(shop_lake.path), workers=1)


def ids(rows: list[Row]) -> list[str]:
    return [row["Id"] for row in rows]


# query


def test_a_table_shows_when_who_what_and_what_changed(cli: Cli) -> None:
    shown = cli.shows("query", *MAY, "--entity-type", "OrderItem", "--action", "Update")
    for text in (
        "2026-05-14 12:31:01.250", "jane@example.com (User)", "Update", "OrderItem 1001", "OrderItem #1001",
        "of Order 500", 'quantity: "2" → "5"', 'status: "Pending" → "Processing"', "myapp.orderservice",
    ):  # fmt: skip
        assert text in shown
    assert "\x1b" not in shown


def test_json_has_every_column_and_the_exact_before_and_after(cli: Cli) -> None:
    (row,) = cli.rows("query", *MAY, "--entity-id", "500", "--action", "Create")
    assert row == {
        "Id": "e1", "Timestamp": "2026-05-12T09:00:00.000Z", "ActorName": "jane@example.com", "ActorType": "User",
        "EntityId": "500", "EntityName": "Order #500", "EntityType": "Order", "EntityParentId": None,
        "EntityParentName": None, "EntityParentType": None, "ChannelCode": None, "ChannelAccountCode": None,
        "Action": "Create", "Before": None, "After": '{"status":"Pending","total":1.10,"note":null}',
        "CorrelationId": None, "EntityIndex": 0, "dt": "2026-05-12", "source": "myapp.orderservice",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--source", shop.STOCK], ["e3"]),
        (["--source", shop.STOCK, "--source", shop.ORDERS, "--channel", "WEB"], ["e2"]),
        (["--entity-id", "500"], ["e5", "e1"]),
        (["--entity-type", "Reservation", "--entity-type", "OrderItem"], ["e6", "e4", "e3", "e2"]),
        (["--entity-id", "500", "--include-children"], ["e6", "e5", "e4", "e3", "e2", "e1"]),
        (["--entity-id", "500", "--entity-type", "Order", "--include-children"], ["e6", "e5", "e4", "e3", "e2", "e1"]),
        (["--action", "Delete", "--action", "Create"], ["e6", "e3", "e2", "e1"]),
        (["--actor", "jane@example.com"], ["e5", "e4", "e2", "e1"]),
        (["--actor-type", "Service", "--parent-id", "500"], ["e6", "e3"]),
        (["--correlation-id", "40f12582-b3be-4aeb-a7ca-9d9247030e20"], ["e4"]),
        (["--parent-id", "500", "--order", "asc"], ["e2", "e3", "e4", "e6"]),
        (["--text", "50% off_all"], ["e5"]),
        (["--text", "50%off"], []),
        (["--limit", "2", "--order", "asc"], ["e1", "e2"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_each_option_narrows_the_rows(cli: Cli, options: list[str], found: list[str]) -> None:
    assert ids(cli.rows("query", *MAY, *options)) == found


def test_every_field_of_a_query_has_an_option(cli: Cli) -> None:
    assert list(OPTIONS) == list(AuditLogQuery.__dataclass_fields__)
    # by the names alone: how help is laid out depends on the terminal
    shown = re.sub(r"\x1b\[[\d;]*m", "", cli.shows("query", "--help"))
    for option in OPTIONS.values():
        assert f"{option} " in shown


def pages(cli: Cli, *arguments: str, which: str) -> Iterator[list[Row]]:
    """The pages in one direction, by the options that each tells on stderr."""
    more: list[str] = []
    while True:
        result = cli("query", *arguments, "--format", "json", *more)
        assert result.exit_code == 0, result.output
        yield [json.loads(line) for line in result.stdout.splitlines()]
        told = re.search(rf"^{which}: (.*)$", result.stderr, re.MULTILINE)
        if told is None:
            return
        more = told[1].split()


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_by_the_cursor_on_stderr_are_all_rows_there_and_back(cli: Cli, order: str) -> None:
    asked = (*MAY, "--order", order)
    everything = cli.rows("query", *asked, "--limit", "1000")
    assert len(everything) == 6 + shop.BUSY

    there = list(pages(cli, *asked, "--limit", "7", which="next"))
    assert list(chain.from_iterable(there)) == everything
    assert [len(page) for page in there] == [7] * 6 + [4]

    last = cli("query", *asked, "--limit", "7", "--format", "json")
    for _ in there[1:]:
        (cursor,) = re.findall(r"^next: .*--cursor (\S+)$", last.stderr, re.MULTILINE)
        last = cli("query", *asked, "--limit", "7", "--format", "json", "--cursor", cursor)
    assert "next: " not in last.stderr
    (back,) = re.findall(r"^previous: (.*)$", last.stderr, re.MULTILINE)
    before = list(pages(cli, *asked, "--limit", "7", *back.split(), which="previous"))
    assert list(chain.from_iterable(reversed(before))) == everything[:-4]


def test_the_cursor_comes_with_the_days_that_it_belongs_to(shop_lake: Lake, tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    today = datetime.now(UTC).date()
    lake.first = today - timedelta(days=3)
    day = today - timedelta(days=1)
    lake.write(
        key(day), zipped("".join(shop.change(f"e{n}", f"{day}T10:00:00Z", ("Order", "1"), "Update") for n in "12"))
    )
    lake.run(day)
    result = Cli(lake.path)("query", "--limit", "1")
    assert f"next: --from {today - timedelta(days=6)} --to {today} --cursor " in result.stderr


def test_what_a_page_took_is_told_on_stderr_and_stdout_holds_just_rows(cli: Cli) -> None:
    result = cli("query", *MAY, "--limit", "3", "--format", "json")
    assert len(result.stdout.splitlines()) == 3
    assert re.search(r"^3 rows in \d+\.\d\d s$", result.stderr, re.MULTILINE)


def test_a_page_without_rows_says_so(cli: Cli) -> None:
    result = cli("query", *MAY, "--actor", "nobody")
    assert (result.exit_code, result.stdout) == (0, "no row of 2026-05-11 to 2026-05-17 meets this\n")
    assert cli.shows("query", *MAY, "--actor", "nobody", "--format", "json") == ""


def test_to_is_the_last_day_and_included(cli: Cli) -> None:
    assert ids(cli.rows("query", "--from", "2026-05-12", "--to", "2026-05-12", "--order", "asc")) == ["e1", "e2", "e3"]
    assert len(cli.rows("query", "--from", "2026-05-12", "--to", "2026-05-14")) == 6 + shop.BUSY


def test_one_end_of_the_range_gives_the_other(cli: Cli) -> None:
    assert len(cli.rows("query", "--from", "2026-05-12")) == 6 + shop.BUSY
    assert ids(cli.rows("query", "--to", "2026-05-18", "--entity-id", "500")) == ["e5", "e1"]
    assert ids(cli.rows("query", "--to", "2026-05-19", "--entity-id", "500")) == ["e5"]
    assert cli.rows("query", "--from", "2999-01-01") == []
    cli.env["AUDIT_QUERY_MAX_DAYS"] = "2"
    assert len(cli.rows("query", "--from", "2026-05-12")) == 3


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--from", "2026-05-02", "--to", "2026-05-01"], "--from 2026-05-02 is after --to 2026-05-01"),
        (["--from", "2026-05-01", "--to", "2026-05-08"], "are 8 days, and one query may span 7 (AUDIT_QUERY_MAX_DAYS)"),
        (["--from", "May"], "is no date"),
        (["--source", "../x"], "--source "),
        (["--source", ""], "--source "),
        (["--entity-id", ""], "--entity-id must have 1 to 256 characters"),
        (["--entity-id", "x" * 257], "--entity-id must have"),
        (["--entity-type", "x\x1b[2J"], "--entity-type contains the control character U+001B"),
        (["--include-children"], "--include-children needs --entity-id"),
        (["--action", ""], "--action must"),
        (["--actor", "x\n"], "--actor contains"),
        (["--actor-type", ""], "--actor-type must"),
        (["--correlation-id", ""], "--correlation-id must"),
        (["--parent-id", ""], "--parent-id must"),
        (["--channel", ""], "--channel must"),
        (["--text", ""], "--text must"),
        (["--limit", "0"], "--limit must be 1 to 1000, not 0"),
        (["--limit", "1001"], "--limit must be 1 to 1000, not 1001"),
        (["--limit", "many"], "--limit"),
        (["--cursor", "nonsense"], "--cursor is damaged"),
        (["--direction", "previous"], "--direction 'previous' needs a cursor"),
        (["--direction", "sideways"], "--direction"),
        (["--order", "random"], "--order"),
        (["--format", "xml"], "--format"),
        (["--all"], "--all needs --format json, csv or parquet, and --output"),
        (["--all", "--format", "csv"], "--all needs"),
        (["--all", "--format", "csv", "--output", "x", "--limit", "3"], "leave out --limit"),
        (["--output", "x"], "--output takes --format json, csv or parquet"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_wrong_option_is_named_with_code_2(cli: Cli, options: list[str], says: str) -> None:
    assert says in cli.refuses("query", *(["--to", "2026-05-17"] if options[0] != "--from" else []), *options)


def test_a_cursor_of_other_filters_is_refused(cli: Cli) -> None:
    told = cli("query", *MAY, "--limit", "1", "--format", "json").stderr
    (cursor,) = re.findall(r"--cursor (\S+)", told)
    assert "--cursor belongs to a query with other filters" in cli.refuses(
        "query", *MAY, "--cursor", cursor, "--action", "Create"
    )


def test_only_the_lake_must_be_set(cli: Cli) -> None:
    cli.env |= {"AUDIT_RAW_URL": None, "AUDIT_START_DATE": None}
    assert cli.rows("query", *MAY, "--limit", "1")
    assert cli.rows("history", "Order", "500", *MAY)
    assert cli.rows("sql", "SELECT 1 AS x") == [{"x": 1}]
    cli.env["AUDIT_LAKE_URL"] = None
    for arguments in (["query"], ["history", "Order", "1"], ["sql", "SELECT 1"]):
        assert "AUDIT_LAKE_URL is not set" in cli.refuses(*arguments)


# files


def test_csv_tells_null_from_an_empty_text(cli: Cli) -> None:
    shown = cli.shows("query", "--from", "2026-05-28", "--to", "2026-05-28", "--limit", "1", "--format", "csv")
    heading, row = shown.splitlines()
    names = next(csv.reader([heading]))
    values = dict(zip(names, row.split(","), strict=True))
    assert (values["ChannelCode"], values["Before"], values["EntityName"]) == ('""', "", '"Order #700"')
    assert values["Timestamp"] == '"2026-05-28 11:00:00.000"'


def test_csv_of_sql_tells_null_from_an_empty_text_and_writes_what_csv_has_no_type_for(cli: Cli) -> None:
    sql = "SELECT NULL AS a, '' AS b, array[1, 2] AS c, 1.10 AS d, to_utf8('x') AS e, 'say \"hi\", ok' AS f"
    assert cli.shows("sql", sql, "--format", "csv").splitlines() == [
        '"a","b","c","d","e","f"',
        ',"","[1, 2]","1.10","x","say ""hi"", ok"',
    ]


@pytest.mark.parametrize("name", ["json", "csv", "parquet"])
def test_a_page_and_all_rows_go_to_a_file_alike(cli: Cli, tmp_path: Path, name: str) -> None:
    asked = ("query", *MAY, "--format", name)
    assert cli.shows(*asked, "--limit", "1000", "--output", "page") == ""
    said = cli.shows(*asked, "--all", "--output", "all")
    assert said == f"{6 + shop.BUSY} rows in all\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["all", "page"]
    read = {"json": _of_json_lines, "csv": _of_csv, "parquet": _of_parquet}[name]
    rows = read(Path("page"))
    assert rows == read(Path("all"))
    assert ids(rows) == ids(cli.rows("query", *MAY, "--limit", "1000"))


def _of_json_lines(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _of_csv(path: Path) -> list[Row]:
    rows: list[Row] = pyarrow.csv.read_csv(path).to_pylist()
    return rows


def _of_parquet(path: Path) -> list[Row]:
    rows: list[Row] = pq.read_table(path).to_pylist()
    return rows


def test_parquet_goes_to_a_pipe_but_not_to_a_terminal(cli: Cli) -> None:
    command, env = cli.command("query", *MAY, "--limit", "2", "--format", "parquet")
    piped = subprocess.run(command, env=env, capture_output=True, check=True, timeout=HANGS_SECONDS)
    assert pq.read_table(io.BytesIO(piped.stdout)).num_rows == 2
    assert "--output" in cli.on_a_terminal("query", *MAY, "--format", "parquet", code=2)


def test_a_file_that_cannot_be_written_is_one_line_and_leaves_nothing(cli: Cli, tmp_path: Path) -> None:
    for more in (["--all"], []):
        result = cli("query", *MAY, "--format", "csv", "--output", "no/such/folder", *more)
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1].startswith("error: cannot write no/such/folder: ")
    assert list(tmp_path.iterdir()) == []


# hostile data


@pytest.fixture(scope="module")
def hostile_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = Lake(tmp_path_factory.mktemp("hostile"))
    texts = {"a": HOSTILE, HOSTILE: "b"}
    lake.write(
        key(DAY1),
        zipped(
            shop.change(
                HOSTILE, f"{DAY1}T10:00:00Z", (HOSTILE, HOSTILE), HOSTILE, None, texts, who=HOSTILE, name=HOSTILE
            )
            + shop.change("child", f"{DAY1}T10:00:00Z", ("x", "y"), "z", texts, json.dumps(HOSTILE), parent="500")
            + shop.change("e1", f"{DAY1}T10:00:00Z", ("Order", "500"), HOSTILE, HOSTILE, json.dumps(texts))
        ),
    )
    assert lake.run(DAY1).rows >= 2
    return lake.path


@pytest.mark.parametrize(
    "arguments",
    [
        ("query", "--from", str(DAY1)),
        ("query", "--from", str(DAY1), "--full"),
        ("query", "--from", str(DAY1), "--format", "json"),
        ("query", "--from", str(DAY1), "--format", "csv"),
        ("history", "Order", "500", "--from", str(DAY1)),
        ("history", "Order", "500", "--from", str(DAY1), "--full"),
        ("history", "Order", "500", "--from", str(DAY1), "--format", "json"),
        ("sql", "SELECT * FROM auditlog"),
        ("sql", "SELECT * FROM auditlog", "--full"),
        ("sql", "SELECT ActorName, After FROM auditlog"),
        ("sql", "SELECT * FROM auditlog", "--format", "csv"),
        ("sql", f'SELECT 1 AS "{HOSTILE}"'),
    ],
    ids=" ".join,
)
def test_data_cannot_drive_the_terminal(hostile_lake: Path, arguments: tuple[str, ...]) -> None:
    shown = Cli(hostile_lake).on_a_terminal(*arguments)
    left = re.sub(r"\x1b\[[\d;]*m", "", shown)  # rich's own colours
    assert not set(left) & DANGEROUS
    assert "owned" in left
    if "--full" in arguments or "--format" in arguments:
        assert "[red]" in left.replace("\r\n", "")


def test_a_message_cannot_drive_the_terminal(cli: Cli) -> None:
    for arguments in (
        ["sql", f'SELECT * FROM "{HOSTILE}"'],
        ["sql", f"{HOSTILE}"],
        ["sql", f'SELECT "{HOSTILE}" FROM auditlog'],
        ["query", "--cursor", HOSTILE],
        ["history", HOSTILE, "1"],
    ):
        result = cli(*arguments)
        assert result.exit_code in (1, 2), arguments
        assert result.stderr
        assert not set(result.output) & DANGEROUS, arguments


# history


def test_history_is_the_entity_and_its_children_in_the_order_of_time_with_what_changed(cli: Cli) -> None:
    rows = cli.rows("history", "Order", "500", *MAY)
    assert ids(rows) == ["e1", "e2", "e3", "e4", "e5", "e6"]
    assert [row["IsChild"] for row in rows] == [False, True, True, True, False, True]
    assert rows[4]["Differences"] == [
        {"Path": ["status"], "Before": '"Pending"', "After": '"Paid"'},
        {"Path": ["total"], "Before": "1.10", "After": "1.1"},
        {"Path": ["tag"], "Before": None, "After": '"50% off_all"'},
        {"Path": ["note"], "Before": "null", "After": None},
    ]
    assert rows[3] | {"IsChild": 0, "Differences": 0} == cli.rows(
        "query", *MAY, "--action", "Update", "--parent-id", "500"
    )[0] | {"IsChild": 0, "Differences": 0}


def test_history_shows_a_timeline_without_colour_in_a_pipe(cli: Cli) -> None:
    shown = cli.shows("history", "Order", "500", *MAY)
    assert "\x1b" not in shown
    for text in (
        "Order 500 and what belongs to it, 2026-05-11 to 2026-05-17", "└ Create", "OrderItem 1001", "of Order 500",
        "total: 1.10 → 1.1", 'tag: — → "50% off_all"', "note: null → —", 'quantity: "5" → —', "stock-sync (Service)",
    ):  # fmt: skip
        assert text in shown
    times = re.findall(r"2026-05-1\d \d\d:\d\d:\d\d\.\d{3}", shown)
    assert times == sorted(times)
    assert len(times) == 6


def test_differences_have_their_colours_on_a_terminal(cli: Cli) -> None:
    shown = cli.on_a_terminal("history", "Order", "500", *MAY, "--limit", "2")
    red, green, yellow, dim = ("\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[2m")
    assert f'{yellow}status: \x1b[0m{red}"Pending"\x1b[0m → {green}"Paid"\x1b[0m' in shown
    assert f'{green}tag: \x1b[0m{dim}—\x1b[0m → {green}"50% off_all"\x1b[0m' in shown
    assert f"{red}note: \x1b[0m{red}null\x1b[0m → {dim}—\x1b[0m" in shown


def test_history_shows_the_last_changes_and_says_where_there_is_none(cli: Cli) -> None:
    assert ids(cli.rows("history", "Order", "500", *MAY, "--limit", "2")) == ["e5", "e6"]
    assert ids(cli.rows("history", "Order", "500", *MAY, "--source", shop.STOCK)) == ["e3"]
    assert cli.shows("history", "Order", "501", *MAY).endswith("2026-05-11 to 2026-05-17: no change\n")
    assert ids(cli.rows("history", "OrderItem", "500", *MAY)) == []
    shown = cli.shows("history", "Order", "700", "--to", "2026-05-28")
    assert "step: 9 → 10" in shown
    assert "—" in shown.splitlines()[-4]


def test_history_names_what_is_wrong(cli: Cli) -> None:
    assert "ENTITY_ID must have" in cli.refuses("history", "Order", "")
    assert "ENTITY_TYPE must have" in cli.refuses("history", "", "500")
    assert "--source " in cli.refuses("history", "Order", "500", "--source", "../x")
    assert "AUDIT_QUERY_MAX_DAYS" in cli.refuses(
        "history", "Order", "500", "--from", "2026-05-01", "--to", "2026-05-31"
    )
    cli.env["AUDIT_QUERY_MAX_DAYS"] = "31"
    assert len(cli.rows("history", "Order", "500", "--from", "2026-05-01", "--to", "2026-05-31")) == 7


def test_long_values_are_shortened_unless_told_otherwise(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    after = {"text": "x" * 300 + "END"} | {f"f{n}": n for n in range(9)} | {"a b.c": {"inner": 1}}
    lake.write(
        key(DAY1), zipped(shop.change("e1", f"{DAY1}T10:00:00Z", ("Order", "1"), "Update", {"a b.c": {}}, after))
    )
    lake.run(DAY1)
    cli = Cli(lake.path)
    for command in (["history", "Order", "1"], ["query"]):
        short, full = (cli.shows(*command, "--from", str(DAY1), *more) for more in ([], ["--full"]))
        assert "END" not in short
        assert "END" in re.sub(r"[\s│]", "", full)
        assert '"a b.c".inner: — → 1' in full
    assert "… and 6 more" in cli.shows("query", "--from", str(DAY1))
    assert "f8: — → 8" in cli.shows("history", "Order", "1", "--from", str(DAY1))


# sql


def test_the_posts_two_queries_run_as_printed(cli: Cli) -> None:
    assert ids(cli.rows("sql", UPDATES_BY_A_USER)) == ["w10", "w9", "w8"]
    assert ids(cli.rows("sql", CHANGES_OF_AN_ORDER)) == ["e6", "e5", "e4", "e3", "e2", "e1"]
    assert "--nonsense" in cli.refuses("sql", "SELECT 1", "--nonsense")


def test_sql_rows_are_those_of_query(cli: Cli) -> None:
    ordered = "ORDER BY Timestamp DESC, Id DESC"
    sql = f"SELECT * FROM auditlog WHERE dt BETWEEN '2026-05-11' AND '2026-05-17' {ordered}"
    assert cli.rows("sql", sql) == cli.rows("query", *MAY)


def test_sql_shows_a_table_where_it_has_room_and_a_record_a_row_elsewhere(cli: Cli) -> None:
    shown = cli.shows(
        "sql", "SELECT dt, source, count(*) AS rows FROM auditlog GROUP BY dt, source ORDER BY dt, source"
    )
    assert next(line.split() for line in shown.splitlines() if "2026" in line) == ["2026-05-06", shop.ORDERS, "1"]
    records = cli.shows("sql", "SELECT * FROM auditlog WHERE EntityId = '500' ORDER BY Timestamp")
    assert "row 1\n" in records
    assert "row 2\n" in records
    assert re.search(r'^After +\{"status":"Pending","total":1\.10,"note":null\}$', records, re.MULTILINE)
    assert re.search(r"^Before +NULL$", records, re.MULTILINE)


def test_bytes_cost_and_the_id_of_the_query_are_told_where_the_engine_tells_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_stats(2000, QueryStats(1.5, bytes_scanned=10_485_760, cost_usd=0.00005, query_id="q-1"))
    print_stats(1, QueryStats(0.25))
    assert capsys.readouterr().err.splitlines() == [
        "2,000 rows in 1.50 s, 10.49 MB scanned, $0.000050, query q-1",
        "1 row in 0.25 s",
    ]


def test_sql_tells_what_it_took_on_stderr(cli: Cli) -> None:
    result = cli("sql", "SELECT 1 AS x", "--format", "json")
    assert result.stdout == '{"x": 1}\n'
    assert re.fullmatch(r"1 row in \d+\.\d\d s\n", result.stderr)


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
def test_sql_means_what_it_means_in_athena(cli: Cli, sql: str, value: object) -> None:
    assert cli.rows("sql", f"SELECT {sql} AS x") == [{"x": value}]


def test_the_row_is_seen_as_it_was_delivered_by_sql_too(cli: Cli) -> None:
    (row,) = cli.rows(
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
def test_queries_of_many_forms_are_answered(cli: Cli, sql: str) -> None:
    (row,) = cli.rows("sql", sql)
    assert [*row.values()] == [1]


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


def test_a_refused_statement_is_one_line_with_code_2(cli: Cli) -> None:
    result = cli("sql", "DROP TABLE\nx")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: sql must be a query, which begins with SELECT or WITH, not with 'DROP'\n"
    result = cli("sql", "SELECT nope FROM auditlog")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith('error: DuckDB could not run the query: Binder Error: Referenced column "nope"')


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


def test_ctrl_c_stops_a_query(cli: Cli) -> None:
    (python, *_), env = cli.command()
    command = [python, "-c", SAY_WHEN_A_QUERY_BEGINS, "sql", ENDLESS]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    time.sleep(0.5)  # it is in DuckDB by then, or on its way there
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=HANGS_SECONDS)
    assert (process.returncode, out, errors) == (130, "", "interrupted\n")


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


def test_no_date_of_the_shop_is_in_the_future() -> None:
    assert max(shop.DAYS) < date.today()
