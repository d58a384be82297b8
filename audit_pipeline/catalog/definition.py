"""The definition of the table and of its quarantine, from the schema in ``contract``: as Glue input and as DDL.

Partitions are projected: no crawler runs, and no partition is ever registered. ``dt`` runs from the first partition to
``NOW``, the current day (UTC). A row may be dated a day after its delivery day, where its producer's clock is ahead: it
can be queried once that day has begun, and its partition does not run before. ``source`` is injected: Athena requires
every query to name its sources, and the client does.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from audit_pipeline.contract.columns import PARTITION_COLUMNS, QUARANTINE_SCHEMA, ROW_SCHEMA
from audit_pipeline.errors import SettingsError
from audit_pipeline.settings import Settings
from audit_pipeline.store.lake import read_lake_settings
from audit_pipeline.store.layout import QUARANTINE_PREFIX, TABLE_PREFIX
from audit_pipeline.store.objects import Store

if TYPE_CHECKING:
    from mypy_boto3_glue.type_defs import ColumnTypeDef, TableInputTypeDef

__all__ = [
    "SERDE",
    "TEMPLATE",
    "Column",
    "TableDefinition",
    "ddl",
    "definitions_for_lake",
    "definitions_of",
    "glue_column",
    "glue_table_input",
]

_HIVE_TYPES: Final = {
    pa.string(): "string",
    pa.timestamp("ms"): "timestamp",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.binary(): "binary",
}
_PARQUET: Final = "org.apache.hadoop.hive.ql.io.parquet"
SERDE: Final = f"{_PARQUET}.serde.ParquetHiveSerDe"
#: The property with the location of a partition.
TEMPLATE: Final = "storage.location.template"

#: The URL goes into templates and DDL, so it may hold no character that is special there.
_LAKE_URL: Final = re.compile(r"""[sS]3://([^/\s'"`\\${}?#%]+(?:/[^/\s'"`\\${}?#%]+)*)/*""")


@dataclass(frozen=True, slots=True)
class Column:
    """``type`` is a Hive type, as in Glue and in Athena's DDL."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """``location`` ends in ``/``; ``properties`` are those of the table that partition projection reads."""

    database: str
    name: str
    columns: Sequence[Column]
    partition_keys: Sequence[Column]
    location: str
    properties: Mapping[str, str]

    @property
    def full_name(self) -> str:
        return f"{self.database}.{self.name}"


def definitions_of(settings: Settings) -> tuple[TableDefinition, TableDefinition]:
    """The tables of the audit log and of its quarantine. :class:`SettingsError` for a lake that is not in S3."""
    return _table_of(settings), _quarantine_of(settings)


def definitions_for_lake(settings: Settings, lake: Store) -> tuple[TableDefinition, TableDefinition]:
    """The tables of the audit log and of its quarantine, projected from the first partition of any run of this lake.

    The first partition in the settings may be a later one: a projection from there would hide days.
    """
    lake_settings = read_lake_settings(lake)
    first = min(settings.start_date, lake_settings.first_partition) if lake_settings else settings.start_date
    return definitions_of(settings.model_copy(update={"start_date": first}))


def _table_of(settings: Settings) -> TableDefinition:
    location = _location(settings, TABLE_PREFIX)
    projection = _projection_of_dt(settings) | {"projection.source.type": "injected"}
    return TableDefinition(
        settings.database,
        settings.table,
        _columns(ROW_SCHEMA),
        _keys(PARTITION_COLUMNS),
        location,
        projection | {TEMPLATE: f"{location}dt=${{dt}}/source=${{source}}/"},
    )


def _quarantine_of(settings: Settings) -> TableDefinition:
    """Its ``dt`` is the partition of the run that read the record."""
    location = _location(settings, QUARANTINE_PREFIX)
    return TableDefinition(
        settings.database,
        f"{settings.table}_quarantine",
        _columns(QUARANTINE_SCHEMA),
        _keys(PARTITION_COLUMNS[:1]),
        location,
        _projection_of_dt(settings) | {TEMPLATE: f"{location}dt=${{dt}}/"},
    )


def glue_table_input(table: TableDefinition) -> "TableInputTypeDef":
    """``TableInput`` of Glue's CreateTable, with column names in lower case, as Glue and Athena keep them."""
    return {
        "Name": table.name,
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [glue_column(key) for key in table.partition_keys],
        "StorageDescriptor": {
            "Columns": [glue_column(column) for column in table.columns],
            "Location": table.location,
            "InputFormat": f"{_PARQUET}.MapredParquetInputFormat",
            "OutputFormat": f"{_PARQUET}.MapredParquetOutputFormat",
            "SerdeInfo": {
                "SerializationLibrary": SERDE,
                "Parameters": {"serialization.format": "1"},
            },
        },
        "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet", **table.properties},
    }


def ddl(table: TableDefinition) -> str:
    """The statement that creates the same table in Athena.

    Every name is in backticks: ``timestamp`` is reserved in Athena's DDL, and others may become reserved.
    """
    columns = ",\n".join(f"  `{column.name}` {column.type}" for column in table.columns)
    partitions = ", ".join(f"`{key.name}` {key.type}" for key in table.partition_keys)
    properties = ",\n".join(f"  '{name}' = '{value}'" for name, value in table.properties.items())
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS `{table.database}`.`{table.name}` (\n{columns}\n)\n"
        f"PARTITIONED BY ({partitions})\n"
        f"STORED AS PARQUET\n"
        f"LOCATION '{table.location}'\n"
        f"TBLPROPERTIES (\n{properties}\n);\n"
    )


def glue_column(column: Column) -> "ColumnTypeDef":
    return {"Name": column.name.lower(), "Type": column.type}


def _columns(schema: pa.Schema) -> tuple[Column, ...]:
    return tuple(Column(field.name, _HIVE_TYPES[field.type]) for field in schema)


def _keys(names: Iterable[str]) -> tuple[Column, ...]:
    return tuple(Column(name, "string") for name in names)


def _location(settings: Settings, prefix: str) -> str:
    lake = _LAKE_URL.fullmatch(settings.lake_url)
    if lake is None:
        raise SettingsError(
            f"AUDIT_LAKE_URL is {settings.lake_url!r}, but Athena and Trino need s3://bucket/prefix without spaces, "
            "quotes and other special characters; AUDIT_QUERY_BACKEND=duckdb also reads a local lake"
        )
    return f"s3://{lake[1]}/{prefix}/"


def _projection_of_dt(settings: Settings) -> dict[str, str]:
    return {
        "projection.enabled": "true",
        "projection.dt.type": "date",
        "projection.dt.range": f"{settings.start_date},NOW",
        "projection.dt.format": "yyyy-MM-dd",
        "projection.dt.interval": "1",
        "projection.dt.interval.unit": "DAYS",
    }
