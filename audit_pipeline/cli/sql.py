"""``sql``: a question in Athena's SQL."""

from typing import Annotated

import typer

from audit_pipeline.cli.interrupts import stoppable
from audit_pipeline.cli.results import Format, Full, Output, check_output, print_stats, show_rows, write_rows

__all__ = ["sql"]


def sql(
    statement: Annotated[str, typer.Argument(metavar="SQL", help="One query: SELECT … or WITH …", show_default=False)],
    form: Annotated[Format, typer.Option("--format", help="How to write the rows.")] = Format.TABLE,
    output: Output = None,
    full: Full = False,
) -> None:
    """Answer a query in Athena's SQL, which can only read.

    The tables are `audit_logs_db.auditlog` and `audit_logs_db.auditlog_quarantine`, by AUDIT_DATABASE and AUDIT_TABLE.
    AUDIT_QUERY_BACKEND says what answers: with duckdb, the default, a query that may mean something else there than in
    Athena is refused. What it took is told on stderr. The result must fit into memory.
    """
    from audit_pipeline.query.adhoc import run_sql
    from audit_pipeline.settings import load_query_settings

    check_output(form, output)
    settings = load_query_settings()
    result = stoppable(lambda cancelled: run_sql(settings, statement, cancelled=cancelled))
    if form is Format.TABLE:
        show_rows(result.table, full=full)
    else:
        write_rows(result.table, form, output)
    print_stats(result.table.num_rows, result.stats)
