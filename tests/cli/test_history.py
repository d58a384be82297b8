"""``history``."""

import re
from pathlib import Path

import pytest

from tests.support import shop
from tests.support.cli_harness import QueryCommands, Row
from tests.support.lake import DAY1, Lake, key, zipped

MAY = ("--from", "2026-05-11", "--to", "2026-05-17")


def ids(rows: list[Row]) -> list[str]:
    return [row["Id"] for row in rows]


def test_history_is_the_entity_and_its_children_in_the_order_of_time_with_what_changed(queries: QueryCommands) -> None:
    rows = queries.json("history", "Order", "500", *MAY)
    assert ids(rows) == ["e1", "e2", "e3", "e4", "e5", "e6"]
    assert [row["IsChild"] for row in rows] == [False, True, True, True, False, True]
    assert rows[4]["Differences"] == [
        {"Path": ["status"], "Before": '"Pending"', "After": '"Paid"'},
        {"Path": ["total"], "Before": "1.10", "After": "1.1"},
        {"Path": ["tag"], "Before": None, "After": '"50% off_all"'},
        {"Path": ["note"], "Before": "null", "After": None},
    ]
    assert rows[3] | {"IsChild": 0, "Differences": 0} == queries.json(
        "query", *MAY, "--action", "Update", "--parent-id", "500"
    )[0] | {"IsChild": 0, "Differences": 0}


def test_history_shows_a_timeline_without_colour_in_a_pipe(queries: QueryCommands) -> None:
    shown = queries.shows("history", "Order", "500", *MAY)
    assert "\x1b" not in shown
    for text in (
        "Order 500 and what belongs to it, 2026-05-11 to 2026-05-17", "└ Create", "OrderItem 1001", "of Order 500",
        "total: 1.10 → 1.1", 'tag: — → "50% off_all"', "note: null → —", 'quantity: "5" → —', "stock-sync (Service)",
    ):  # fmt: skip
        assert text in shown
    times = re.findall(r"2026-05-1\d \d\d:\d\d:\d\d\.\d{3}", shown)
    assert times == sorted(times)
    assert len(times) == 6


def test_differences_have_their_colours_on_a_terminal(queries: QueryCommands) -> None:
    shown = queries.on_a_terminal("history", "Order", "500", *MAY, "--limit", "2")
    red, green, yellow, dim = ("\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[2m")
    assert f'{yellow}status: \x1b[0m{red}"Pending"\x1b[0m → {green}"Paid"\x1b[0m' in shown
    assert f'{green}tag: \x1b[0m{dim}—\x1b[0m → {green}"50% off_all"\x1b[0m' in shown
    assert f"{red}note: \x1b[0m{red}null\x1b[0m → {dim}—\x1b[0m" in shown


def test_history_shows_the_last_changes_and_says_where_there_is_none(queries: QueryCommands) -> None:
    assert ids(queries.json("history", "Order", "500", *MAY, "--limit", "2")) == ["e5", "e6"]
    assert ids(queries.json("history", "Order", "500", *MAY, "--source", shop.STOCK)) == ["e3"]
    assert queries.shows("history", "Order", "501", *MAY).endswith("2026-05-11 to 2026-05-17: no change\n")
    assert ids(queries.json("history", "OrderItem", "500", *MAY)) == []
    shown = queries.shows("history", "Order", "700", "--to", "2026-05-28")
    assert "step: 9 → 10" in shown
    assert "—" in shown.splitlines()[-4]


def test_history_names_what_is_wrong(queries: QueryCommands) -> None:
    assert "ENTITY_ID must have" in queries.refuses("history", "Order", "")
    assert "ENTITY_TYPE must have" in queries.refuses("history", "", "500")
    assert "--source " in queries.refuses("history", "Order", "500", "--source", "../x")
    assert "AUDIT_QUERY_MAX_DAYS" in queries.refuses(
        "history", "Order", "500", "--from", "2026-05-01", "--to", "2026-05-31"
    )
    queries.env["AUDIT_QUERY_MAX_DAYS"] = "31"
    assert len(queries.json("history", "Order", "500", "--from", "2026-05-01", "--to", "2026-05-31")) == 7


def test_long_values_are_shortened_unless_requested_otherwise(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    after = {"text": "x" * 300 + "END"} | {f"f{n}": n for n in range(9)} | {"a b.c": {"inner": 1}}
    lake.write(
        key(DAY1), zipped(shop.change("e1", f"{DAY1}T10:00:00Z", ("Order", "1"), "Update", {"a b.c": {}}, after))
    )
    lake.run(DAY1)
    queries = QueryCommands(lake.path)
    for command in (["history", "Order", "1"], ["query"]):
        short, full = (queries.shows(*command, "--from", str(DAY1), *more) for more in ([], ["--full"]))
        assert "END" not in short
        assert "END" in re.sub(r"[\s│]", "", full)
        assert '"a b.c".inner: — → 1' in full
    assert "… and 6 more" in queries.shows("query", "--from", str(DAY1))
    assert "f8: — → 8" in queries.shows("history", "Order", "1", "--from", str(DAY1))


@pytest.mark.parametrize(
    "command", [("history", "Order", "700", "--to", "2026-05-28"), ("query", "--to", "2026-05-28")]
)
def test_a_terminal_too_narrow_for_the_table_gets_a_block_a_change_with_all_of_it(
    queries: QueryCommands, command: tuple[str, ...]
) -> None:
    queries.env["COLUMNS"] = "40"
    lines = queries.shows(*command).splitlines()
    assert "-[ 1 ]-" in lines[1]
    fields = [line.split(" | ")[0].strip() for line in lines[2 : lines.index(next(x for x in lines if "-[ 2 ]" in x))]]
    assert [field for field in fields if field] == ["when (UTC)", "who", "where", "what", "before → after"]
    assert any("step: 9 → 10" in line for line in lines)
