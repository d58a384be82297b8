"""The quality checks on a day of many rows: ``python -m bench.quality --help``.

The day is made of Parquet files as the pipeline writes them (row groups, sorting, encodings), but without raw data: ten
million rows are there in a minute. The checks run in a process of their own.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from audit_pipeline.quality import check_quality, quality_checks
from audit_pipeline.settings import Settings
from audit_pipeline.store.layout import data_path
from audit_pipeline.store.manifest import OutputFile, read_manifest, write_manifest
from audit_pipeline.store.objects import open_store
from audit_pipeline.transform.parquet import write_rows
from bench.cases import ROOT
from bench.manifests import made_manifest
from bench.measure import measure
from bench.report import print_records

_DAY: Final = date(2026, 5, 1)
_SOURCES: Final = ("billing", "identity", "inventory", "shop")
#: Rows that are made at once.
_BLOCK: Final = 100_000


def bench(
    rows: Annotated[int, typer.Option(min=1000, help="Of the large day; the small one has a tenth.")] = 10_000_000,
    folder: Annotated[Path | None, typer.Option(help="Where the days are made. (default: a temporary one)")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON Lines, one a day.")] = False,
) -> None:
    """Seconds, rows a second and peak memory of all built-in checks, and how memory grows with the rows."""
    with tempfile.TemporaryDirectory(prefix="audit-pipeline-quality-", dir=folder) as root:
        records = [_run(Path(root), count) for count in (rows // 10, rows)]
    small, large = records
    lines = [
        f"{record['rows']:>12,} rows ({record['bytes'] >> 20:,} MiB): {record['seconds']:.1f} s, "
        f"{record['rows_per_second']:,.0f} rows a second, peak {record['peak_bytes'] >> 20:,} MiB"
        for record in records
    ]
    compared = f"peak memory of ten times the rows: {large['peak_bytes'] / small['peak_bytes']:.2f} times"
    print_records(records, [*lines, compared], as_json=as_json)


def _run(root: Path, rows: int) -> dict[str, Any]:
    folder = root / str(rows)
    # apart: a child's peak begins with the size of its parent
    subprocess.run([sys.executable, "-m", "bench.quality", "--make", str(folder), str(rows)], check=True, cwd=ROOT)
    size = sum(file.stat().st_size for file in folder.rglob("*.parquet"))
    measured = measure([sys.executable, "-m", "bench.quality", "--check", str(folder)], dict(os.environ))
    shutil.rmtree(folder)
    if measured.exit_code:
        raise RuntimeError(f"the checks ended with {measured.exit_code}: {measured.output}")
    return {
        "rows": rows,
        "bytes": size,
        "seconds": measured.wall_seconds,
        "cpu_seconds": measured.cpu_seconds,
        "rows_per_second": rows / measured.wall_seconds,
        "peak_bytes": measured.peak_bytes,
        **json.loads(measured.output.splitlines()[-1]),
    }


def _make_day(folder: Path, rows: int) -> None:
    """Files and manifest of a lake's only day; a third of the rows are of one source."""
    lake = open_store(str(folder), create=True)
    shares = (rows // 3, rows // 6, rows // 4, rows - rows // 3 - rows // 6 - rows // 4)
    outputs = [
        output
        for source, count in zip(_SOURCES, shares, strict=True)
        for output in _write_source(folder, source, count)
    ]
    write_manifest(lake, made_manifest(_DAY, rows=rows, outputs=outputs))


def _write_source(folder: Path, source: str, count: int) -> list[OutputFile]:
    paths: list[str] = []

    def new_file(number: int) -> pa.NativeFile:
        paths.append(data_path(_DAY, _DAY, source, number))
        path = folder / paths[-1]
        path.parent.mkdir(parents=True, exist_ok=True)
        return pa.OSFile(str(path), "wb")

    write_rows(_blocks(source, count), new_file)
    found = [(path, folder / path) for path in paths]
    moment = datetime(_DAY.year, _DAY.month, _DAY.day, tzinfo=UTC)
    return [
        OutputFile(path, _DAY, source, pq.read_metadata(file).num_rows, file.stat().st_size, "", moment, moment)
        for path, file in found
    ]


def _blocks(source: str, count: int) -> Iterator[pa.Table]:
    """Rows of about 500 bytes, sorted by time, made by DuckDB."""
    with duckdb.connect() as connection:
        for start in range(0, count, _BLOCK):
            end = min(start + _BLOCK, count)
            yield connection.execute(
                _ROWS, {"source": source, "start": start, "end": end, "count": count}
            ).to_arrow_table()


#: The JSON text of a state, about 150 bytes.
_STATE: Final = """
  '{"id":' || i || ',"total":"' || i % 1000 || '.50","note":"' || md5(i::VARCHAR)
  || '","lines":[{"sku":"A-' || i % 77 || '","quantity":2,"price":"12.10"},{"sku":"B-' || i % 99 || '"}]}'"""
#: Half of the events have two rows.
_ROWS: Final = f"""
SELECT md5($source || (i // 3 * 2 + (i % 3 > 0)::INT)) AS "Id",
  make_timestamp_ms(epoch_ms(TIMESTAMP '{_DAY}') + (i // 3 * 86400000.0 * 3 / ($count + 3))::BIGINT) AS "Timestamp",
  'user-' || i % 5000 AS "ActorName", CASE i % 4 WHEN 0 THEN 'Service' ELSE 'User' END AS "ActorType",
  (i % 900000)::VARCHAR AS "EntityId", 'order' AS "EntityName", 'Order' AS "EntityType",
  CASE WHEN i % 3 = 0 THEN (i % 90000)::VARCHAR END AS "EntityParentId",
  CASE WHEN i % 3 = 0 THEN 'customer' END AS "EntityParentName", NULL::VARCHAR AS "EntityParentType",
  'web' AS "ChannelCode", NULL::VARCHAR AS "ChannelAccountCode",
  CASE i % 3 WHEN 0 THEN 'Create' ELSE 'Update' END AS "Action",
  CASE WHEN i % 3 > 0 THEN {_STATE} END AS "Before", {_STATE} AS "After",
  md5(i::VARCHAR) AS "CorrelationId", CASE WHEN i % 3 = 2 THEN 1 ELSE 0 END::INTEGER AS "EntityIndex"
FROM range($start, $end) made(i)"""


def _check(folder: Path) -> None:
    """All built-in checks on a day that is there; what they say, in one line of JSON."""
    settings = Settings(raw_url=str(folder), lake_url=str(folder), start_date=_DAY)
    lake = open_store(settings.lake_url)
    manifest = read_manifest(lake, _DAY)
    if manifest is None:
        raise FileNotFoundError(f"{folder} has no manifest of {_DAY}")
    verdicts = check_quality(settings, lake, manifest, [check.name for check in quality_checks(settings)])
    print(json.dumps({"failed": [name for name, verdict in verdicts.items() if not verdict.passed]}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        _check(Path(sys.argv[2]))
    elif sys.argv[1:2] == ["--make"]:
        _make_day(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        typer.run(bench)
