"""How commands write: tables and progress for a person, JSON Lines for a script.

Data is never trusted here: it comes from events, and an event may hold a terminal's escape sequences or rich's markup.
Whatever stems from data passes :func:`printable` (or :func:`cell`) on its way to a person.
"""

import json
import os
import sys
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

__all__ = ["cell", "count", "print_json", "printable", "progress_bar", "stdout_console", "table"]

#: Columns that a table may take where the output goes to a file or a pipe.
_WIDTH_WITHOUT_TERMINAL: Final = 160
#: Control, format (also those that turn the direction of writing), surrogate, private, unassigned; line separators.
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str) -> str:
    """The text on one line, with every character that could drive a terminal or hide written as its escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if unicodedata.category(c) in _UNPRINTABLE else c for c in text)


def cell(text: str, style: str = "") -> Text:
    """A table's cell of data: nothing in it is read as markup."""
    return Text(printable(text), style=style)


def count(number: int, style_unless_zero: str = "") -> Text:
    return Text(f"{number:,}", style=style_unless_zero if number else "")


def stdout_console() -> Console:
    return _console(to_stderr=False)


def table(*headings: str, title: str, right: int = 0, lines: bool = False) -> Table:
    """A table whose headings from the second on are right-aligned, as many as ``right`` says.

    Where room is short, only what follows those is wrapped. ``lines`` parts the rows.
    """
    made = Table(
        title=Text(printable(title)),
        title_justify="left",
        box=box.ROUNDED if lines else box.SIMPLE_HEAD,
        show_lines=lines,
        collapse_padding=True,
        pad_edge=lines,
    )
    for number, heading in enumerate(headings):
        numeric = 1 <= number <= right
        made.add_column(heading, justify="right" if numeric else "left", no_wrap=number <= right, overflow="fold")
    return made


def progress_bar(*, as_json: bool) -> Progress:
    """A progress bar where somebody watches: on stderr if stdout is for a script, else on the terminal.

    A person's lines are to be printed through its console, which keeps them apart from the bar.
    """
    console = _console(to_stderr=as_json)
    shown = console.is_terminal and not (as_json and sys.stdout.isatty())
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not shown,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=not as_json,
    )


def print_json(record: Mapping[str, Any]) -> None:
    """One line of JSON Lines; ASCII, so that it is harmless on a terminal too."""
    print(json.dumps(record, default=str), flush=True)


def _console(*, to_stderr: bool) -> Console:
    console = Console(stderr=to_stderr, highlight=False, emoji=False, markup=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_WITHOUT_TERMINAL
    return console


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
