"""``ddl``: the definitions of the table and its quarantine."""

import json
from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["ddl"]


class Format(StrEnum):
    DDL = "ddl"
    GLUE = "glue"


_Format = Annotated[
    Format | None,
    typer.Option(
        "--format", help="ddl: statements for Athena; glue: Glue's TableInput as JSON Lines.", show_default="ddl"
    ),
]
_AsJson = Annotated[bool, typer.Option("--json", help="The same as --format glue.")]


def ddl(form: _Format = None, as_json: _AsJson = False) -> None:
    """Print the definitions of the table and its quarantine in Athena.

    With AUDIT_QUERY_BACKEND=athena, Dagster creates both itself; this is for tables that are kept in a template, or to
    see the definitions first. It connects to nothing.
    """
    if as_json and form is Format.DDL:
        raise typer.BadParameter("--json contradicts --format ddl")
    from audit_pipeline.catalog import definition
    from audit_pipeline.settings import load_settings

    tables = definition.definitions_of(load_settings())
    if as_json or form is Format.GLUE:
        for table in tables:
            print(json.dumps(definition.glue_table_input(table)))
    else:
        print("\n".join(map(definition.ddl, tables)), end="")
