"""Rows of a query for a person, a script or another program: a table, JSON Lines, CSV or Parquet."""

import json
import math
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import uuid4

import typer
from rich.text import Text

from audit_pipeline.cli.output import cell, printable, stdout_console, table
from audit_pipeline.errors import StoreError

if TYPE_CHECKING:
    import pyarrow as pa

    from audit_pipeline.catalog.results import QueryStats

__all__ = ["Format", "Full", "Output", "check_output", "json_value", "print_stats", "show_rows", "write_rows"]

#: Rows, and characters of a value, that a table shows.
_MOST_ROWS: Final = 1000
_SHORT: Final = 200
#: A table with less room a column is written as a record a row instead.
_NARROWEST: Final = 14


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


Output = Annotated[
    Path | None, typer.Option("--output", help="Write to this file instead of stdout.", dir_okay=False, writable=True)
]
Full = Annotated[bool, typer.Option("--full", help="Show long texts whole.")]


def check_output(form: Format, output: Path | None) -> None:
    if form is Format.TABLE and output is not None:
        raise typer.BadParameter("--output takes --format json, csv or parquet")
    if form is Format.PARQUET and output is None and sys.stdout.isatty():
        raise typer.BadParameter("--format parquet is not for a terminal: give --output")


def write_rows(rows: "pa.Table", form: Format, output: Path | None) -> None:
    """To stdout, and nothing else there, or to a file, which appears when it is whole."""
    data = {Format.JSON: _json_lines, Format.CSV: _csv, Format.PARQUET: _parquet}[form](_with_unique_names(rows))
    if output is not None:
        _put(output, data)
    elif sys.stdout.isatty():
        for line in data.decode().splitlines():
            print(printable(line))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def show_rows(rows: "pa.Table", *, full: bool) -> None:
    """A table where it has room, else a block a row."""
    console = stdout_console()
    names = rows.column_names
    shown = [[_cell(value, full) for value in row.values()] for row in _records(rows.slice(0, _MOST_ROWS))]
    if len(names) * _NARROWEST <= console.width:
        made = table(*map(printable, names), title="")
        for cells in shown:
            made.add_row(*cells)
        console.print(made)
    else:
        widest = max(map(len, names))
        for number, cells in enumerate(shown, 1):
            console.print(Text(f"row {number}", style="bold"))
            for name, value in zip(names, cells, strict=True):
                console.print(Text.assemble((printable(name.ljust(widest)), "dim"), "  ", value), soft_wrap=True)
    if rows.num_rows > _MOST_ROWS:
        console.print(f"… and {rows.num_rows - _MOST_ROWS:,} more rows: --format json shows all")


def print_stats(rows: int, stats: "QueryStats") -> None:
    """What it took, as far as the engine tells, on stderr."""
    told = [f"{rows:,} row{'s' * (rows != 1)} in {stats.seconds:.2f} s"]
    if stats.bytes_scanned is not None:
        told.append(f"{stats.bytes_scanned / 1e6:,.2f} MB scanned")
    if stats.cost_usd is not None:
        told.append(f"${stats.cost_usd:.6f}")
    if stats.query_id is not None:
        told.append(f"query {stats.query_id}")
    print(printable(", ".join(told)), file=sys.stderr)


def json_value(value: Any) -> Any:
    """A value as JSON has it. Times are in UTC and end in ``Z``; bytes that are no UTF-8 are written by their codes."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            return int(value) if value == value.to_integral_value() and value.as_tuple().exponent == 0 else str(value)
        case datetime():
            moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
            return moment.isoformat(timespec="microseconds" if moment.microsecond % 1000 else "milliseconds") + "Z"
        case date() | time():
            return value.isoformat()
        case bytes():
            return value.decode(errors="backslashreplace")
        case Mapping():
            return {str(key): json_value(inner) for key, inner in value.items()}
        case list() if value and all(isinstance(pair, tuple) for pair in value):  # a map
            return {str(json_value(key)): json_value(inner) for key, inner in value}
        case list():
            return [json_value(inner) for inner in value]
    return str(value)


def _records(rows: "pa.Table") -> Iterator[dict[str, Any]]:
    for batch in rows.to_batches(max_chunksize=1024):
        for row in batch.to_pylist():
            yield {name: json_value(value) for name, value in row.items()}


def _json_lines(rows: "pa.Table") -> bytes:
    # ASCII, so that it is harmless on a terminal too
    return b"".join(json.dumps(row).encode() + b"\n" for row in _records(rows))


def _csv(rows: "pa.Table") -> bytes:
    import pyarrow as pa
    import pyarrow.csv
    from pyarrow import types

    for place, column in enumerate(rows.schema):
        if types.is_nested(column.type) or types.is_binary(column.type) or types.is_interval(column.type):
            texts = [_text(value) for value in rows.column(place).to_pylist()]
            rows = rows.set_column(place, pa.field(column.name, pa.string()), pa.array(texts, pa.string()))
    sink = pa.BufferOutputStream()
    # every text is quoted, so that an empty one is told from NULL, which is not
    pyarrow.csv.write_csv(rows, sink, pyarrow.csv.WriteOptions(quoting_style="all_valid"))
    return bytes(sink.getvalue())


def _parquet(rows: "pa.Table") -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    return bytes(sink.getvalue())


def _text(value: Any) -> str | None:
    plain = json_value(value)
    return plain if plain is None or isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _cell(value: Any, full: bool) -> Text:
    text = _text(value)
    if text is None:
        return Text("NULL", style="dim")
    return cell(text if full or len(text) <= _SHORT else f"{text[:_SHORT]}…")


def _with_unique_names(rows: "pa.Table") -> "pa.Table":
    names: list[str] = []
    for name in rows.column_names:
        number = 2
        unique = name
        while unique in names:
            unique, number = f"{name}_{number}", number + 1
        names.append(unique)
    return rows.rename_columns(names)


def _put(path: Path, data: bytes) -> None:
    staged = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        staged.write_bytes(data)
        staged.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        staged.unlink(missing_ok=True)
