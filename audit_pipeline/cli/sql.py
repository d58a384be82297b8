"""``sql``: a query in Athena's SQL."""

from typing import Annotated

import typer

from audit_pipeline.cli.interrupts import stoppable
from audit_pipeline.cli.results import (
    Format,
    FormatOption,
    JsonOption,
    Output,
    check_output,
    choose_format,
    print_stats,
    show_rows,
    write_rows,
)

__all__ = ["sql"]


def sql(
    statement: Annotated[str, typer.Argument(metavar="SQL", help="One query: SELECT … or WITH …", show_default=False)],
    form: FormatOption = None,
    as_json: JsonOption = False,
    output: Output = None,
    full: Annotated[bool, typer.Option("--full", help="Show all rows, not only the first 1,000.")] = False,
) -> None:
    """Run a query in Athena's SQL, which can only read.

    The tables are `audit_logs_db.auditlog` and `audit_logs_db.auditlog_quarantine`, by AUDIT_DATABASE and AUDIT_TABLE.
    AUDIT_QUERY_BACKEND is what runs it: with duckdb, the default, a query that may mean something else there than in
    Athena is refused. The result must fit into memory.

    Values are shown complete. A result that is wider than the terminal is shown as one block a row instead of a table;
    without a terminal, a table may have 160 columns, or COLUMNS. Time, bytes and cost of the query go to stderr.
    """
    from audit_pipeline.query.adhoc import run_sql
    from audit_pipeline.settings import load_query_settings

    form = choose_format(form, as_json)
    check_output(form, output)
    settings = load_query_settings()
    result = stoppable(lambda cancelled: run_sql(settings, statement, cancelled=cancelled))
    if form is Format.TABLE:
        show_rows(result.table, full=full)
    else:
        write_rows(result.table, form, output)
    print_stats(result.table.num_rows, result.stats)
