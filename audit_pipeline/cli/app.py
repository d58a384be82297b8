"""The typer application: the commands, what they share, and how an error leaves the process."""

import sys
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from audit_pipeline import __version__
from audit_pipeline.cli.cost import cost
from audit_pipeline.cli.ddl import ddl
from audit_pipeline.cli.demo import demo
from audit_pipeline.cli.exits import MEANINGS, ExitCode, exit_code_of
from audit_pipeline.cli.history import history
from audit_pipeline.cli.materialize import materialize
from audit_pipeline.cli.output import printable
from audit_pipeline.cli.quality import quality
from audit_pipeline.cli.quarantine import quarantine
from audit_pipeline.cli.query import query
from audit_pipeline.cli.simulate import simulate
from audit_pipeline.cli.sql import sql
from audit_pipeline.cli.status import status
from audit_pipeline.errors import AuditPipelineError
from audit_pipeline.extras import install_line, is_ours

__all__ = ["app"]

_EPILOG: Final = "\n".join(
    [
        "Settings come from AUDIT_* environment variables or a .env file: AUDIT_RAW_URL, AUDIT_LAKE_URL and "
        "AUDIT_START_DATE are needed; query, history and sql need only AUDIT_LAKE_URL, cost and demo none.\n",
        "With --json, a command writes JSON Lines to stdout, one object a line, and nothing else there: progress and "
        "notes go to stderr.\n",
        "Exit codes:",
        *(f"  {code.value:<3}  {meaning}" for code, meaning in MEANINGS.items()),
    ]
)

#: Commands that the extra `query` is enough for; the others need `pipeline`.
_OF_QUERY: Final = frozenset({"query", "history", "sql", "ddl"})


class _Group(TyperGroup):
    """Turns an error that a user can act on into one line on stderr and its exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AuditPipelineError as error:
            print(f"error: {printable(str(error))}", file=sys.stderr)
            raise typer.Exit(exit_code_of(error)) from None
        except ModuleNotFoundError as error:
            if is_ours(error):
                raise
            command = ctx.invoked_subcommand
            extra = "query" if command in _OF_QUERY else "pipeline"
            print(f"error: {install_line(extra, f'audit-pipeline {command}', error.name)}", file=sys.stderr)
            raise typer.Exit(ExitCode.FAILED) from None
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise typer.Exit(ExitCode.INTERRUPTED) from None


app = typer.Typer(cls=_Group, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.callback(epilog=_EPILOG)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    """Raw audit events in hour folders become exact, queryable Parquet."""
    if version:
        print(__version__)
        raise typer.Exit


def _unwrapped(text: str) -> str:
    """The paragraphs of a docstring, a line each: typer would keep the source's line breaks."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


for _command in (simulate, materialize, status, quarantine, quality, query, history, sql, ddl, cost, demo):
    # a query may begin with a comment, which looks like an option
    _context = {"ignore_unknown_options": _command is sql}
    app.command(help=_unwrapped(_command.__doc__ or ""), epilog=_EPILOG, context_settings=_context)(_command)
