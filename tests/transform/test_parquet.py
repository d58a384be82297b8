"""The files of the table: their columns, in their types."""

import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from audit_pipeline.contract.columns import ROW_SCHEMA
from tests.support.lake import Lake, event
from tests.support.rules import only, read


def test_the_files_of_the_table_have_the_columns_in_their_types(lake: Lake) -> None:
    read(lake, event("a"))
    schema = pq.ParquetFile(lake.path / only(list(lake.files()))).schema_arrow
    assert [(f.name, f.type) for f in schema] == [(f.name, f.type) for f in ROW_SCHEMA]


def test_timestamps_are_written_as_int64_milliseconds(lake: Lake) -> None:
    read(lake, event("a", time="2026-05-01T10:00:00.123456Z"))
    file = pq.ParquetFile(lake.path / only(list(lake.files())))
    column = file.schema.column(ROW_SCHEMA.names.index("Timestamp"))
    assert (column.name, column.physical_type) == ("Timestamp", "INT64")
    assert json.loads(column.logical_type.to_json())["timeUnit"] == "milliseconds"
    assert file.schema_arrow.field("Timestamp").type == pa.timestamp("ms")
    stored_value = file.read(["Timestamp"]).column(0).cast(pa.int64()).to_pylist()
    assert stored_value == [int(datetime(2026, 5, 1, 10, tzinfo=UTC).timestamp()) * 1000 + 123]
