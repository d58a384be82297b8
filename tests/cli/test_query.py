"""``query``: its options, pages and files."""

import csv
import io
import json
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from audit_pipeline.cli.filters import OPTIONS
from audit_pipeline.query import AuditLogQuery
from tests.support import shop
from tests.support.cli_harness import QueryCommands, Row
from tests.support.lake import Lake, key, zipped
from tests.support.waiting import HANGS_SECONDS

MAY = ("--from", "2026-05-11", "--to", "2026-05-17")


def ids(rows: list[Row]) -> list[str]:
    return [row["Id"] for row in rows]


def test_a_table_shows_when_who_what_and_what_changed(queries: QueryCommands) -> None:
    shown = queries.shows("query", *MAY, "--entity-type", "OrderItem", "--action", "Update")
    for text in (
        "2026-05-14 12:31:01.250", "jane@example.com (User)", "Update", "OrderItem 1001", "OrderItem #1001",
        "of Order 500", 'quantity: "2" → "5"', 'status: "Pending" → "Processing"', "myapp.orderservice",
    ):  # fmt: skip
        assert text in shown
    assert "\x1b" not in shown


def test_json_has_every_column_and_the_exact_before_and_after(queries: QueryCommands) -> None:
    (row,) = queries.json("query", *MAY, "--entity-id", "500", "--action", "Create")
    assert row == {
        "Id": "e1", "Timestamp": "2026-05-12T09:00:00.000Z", "ActorName": "jane@example.com", "ActorType": "User",
        "EntityId": "500", "EntityName": "Order #500", "EntityType": "Order", "EntityParentId": None,
        "EntityParentName": None, "EntityParentType": None, "ChannelCode": None, "ChannelAccountCode": None,
        "Action": "Create", "Before": None, "After": '{"status":"Pending","total":1.10,"note":null}',
        "CorrelationId": None, "EntityIndex": 0, "EventType": None, "Account": None, "Region": None, "Context": None,
        "Extra": None, "dt": "2026-05-12", "source": "myapp.orderservice",
    }  # fmt: skip


