"""The command line, ``audit-pipeline``: one module a command, see :mod:`audit_pipeline.cli.app`.

Here is what a person at a terminal or a script needs: options, tables, progress, JSON and exit codes. The work itself
is done below: commands import it when they run, so that ``--help`` does not wait for Dagster, DuckDB or Arrow.
"""

import io
import sys

from audit_pipeline.extras import install_line, is_ours

__all__ = ["main"]


def main() -> None:
    """Run the command of this process's arguments, and exit with its :class:`~audit_pipeline.cli.exits.ExitCode`."""
    try:
        from audit_pipeline.cli.app import app
    except ModuleNotFoundError as error:
        if is_ours(error):
            raise
        sys.exit(f"error: {install_line('query', 'audit-pipeline', error.name)}")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a character shows its code instead
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="audit-pipeline")
