"""What an existing table lacks to be the defined one, and what forbids to make it so."""

import re

from audit_pipeline.catalog.definition import Column, TableDefinition
from audit_pipeline.errors import TableMismatchError

__all__ = ["check_is_same_table", "new_columns"]


def check_is_same_table(wanted: TableDefinition, found: TableDefinition) -> None:
    """Raise :class:`TableMismatchError` where the definition would lose a column, change a type or move the table."""
    problems = [*_column_problems(wanted, found), *_place_problems(wanted, found)]
    if problems:
        raise TableMismatchError(
            f"the table {wanted.full_name} is another one: {'; '.join(problems)}. Set AUDIT_DATABASE or AUDIT_TABLE to "
            f"a name of its own; or drop that table (its files stay) and try again"
        )


def new_columns(wanted: TableDefinition, found: TableDefinition) -> list[Column]:
    """The columns that the existing table lacks, in order; names are compared without regard to their case."""
    known = {column.name.lower() for column in found.columns}
    return [column for column in wanted.columns if column.name.lower() not in known]


def _column_problems(wanted: TableDefinition, found: TableDefinition) -> list[str]:
    problems = []
    types = {column.name.lower(): column.type for column in wanted.columns}
    for column in found.columns:
        kind = types.get(column.name.lower())
        if kind is None:
            problems.append(f"its column {column.name} is not known to this version and would be lost")
        elif kind != column.type:
            problems.append(f"its column {column.name} has the type {column.type}, not {kind}")
    return problems


def _place_problems(wanted: TableDefinition, found: TableDefinition) -> list[str]:
    problems = []
    if found.partition_keys != wanted.partition_keys:
        problems.append(f"it is partitioned by ({_listed(found)}), not by ({_listed(wanted)})")
    if _plain(found.location) != _plain(wanted.location):
        problems.append(f"it shows the files of {found.location or 'nowhere'}, not those of {wanted.location}")
    return problems


def _listed(definition: TableDefinition) -> str:
    return ", ".join(f"{key.name} {key.type}" for key in definition.partition_keys)


def _plain(location: str) -> str:
    """A location without its spellings: with or without a last slash, and in Hadoop's schemes."""
    return re.sub("^s3[an]://", "s3://", location).rstrip("/")