def test_full_shows_what_else_was_delivered(queries: QueryCommands) -> None:
    of_e4 = ["query", *MAY, "--event-type", "orderitemupdated.v1"]
    everything = (
        "event type: orderitemupdated.v1", "account: 111122223333", "region: eu-west-1",
        "correlation id: 40f12582-b3be-4aeb-a7ca-9d9247030e20", 'context: { "ip":"203.0.113.9" }',
        'extra: {"detail":{"trace":"4bf9"}}',
    )  # fmt: skip
    full, short = queries.shows(*of_e4, "--full"), queries.shows(*of_e4)
    for text in everything:
        assert text in full
        assert text not in short


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
        (["--event-type", "orderitemupdated.v1", "--event-type", "other.v1"], ["e4"]),
        (["--account", "111122223333"], ["e4"]),
        (["--account", "1"], []),
        (["--text", "50% off_all"], ["e5"]),
        (["--text", "50%off"], []),
        (["--limit", "2", "--order", "asc"], ["e1", "e2"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_each_option_narrows_the_rows(queries: QueryCommands, options: list[str], found: list[str]) -> None:
    assert ids(queries.json("query", *MAY, *options)) == found


def test_every_field_of_a_query_has_an_option(queries: QueryCommands) -> None:
    assert list(OPTIONS) == list(AuditLogQuery.__dataclass_fields__)
    # by the names alone: how help is laid out depends on the terminal
    shown = re.sub(r"\x1b\[[\d;]*m", "", queries.shows("query", "--help"))
    for option in OPTIONS.values():
        assert f"{option} " in shown


def pages(queries: QueryCommands, *arguments: str, which: str) -> Iterator[list[Row]]:
    """The pages in one direction, by the options that each prints to stderr."""
    more: list[str] = []
    while True:
        result = queries("query", *arguments, "--format", "json", *more)
        assert result.exit_code == 0, result.output
        yield [json.loads(line) for line in result.stdout.splitlines()]
        printed = re.search(rf"^{which}: (.*)$", result.stderr, re.MULTILINE)
        if printed is None:
            return
        more = printed[1].split()


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_by_the_cursor_on_stderr_are_all_rows_there_and_back(queries: QueryCommands, order: str) -> None:
    request = (*MAY, "--order", order)
    everything = queries.json("query", *request, "--limit", "1000")
    assert len(everything) == 6 + shop.BUSY

    there = list(pages(queries, *request, "--limit", "7", which="next"))
    assert list(chain.from_iterable(there)) == everything
    assert [len(page) for page in there] == [7] * 6 + [4]

    last = queries("query", *request, "--limit", "7", "--format", "json")
    for _ in there[1:]:
        (cursor,) = re.findall(r"^next: .*--cursor (\S+)$", last.stderr, re.MULTILINE)
        last = queries("query", *request, "--limit", "7", "--format", "json", "--cursor", cursor)
    assert "next: " not in last.stderr
    (back,) = re.findall(r"^previous: (.*)$", last.stderr, re.MULTILINE)
    before = list(pages(queries, *request, "--limit", "7", *back.split(), which="previous"))
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
    result = QueryCommands(lake.path)("query", "--limit", "1")
    assert f"next: --from {today - timedelta(days=6)} --to {today} --cursor " in result.stderr


def test_what_a_page_took_is_reported_on_stderr_and_stdout_holds_just_rows(queries: QueryCommands) -> None:
    result = queries("query", *MAY, "--limit", "3", "--format", "json")
    assert len(result.stdout.splitlines()) == 3
    assert re.search(r"^3 rows in \d+\.\d\d s$", result.stderr, re.MULTILINE)


def test_a_page_without_rows_says_so(queries: QueryCommands) -> None:
    result = queries("query", *MAY, "--actor", "nobody")
    assert (result.exit_code, result.stdout) == (0, "no row of 2026-05-11 to 2026-05-17 matches\n")
    assert queries.shows("query", *MAY, "--actor", "nobody", "--format", "json") == ""


def test_to_is_the_last_day_and_included(queries: QueryCommands) -> None:
    assert ids(queries.json("query", "--from", "2026-05-12", "--to", "2026-05-12", "--order", "asc")) == [
        "e1",
        "e2",
        "e3",
    ]
    assert len(queries.json("query", "--from", "2026-05-12", "--to", "2026-05-14")) == 6 + shop.BUSY


def test_one_end_of_the_range_gives_the_other(queries: QueryCommands) -> None:
    assert len(queries.json("query", "--from", "2026-05-12")) == 6 + shop.BUSY
    assert ids(queries.json("query", "--to", "2026-05-18", "--entity-id", "500")) == ["e5", "e1"]
    assert ids(queries.json("query", "--to", "2026-05-19", "--entity-id", "500")) == ["e5"]
    assert queries.json("query", "--from", "2999-01-01") == []
    queries.env["AUDIT_QUERY_MAX_DAYS"] = "2"
    assert len(queries.json("query", "--from", "2026-05-12")) == 3


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--from", "2026-05-02", "--to", "2026-05-01"], "--from 2026-05-02 is after --to 2026-05-01"),
        (["--from", "2026-05-01", "--to", "2026-05-08"], "are 8 days, and one query may span 7 (AUDIT_QUERY_MAX_DAYS)"),
        (["--from", "May"], "is not a date"),
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
def test_a_wrong_option_is_named_with_code_2(queries: QueryCommands, options: list[str], says: str) -> None:
    assert says in queries.refuses("query", *(["--to", "2026-05-17"] if options[0] != "--from" else []), *options)


def test_a_cursor_of_other_filters_is_refused(queries: QueryCommands) -> None:
    printed = queries("query", *MAY, "--limit", "1", "--format", "json").stderr
    (cursor,) = re.findall(r"--cursor (\S+)", printed)
    assert "--cursor belongs to a query with other filters" in queries.refuses(
        "query", *MAY, "--cursor", cursor, "--action", "Create"
    )


def test_csv_distinguishes_null_from_an_empty_text(queries: QueryCommands) -> None:
    shown = queries.shows("query", "--from", "2026-05-28", "--to", "2026-05-28", "--limit", "1", "--format", "csv")
    heading, row = shown.splitlines()
    names = next(csv.reader([heading]))
    values = dict(zip(names, row.split(","), strict=True))
    assert (values["ChannelCode"], values["Before"], values["EntityName"]) == ('""', "", '"Order #700"')
    assert values["Timestamp"] == '"2026-05-28 11:00:00.000"'


@pytest.mark.parametrize("name", ["json", "csv", "parquet"])
def test_a_page_and_all_rows_go_to_a_file_alike(queries: QueryCommands, tmp_path: Path, name: str) -> None:
    request = ("query", *MAY, "--format", name)
    assert queries.shows(*request, "--limit", "1000", "--output", "page") == ""
    result = queries(*request, "--all", "--output", "all")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"{6 + shop.BUSY} rows in all\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["all", "page"]
    read = {"json": _of_json_lines, "csv": _of_csv, "parquet": _of_parquet}[name]
    rows = read(Path("page"))
    assert rows == read(Path("all"))
    assert ids(rows) == ids(queries.json("query", *MAY, "--limit", "1000"))


def _of_json_lines(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _of_csv(path: Path) -> list[Row]:
    rows: list[Row] = pyarrow.csv.read_csv(path).to_pylist()
    return rows


def _of_parquet(path: Path) -> list[Row]:
    rows: list[Row] = pq.read_table(path).to_pylist()
    return rows


def test_parquet_goes_to_a_pipe_but_not_to_a_terminal(queries: QueryCommands) -> None:
    command, env = queries.command("query", *MAY, "--limit", "2", "--format", "parquet")
    piped = subprocess.run(command, env=env, capture_output=True, check=True, timeout=HANGS_SECONDS)
    assert pq.read_table(io.BytesIO(piped.stdout)).num_rows == 2
    assert "--output" in queries.on_a_terminal("query", *MAY, "--format", "parquet", code=2)


def test_a_file_that_cannot_be_written_is_one_line_and_leaves_nothing(queries: QueryCommands, tmp_path: Path) -> None:
    for more in (["--all"], []):
        result = queries("query", *MAY, "--format", "csv", "--output", "no/such/folder", *more)
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1].startswith("error: cannot write no/such/folder: ")
    assert list(tmp_path.iterdir()) == []


def test_no_date_of_the_shop_is_in_the_future() -> None:
    assert max(shop.DAYS) < date.today()
