"""Rows of a query as a table for a person, or as JSON Lines, CSV or Parquet."""

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

from audit_pipeline.cli.output import cell, printable, stdout_console
from audit_pipeline.cli.tables import FittingTable
from audit_pipeline.errors import StoreError

if TYPE_CHECKING:
    import pyarrow as pa

    from audit_pipeline.catalog.results import QueryStats

__all__ = [
    "Format",
    "FormatOption",
    "JsonOption",
    "Output",
    "check_output",
    "choose_format",
    "json_value",
    "print_stats",
    "show_rows",
    "write_rows",
]

#: Rows that are shown to a person.
_MOST_ROWS: Final = 1000


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


Output = Annotated[
    Path | None, typer.Option("--output", help="Write to this file instead of stdout.", dir_okay=False, writable=True)
]
FormatOption = Annotated[Format | None, typer.Option("--format", help="How to write the rows.", show_default="table")]
JsonOption = Annotated[bool, typer.Option("--json", help="The same as --format json: one object a row.")]


def choose_format(form: Format | None, as_json: bool) -> Format:
    """The format of both options together."""
    if as_json and form not in (None, Format.JSON):
        raise typer.BadParameter(f"--json contradicts --format {form}")
    return Format.JSON if as_json else form or Format.TABLE


def check_output(form: Format, output: Path | None) -> None:
    if form is Format.TABLE and output is not None:
        raise typer.BadParameter("--output takes --format json, csv or parquet")
    if form is Format.PARQUET and output is None and sys.stdout.isatty():
        raise typer.BadParameter("--format parquet is not for a terminal: give --output")


def write_rows(rows: "pa.Table", form: Format, output: Path | None) -> None:
    """Write to stdout, and nothing else there, or to a file, which appears when it is complete."""
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
    """Print complete values; ``full`` prints all rows too, where a person sees a thousand otherwise."""
    console = stdout_console()
    named = _with_unique_names(rows)
    shown = FittingTable(*named.column_names, wrap=False)
    for row in _records(named if full else named.slice(0, _MOST_ROWS)):
        shown.add_row(*map(_cell, row.values()))
    shown.print(console)
    if rows.num_rows > _MOST_ROWS and not full:
        console.print(f"… and {rows.num_rows - _MOST_ROWS:,} more rows: --full shows all")


def print_stats(rows: int, stats: "QueryStats") -> None:
    """Print to stderr what the query took, as far as the engine reports it."""
    parts = [f"{rows:,} row{'s' * (rows != 1)} in {stats.seconds:.2f} s"]
    if stats.bytes_scanned is not None:
        parts.append(f"{stats.bytes_scanned / 1e6:,.2f} MB scanned")
    if stats.cost_usd is not None:
        parts.append(f"${stats.cost_usd:.6f}")
    if stats.query_id is not None:
        parts.append(f"query {stats.query_id}")
    print(printable(", ".join(parts)), file=sys.stderr)


def json_value(value: Any) -> Any:
    """A value as JSON has it. Times are in UTC and end in ``Z``; bytes that are not UTF-8 are written as escapes."""
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
    # ASCII, which is harmless on a terminal too
    return b"".join(json.dumps(row).encode() + b"\n" for row in _records(rows))


def _csv(rows: "pa.Table") -> bytes:
    import pyarrow as pa
    import pyarrow.csv
    from pyarrow import types

    for index, column in enumerate(rows.schema):
        if types.is_nested(column.type) or types.is_binary(column.type) or types.is_interval(column.type):
            texts = [_text(value) for value in rows.column(index).to_pylist()]
            rows = rows.set_column(index, pa.field(column.name, pa.string()), pa.array(texts, pa.string()))
    sink = pa.BufferOutputStream()
    # every text is quoted, which distinguishes an empty one from NULL
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


def _cell(value: Any) -> Text:
    text = _text(value)
    return Text("NULL", style="dim") if text is None else cell(text)


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
