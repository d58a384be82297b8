"""The table in Trino: defined by Trino's own DDL, in its own catalog."""

import re
from functools import cached_property
from typing import Final

import pyarrow as pa

from audit_pipeline.catalog.comparison import check_is_same_table, new_columns
from audit_pipeline.catalog.definition import (
    TEMPLATE,
    Column,
    TableDefinition,
    definitions_for_lake,
    definitions_of,
)
from audit_pipeline.catalog.lookup import look_up_day
from audit_pipeline.catalog.table import DayInTable
from audit_pipeline.catalog.trino import Trino, trino_of
from audit_pipeline.errors import TableMismatchError
from audit_pipeline.settings import Settings
from audit_pipeline.store.manifest import Manifest
from audit_pipeline.store.objects import Store, open_store

__all__ = ["TrinoTable", "trino_ddl"]

_TRINO_TYPES: Final = {
    "string": "varchar",
    "timestamp": "timestamp(3)",
    "int": "integer",
    "bigint": "bigint",
    "binary": "varbinary",
}
_HIVE_TYPES: Final = {trino: hive for hive, trino in _TRINO_TYPES.items()}


class TrinoTable:
    """The table and its quarantine in a Hive catalog of Trino.

    The catalog needs ``hive.partition-projection-enabled`` and, for days without rows,
    ``hive.ignore-absent-partitions``.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def location(self) -> str:
        table, _ = definitions_of(self._settings)
        return f"Trino table {self._trino.catalog}.{table.full_name} over {table.location}"

    def define(self) -> None:
        """Create the tables, or add the columns that they lack.

        Trino cannot change the projection of an existing table: where it differs, :class:`TableMismatchError` says
        what to do.
        """
        self._run(f'CREATE SCHEMA IF NOT EXISTS "{self._settings.database}"')
        for definition in definitions_for_lake(self._settings, self._lake):
            self._run(trino_ddl(definition))
            existing = self._existing(definition)
            check_is_same_table(definition, existing)
            _check_projection(definition, existing)
            for column in new_columns(definition, existing):
                # IF NOT EXISTS: two runs may add it at once
                self._run(f"ALTER TABLE {_name(definition)} ADD COLUMN IF NOT EXISTS {_column(column)}")

    def look_up(self, manifest: Manifest) -> DayInTable:
        return look_up_day(self._trino, self._settings.database, self._settings.table, self._lake, manifest)

    def _existing(self, definition: TableDefinition) -> TableDefinition:
        described = self._run(f"DESCRIBE {_name(definition)}").columns
        columns = [
            (Column(name, _HIVE_TYPES.get(kind, kind)), extra)
            for name, kind, extra in zip(*(column.to_pylist() for column in described[:3]), strict=True)
        ]
        (ddl,) = self._run(f"SHOW CREATE TABLE {_name(definition)}").column(0).to_pylist()
        location = re.search(r"external_location = '([^']*)'", ddl)
        properties = self._run(f'SELECT * FROM "{definition.database}"."{definition.name}$properties"').to_pylist()
        return TableDefinition(
            database=definition.database,
            name=definition.name,
            columns=tuple(column for column, extra in columns if extra != "partition key"),
            partition_keys=tuple(column for column, extra in columns if extra == "partition key"),
            location=location[1] if location else "",
            properties=properties[0] if properties else {},
        )

    def _run(self, sql: str) -> pa.Table:
        return self._trino.run(sql).table

    @cached_property
    def _lake(self) -> Store:
        return open_store(self._settings.lake_url)

    @cached_property
    def _trino(self) -> Trino:
        return trino_of(self._settings)


def trino_ddl(definition: TableDefinition) -> str:
    """``CREATE TABLE`` for Trino's Hive connector, with the same projection as in Athena."""
    properties = definition.properties
    columns = [_column(column) for column in definition.columns]
    keys = [f"{_column(key)} WITH ({_projection(key.name, definition)})" for key in definition.partition_keys]
    names = ", ".join(f"'{key.name}'" for key in definition.partition_keys)
    body = ",\n  ".join([*columns, *keys])
    return (
        f"CREATE TABLE IF NOT EXISTS {_name(definition)} (\n  {body}\n)\nWITH (\n"
        f"  external_location = '{definition.location}',\n"
        f"  format = 'PARQUET',\n"
        f"  partitioned_by = ARRAY[{names}],\n"
        f"  partition_projection_enabled = true,\n"
        f"  partition_projection_location_template = '{properties[TEMPLATE]}'\n)"
    )


def _projection(key: str, definition: TableDefinition) -> str:
    """Trino's column properties for ``projection.<key>.…``."""
    option = {
        name.removeprefix(f"projection.{key}."): value
        for name, value in definition.properties.items()
        if name.startswith(f"projection.{key}.")
    }
    properties = [f"partition_projection_type = '{option['type'].upper()}'"]
    if option["type"] == "date":
        first, last = option["range"].split(",")
        properties += [
            f"partition_projection_format = '{option['format']}'",
            f"partition_projection_range = ARRAY['{first}', '{last}']",
            f"partition_projection_interval = {option['interval']}",
            f"partition_projection_interval_unit = '{option['interval.unit']}'",
        ]
    return ", ".join(properties)


def _check_projection(wanted: TableDefinition, existing: TableDefinition) -> None:
    differences = [
        f"{name} is {existing.properties.get(name)!r}, not {value!r}"
        for name, value in wanted.properties.items()
        # Trino returns DAYS as days
        if (existing.properties.get(name) or "").lower() != value.lower()
    ]
    if differences:
        raise TableMismatchError(
            f"the table {wanted.full_name} projects other partitions ({'; '.join(differences)}), which Trino cannot "
            f"change: run DROP TABLE {wanted.full_name}, which leaves the files, and try again"
        )


def _name(definition: TableDefinition) -> str:
    return f'"{definition.database}"."{definition.name}"'


def _column(column: Column) -> str:
    return f'"{column.name}" {_TRINO_TYPES[column.type]}'
