"""Tables on terminals of any width."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from audit_pipeline.cli.tables import FittingTable

WORDS = "a text of several words that may wrap"


def shown(table: FittingTable, width: int) -> list[str]:
    stream = io.StringIO()
    table.print(Console(file=stream, width=width, color_system=None))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def status() -> FittingTable:
    made = FittingTable("day", "events", "checks", title="what there is", right=1)
    made.add_row("2026-05-01", Text("5,124"), WORDS)
    made.add_row("2026-05-02", Text("12"), "fine")
    return made


def test_numbers_are_right_aligned_and_texts_wrap_where_room_is_short() -> None:
    assert shown(status(), 80) == [
        "what there is",
        "",
        " day         events  checks",
        " " + "─" * 57,
        " 2026-05-01   5,124  a text of several words that may wrap",
        " 2026-05-02      12  fine",
        "",
    ]
    narrow = shown(status(), 42)
    assert [line[21:] for line in narrow if line.startswith((" 2026-05-01", "     "))] == [
        "a text of several",
        "words that may wrap",
    ]


def test_below_that_each_row_is_a_block() -> None:
    assert shown(status(), 38) == [
        "what there is",
        "-[ 1 ]--------------------------------",
        "day    | 2026-05-01",
        "events | 5,124",
        f"checks | {WORDS}",
        "-[ 2 ]-------------",
        "day    | 2026-05-02",
        "events | 12",
        "checks | fine",
    ]


@pytest.mark.parametrize("width", range(1, 120, 7))
def test_no_width_loses_a_value(width: int) -> None:
    text = "".join(shown(status(), width)).replace(" ", "")
    for value in ("2026-05-01", "2026-05-02", "5,124", "12", WORDS, "fine"):
        assert value.replace(" ", "") in text


def test_wide_characters_take_two_columns_in_a_table_and_in_a_block() -> None:
    made = FittingTable("名前", "x", wrap=False)
    made.add_row("李小龍", "Köln")
    made.add_row("a", "")
    table = shown(made, 16)
    assert [cell_len(line[: line.index(word)]) for line, word in zip(table[1:4:2], ("x", "Köln"), strict=True)] == [
        9,
        9,
    ]
    assert shown(made, 11) == ["-[ 1 ]-----", "名前 | 李小龍", "x    | Köln", "-[ 2 ]--", "名前 | a", "x    |"]


def test_a_value_of_several_lines_has_them_below_each_other_in_a_block() -> None:
    made = FittingTable("what", "before → after", lines=True)
    made.add_row("one\ntwo", "status: 1 → 2", fields=[("what", Text("one\ntwo")), ("changed", Text("status"))])
    assert shown(made, 10) == ["-[ 1 ]----", "what    | one", "        | two", "changed | status"]


def test_nothing_in_a_heading_or_a_title_is_markup_or_drives_the_terminal() -> None:
    made = FittingTable("[red]a[/red]\x1b[2J", title="[bold]b\x07")
    made.add_row("c")
    for width in (80, 5):
        text = "\n".join(shown(made, width))
        assert "[red]a[/red]\\x1b[2J" in text
        assert "[bold]b\\x07" in text
