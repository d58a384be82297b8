"""How commands write: text and progress for a person, JSON Lines for a script.

Data is never trusted here: it comes from events, and an event may hold a terminal's escape sequences or rich's markup.
All data passes :func:`printable` (or :func:`cell`) on its way to a person.
"""

import json
import os
import sys
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

__all__ = ["cell", "count", "print_json", "printable", "progress_bar", "stdout_console"]

#: Columns of a table that goes to a file or a pipe, unless COLUMNS is set.
_WIDTH_WITHOUT_TERMINAL: Final = 160
#: Control, format (also those that turn the direction of writing), surrogate, private, unassigned; line separators.
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str) -> str:
    """The text on one line; characters that could control a terminal or are invisible are written as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if unicodedata.category(c) in _UNPRINTABLE else c for c in text)


def cell(text: str, style: str = "") -> Text:
    """A table's cell of data, in which nothing is read as markup."""
    return Text(printable(text), style=style)


def count(number: int, style_unless_zero: str = "") -> Text:
    return Text(f"{number:,}", style=style_unless_zero if number else "")


def stdout_console() -> Console:
    return _console(to_stderr=False)


def progress_bar(*, as_json: bool) -> Progress:
    """A progress bar on a terminal, nothing elsewhere: on stderr if ``as_json``, else on stdout.

    Print other lines through its console, which keeps them apart from the bar.
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
