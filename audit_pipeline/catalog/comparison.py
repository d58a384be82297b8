"""An existing table against its definition: which columns it lacks, and whether it is the same table at all."""

import re

from audit_pipeline.catalog.definition import Column, TableDefinition
from audit_pipeline.errors import TableMismatchError

__all__ = ["check_is_same_table", "new_columns"]


def check_is_same_table(wanted: TableDefinition, existing: TableDefinition) -> None:
    """Raise :class:`TableMismatchError` where defining it would lose a column, change a type or move the table."""
    problems = [*_column_problems(wanted, existing), *_location_problems(wanted, existing)]
    if problems:
        raise TableMismatchError(
            f"the table {wanted.full_name} is a different table: {'; '.join(problems)}. Set AUDIT_DATABASE or "
            f"AUDIT_TABLE to another name; or drop that table (its files stay) and try again"
        )


def new_columns(wanted: TableDefinition, existing: TableDefinition) -> list[Column]:
    """The columns that the existing table lacks, in order; names are compared case-insensitively."""
    known = {column.name.lower() for column in existing.columns}
    return [column for column in wanted.columns if column.name.lower() not in known]


def _column_problems(wanted: TableDefinition, existing: TableDefinition) -> list[str]:
    problems = []
    types = {column.name.lower(): column.type for column in wanted.columns}
    for column in existing.columns:
        kind = types.get(column.name.lower())
        if kind is None:
            problems.append(f"its column {column.name} is unknown to this version and would be lost")
        elif kind != column.type:
            problems.append(f"its column {column.name} has the type {column.type}, not {kind}")
    return problems


def _location_problems(wanted: TableDefinition, existing: TableDefinition) -> list[str]:
    problems = []
    if existing.partition_keys != wanted.partition_keys:
        problems.append(f"it is partitioned by ({_listed(existing)}), not by ({_listed(wanted)})")
    if _normalized(existing.location) != _normalized(wanted.location):
        problems.append(f"it reads the files of {existing.location or 'no location'}, not those of {wanted.location}")
    return problems


def _listed(definition: TableDefinition) -> str:
    return ", ".join(f"{key.name} {key.type}" for key in definition.partition_keys)


def _normalized(location: str) -> str:
    """A location in one spelling: without a trailing slash, and with ``s3://`` for Hadoop's schemes."""
    return re.sub("^s3[an]://", "s3://", location).rstrip("/")
