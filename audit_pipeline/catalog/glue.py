"""Tables in the Glue catalog, which Athena reads: created where missing, updated where they differ."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore.model import StructureShape

from audit_pipeline.aws import aws_errors
from audit_pipeline.catalog.comparison import check_is_same_table, new_columns
from audit_pipeline.catalog.definition import SERDE, TEMPLATE, Column, TableDefinition, glue_column, glue_table_input
from audit_pipeline.errors import QueryError, TableMismatchError
from audit_pipeline.retrying import growing, retry

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

__all__ = ["ensure_table"]

#: Of two runs that define a table at once, one has to read it again.
_FIRST_PAUSE, _PAUSE_GROWTH, _LONGEST_PAUSE = 0.1, 2.0, 2.0
_CONFLICT_SECONDS: Final = 10.0


def ensure_table(glue: "GlueClient", definition: TableDefinition) -> None:
    """Create or update the table, and create its database where missing; nothing is written where all is as defined.

    New columns are added after the existing ones, and the properties of the projection are replaced; whatever else a
    person or a tool has set stays. Concurrent callers are safe. The database is only touched where it is missing, so
    that a role without the right to create one can work in that of the stack.

    Raises :class:`TableMismatchError` where the change would lose a column, change a type or move the table, and
    :class:`QueryError` where Glue refuses it.
    """
    # another run was faster, and may have written just this definition
    conflicts = (glue.exceptions.AlreadyExistsException, glue.exceptions.ConcurrentModificationException)
    pauses = growing(_FIRST_PAUSE, _PAUSE_GROWTH, _LONGEST_PAUSE)
    with aws_errors("Glue"):
        try:
            retry(
                lambda: _create_or_update(glue, definition),
                lambda error: isinstance(error, conflicts),
                pauses,
                seconds=_CONFLICT_SECONDS,
            )
        except conflicts as error:
            raise QueryError(
                f"the Glue table {definition.full_name} was changed by others for {_CONFLICT_SECONDS:.0f} seconds: "
                f"try again later"
            ) from error


def _create_or_update(glue: "GlueClient", definition: TableDefinition) -> None:
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
        # Glue refuses an update of a version that is no longer the latest
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
    """The existing table; :class:`TableMismatchError` for one that does not read Parquet files."""
    storage = table.get("StorageDescriptor", {})
    serde = storage.get("SerdeInfo", {}).get("SerializationLibrary")
    if serde != SERDE:
        raise TableMismatchError(
            f"{definition.full_name} in Glue is not a table of Parquet files ({table.get('TableType')}, {serde}): "
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
    """The members of GetTable's response that UpdateTable takes."""
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
