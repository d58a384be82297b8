"""Tables for a person at a terminal of any width. No value and no column is cut off to fit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from audit_pipeline.cli.output import printable

__all__ = ["FittingTable"]

#: Columns of the terminal that a column which may wrap takes at least, unless all of its values are shorter.
_LEAST_WRAPPED: Final = 20


class FittingTable:
    """A table if the terminal is wide enough for it, else a block for each row with a line for each field.

    The headings from the second on are right-aligned, as many as ``right`` says. The columns after those wrap where
    room is short, unless ``wrap`` is false; the others never do. ``lines`` separates the rows.
    """

    def __init__(self, *headings: str, title: str = "", right: int = 0, lines: bool = False, wrap: bool = True) -> None:
        self._title = Text(printable(title))
        self._headings = tuple(map(printable, headings))
        self._right = right
        self._lines = lines
        self._no_wrap = right + 1 if wrap else len(headings)
        self._rows: list[_Row] = []

    @property
    def row_count(self) -> int:
        return len(self._rows)

    def add_row(self, *cells: Text | str, fields: Sequence[tuple[str, Text]] | None = None) -> None:
        """``fields`` are the names and values of the row's block, where those of the columns are not to be used."""
        texts = [cell if isinstance(cell, Text) else Text(cell) for cell in cells]
        self._rows.append(_Row(texts, fields or list(zip(self._headings, texts, strict=False))))

    def add_section(self) -> None:
        """A line after the last row."""
        self._rows[-1].ends_section = True

    def print(self, console: Console) -> None:
        for padding in (1, 0):
            if self._fits(console, padding):
                console.print(self._table(padding))
                return
        for line in self._blocks(console.width):
            console.print(line, soft_wrap=True)

    def _fits(self, console: Console, padding: int) -> bool:
        frame = Measurement.get(console, console.options, self._empty_table(padding, [""] * len(self._headings)))
        return frame.maximum + sum(map(self._least_width, range(len(self._headings)))) <= console.width

    def _least_width(self, column: int) -> int:
        values = (row.cells[column].plain for row in self._rows if column < len(row.cells))
        width = max(cell_len(line) for text in (self._headings[column], *values) for line in text.split("\n"))
        return width if column < self._no_wrap else min(width, _LEAST_WRAPPED)

    def _empty_table(self, padding: int, headings: Sequence[str]) -> Table:
        made = Table(
            title=self._title,
            title_justify="left",
            box=box.ROUNDED if self._lines else box.SIMPLE_HEAD,
            show_lines=self._lines,
            padding=(0, padding),
            collapse_padding=True,
            pad_edge=self._lines,
        )
        for number, heading in enumerate(headings):
            is_right = 1 <= number <= self._right
            made.add_column(
                Text(heading),
                justify="right" if is_right else "left",
                no_wrap=number < self._no_wrap,
                overflow="fold",
            )
        return made

    def _table(self, padding: int) -> Table:
        made = self._empty_table(padding, self._headings)
        for row in self._rows:
            made.add_row(*row.cells, end_section=row.ends_section)
        return made

    def _blocks(self, width: int) -> Iterator[Text]:
        """As psql's expanded display."""
        if self._title:
            yield self._title
        if not self._rows:
            yield Text("(no rows)")
        for number, row in enumerate(self._rows, 1):
            lines = list(row.block())
            yield Text(
                set_cell_size(f"-[ {number} ]".ljust(width, "-"), min(width, max(line.cell_len for line in lines)))
            )
            yield from lines


@dataclass
class _Row:
    cells: Sequence[Text]
    fields: Sequence[tuple[str, Text]]
    ends_section: bool = False

    def block(self) -> Iterator[Text]:
        """A line for each field, and more where its value has lines."""
        widest = max(cell_len(name) for name, _ in self.fields)
        for name, value in self.fields:
            for number, line in enumerate(value.split("\n", allow_blank=True)):
                yield Text.assemble((set_cell_size("" if number else name, widest), "dim"), " | ", line)
