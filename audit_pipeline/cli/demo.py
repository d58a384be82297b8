"""``demo``: a week of simulated traffic, materialized and looked at, in one folder."""

from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from audit_pipeline.cli.options import OptionalLast
from audit_pipeline.cli.output import stdout_console

if TYPE_CHECKING:
    from audit_pipeline.cli.sandbox import Sandbox
    from audit_pipeline.settings import Settings

__all__ = ["demo"]

_LAST_CHANGES: Final = 8


def demo(
    days: Annotated[int, typer.Option(min=1, max=366, help="How many days.")] = 7,
    events_per_day: Annotated[int, typer.Option(min=1, help="Events published a day, repeats aside.")] = 5000,
    last: OptionalLast = None,
    folder: Annotated[Path, typer.Option(help="Where everything goes.", file_okay=False)] = Path(".demo"),
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
) -> None:
    """Simulate a week up to yesterday, materialize it through Dagster, and show what came out.

    It needs no settings: raw, lake and Dagster's storage lie in the folder, and its file `env` has the settings for
    other commands. Run again, it runs the same days again, or adds the days since.
    """
    from audit_pipeline.cli.days import yesterday
    from audit_pipeline.cli.materialize import exit_code_of_days, run_days
    from audit_pipeline.cli.sandbox import Sandbox, environment
    from audit_pipeline.cli.simulate import write_raw
    from audit_pipeline.settings import load_settings

    last = last or yesterday()
    if last > yesterday():
        raise typer.BadParameter(f"--to {last} is not over yet (UTC)")
    first = last - timedelta(days=days - 1)
    sandbox = Sandbox.prepare(folder, first=first, events_per_day=events_per_day, seed=seed)
    with environment(sandbox.variables()):
        settings = load_settings()
        write_raw(settings, first, last, events_per_day, seed)
        results = run_days(settings, first, last)
        _show(settings, first, last)
    _say_what_next(sandbox)
    raise typer.Exit(exit_code_of_days(results))


def _show(settings: "Settings", first: date, last: date) -> None:
    from audit_pipeline.cli.changes import changes_table
    from audit_pipeline.cli.days import days_between, survey
    from audit_pipeline.cli.history import last_changes
    from audit_pipeline.cli.quarantine import reasons_table
    from audit_pipeline.cli.status import status_table

    console = stdout_console()
    days = survey(settings, days_between(first, last))
    manifests = [day.manifest for day in days if day.manifest]
    start = max(first, last - timedelta(days=settings.query_max_days - 1))
    story = last_changes(settings, "Order", "500", start, last, limit=_LAST_CHANGES)
    for shown in (
        status_table("what each day holds", days),
        changes_table("the last changes of Order 500 and what belongs to it (DuckDB)", story, most_differences=5),
        reasons_table("what is in quarantine", manifests),
    ):
        console.print()
        console.print(shown)


def _say_what_next(sandbox: "Sandbox") -> None:
    is_default = sandbox.folder == Path(".demo").resolve()
    source = f"set -a; . {sandbox.shell_path}; set +a"
    ui = "make dev" if is_default else f"{source}; dagster dev -m audit_pipeline.definitions"
    console = stdout_console()
    for line in (
        "",
        f"the table      {sandbox.folder}/lake/auditlog_parquet",
        f"more commands  {source}; audit-pipeline quarantine",
        f"open the UI    {ui}  (then http://localhost:3000)",
    ):
        console.print(line, soft_wrap=True)
