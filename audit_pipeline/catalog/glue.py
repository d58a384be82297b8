"""Tables in the Glue catalog, which Athena reads: made where they are missing, brought up to date where they differ."""

import random
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore.model import StructureShape

from audit_pipeline.aws import aws_errors
from audit_pipeline.catalog.comparison import check_is_same_table, new_columns
from audit_pipeline.catalog.definition import SERDE, TEMPLATE, Column, TableDefinition, glue_column, glue_table_input
from audit_pipeline.errors import QueryError, TableMismatchError

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

__all__ = ["ensure_table"]

#: Of two runs that define a table at once, one has to look again.
_ATTEMPTS: Final = 10
_PAUSE_SECONDS: Final = 0.2


def ensure_table(glue: "GlueClient", definition: TableDefinition) -> None:
    """Make the table as defined, with its database where that is missing; nothing is written where it is so already.

    Columns that are new are added behind those there are, and the properties of the projection are replaced; what else
    a person or a tool has set stays. Several callers at once do no harm. The database is only asked for where it is
    missing, so that a role that may not create one can work in that of the stack.

    Raises :class:`TableMismatchError` where that would lose a column, change a type or show other files than before,
    and :class:`QueryError` where Glue refuses.
    """
    exceptions = glue.exceptions
    with aws_errors("Glue"):
        for attempt in range(_ATTEMPTS):
            try:
                _bring_up_to_date(glue, definition)
                return
            except (exceptions.AlreadyExistsException, exceptions.ConcurrentModificationException):
                # another run was faster: what it made may be just what is wanted
                time.sleep(_PAUSE_SECONDS * attempt * random.uniform(0.5, 1))
    raise QueryError(f"the Glue table {definition.full_name} is being changed by others all the time: try again later")


def _bring_up_to_date(glue: "GlueClient", definition: TableDefinition) -> None:
    try:
        found = glue.get_table(DatabaseName=definition.database, Name=definition.name)["Table"]
    except glue.exceptions.EntityNotFoundException:
        _create(glue, definition)
        return
    existing = _definition_of(found, definition)
    check_is_same_table(definition, existing)
    current = _input_of(glue, found)
    wanted: Any = _updated(current, definition, new_columns(definition, existing))
    if wanted != current:
        # of a version that is no longer the latest, Glue refuses the change
        version: Any = {"VersionId": found["VersionId"]} if "VersionId" in found else {}
        glue.update_table(DatabaseName=definition.database, TableInput=wanted, **version)


def _create(glue: "GlueClient", definition: TableDefinition) -> None:
    table: Any = glue_table_input(definition)
    try:
        glue.create_table(DatabaseName=definition.database, TableInput=table)
    except glue.exceptions.EntityNotFoundException:
        glue.create_database(DatabaseInput={"Name": definition.database})
        glue.create_table(DatabaseName=definition.database, TableInput=table)


def _definition_of(table: Mapping[str, Any], definition: TableDefinition) -> TableDefinition:
    """An existing table, to be compared; :class:`TableMismatchError` for one that is not of Parquet files."""
    storage = table.get("StorageDescriptor", {})
    serde = storage.get("SerdeInfo", {}).get("SerializationLibrary")
    if serde != SERDE:
        raise TableMismatchError(
            f"{definition.full_name} in Glue is no table of Parquet files ({table.get('TableType')}, {serde}): "
            "set AUDIT_TABLE to another name, or drop it"
        )
    return TableDefinition(
        database=definition.database,
        name=definition.name,
        columns=_columns(storage.get("Columns", ())),
        partition_keys=_columns(table.get("PartitionKeys", ())),
        location=storage.get("Location", ""),
        properties=table.get("Parameters", {}),
    )


def _columns(columns: Any) -> tuple[Column, ...]:
    return tuple(Column(column["Name"], column.get("Type", "")) for column in columns)


def _input_of(glue: "GlueClient", table: Mapping[str, Any]) -> dict[str, Any]:
    """What GetTable gave, without that which UpdateTable does not take."""
    shape = glue.meta.service_model.shape_for("TableInput")
    assert isinstance(shape, StructureShape)
    return {name: value for name, value in table.items() if name in shape.members}


def _updated(current: Mapping[str, Any], definition: TableDefinition, added: Sequence[Column]) -> dict[str, Any]:
    wanted = glue_table_input(definition)
    storage = current["StorageDescriptor"]
    others = {name: value for name, value in current.get("Parameters", {}).items() if not _is_of_projection(name)}
    return {
        **current,
        "Parameters": {**others, **wanted["Parameters"]},
        "StorageDescriptor": storage
        | {
            "Columns": [*storage["Columns"], *map(glue_column, added)],
            "Location": wanted["StorageDescriptor"]["Location"],
        },
    }


def _is_of_projection(name: str) -> bool:
    return name == TEMPLATE or name.startswith("projection.")
