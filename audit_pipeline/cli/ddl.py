"""``ddl``: the definitions of the table and its quarantine."""

import json
from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["ddl"]


class Format(StrEnum):
    DDL = "ddl"
    GLUE = "glue"


_FORMAT = typer.Option("--format", help="ddl: statements for Athena; glue: Glue's TableInput as JSON Lines.")


def ddl(form: Annotated[Format, _FORMAT] = Format.DDL) -> None:
    """Print what makes the table and its quarantine in Athena.

    Dagster does that by itself where AUDIT_QUERY_BACKEND=athena; this is for who keeps tables in a template, or looks
    before it is done. Nothing is connected to.
    """
    from audit_pipeline.catalog import definition
    from audit_pipeline.settings import load_settings

    tables = definition.definitions_of(load_settings())
    if form is Format.GLUE:
        for table in tables:
            print(json.dumps(definition.glue_table_input(table)))
    else:
        print("\n".join(map(definition.ddl, tables)), end="")
