"""``demo``: a week of simulated traffic with one bad day, materialized and queried, in one folder."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from audit_pipeline.cli.options import OptionalLast
from audit_pipeline.cli.output import stdout_console

if TYPE_CHECKING:
    from audit_pipeline.cli.sandbox import Sandbox
    from audit_pipeline.orchestration.launch import DayResult
    from audit_pipeline.settings import Settings
    from audit_pipeline.simulate import Incident, Shares

__all__ = ["demo"]

_LAST_CHANGES: Final = 5
#: Firehose's default. With fewer seconds there are more objects, which take most of a small demo's time.
_BUFFER_SECONDS: Final = 300
#: Days from the sandbox's first to its bad day: in the middle of a week, with good days before and after.
_BAD_DAY: Final = 3
#: Not midnight's: the day before reads the first hour as its grace hour, and would be bad too.
_BAD_HOURS: Final = range(8, 20)


def demo(
    days: Annotated[int, typer.Option(min=1, max=366, help="How many days.")] = 7,
    events_per_day: Annotated[int, typer.Option(min=1, help="Events published a day, repeats aside.")] = 5000,
    last: OptionalLast = None,
    folder: Annotated[Path, typer.Option(help="Where everything goes.", file_okay=False)] = Path(".demo"),
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
) -> None:
    """Simulate a week up to yesterday, materialize it through Dagster, and show what came out.

    The fourth day is bad on purpose: a check holds it back. It needs no settings: raw, lake and Dagster's storage lie
    in the folder, and its file `env` has the settings for other commands. Run again, it runs the same days again, or
    adds the days since. Exit code 0 means that only the bad day failed.
    """
    from audit_pipeline.cli.days import yesterday
    from audit_pipeline.cli.materialize import exit_code_of_days, run_days
    from audit_pipeline.cli.sandbox import Sandbox, environment
    from audit_pipeline.cli.simulate import write_raw
    from audit_pipeline.settings import load_settings
    from audit_pipeline.simulate import Firehose

    last = last or yesterday()
    if last > yesterday():
        raise typer.BadParameter(f"--to {last} is not over yet (UTC)")
    first = last - timedelta(days=days - 1)
    sandbox = Sandbox.prepare(folder, first=first, events_per_day=events_per_day, seed=seed)
    bad_day = sandbox.start_date + timedelta(days=_BAD_DAY)
    console = stdout_console()
    with environment(sandbox.variables()):
        settings = load_settings()
        write_raw(
            settings,
            first,
            last,
            events_per_day,
            seed,
            firehose=Firehose(buffer_seconds=_BUFFER_SECONDS),
            shares=_shares(),
            incident=_incident(bad_day),
        )
        results = run_days(settings, first, last)
        held_back = [result.partition for result in results if _is_held_back(result, bad_day)]
        _explain(console, held_back)
        _show(console, settings, first, last)
        _say_what_next(console, settings, sandbox, last, held_back)
    raise typer.Exit(exit_code_of_days([result for result in results if result.partition not in held_back]))


def _shares() -> "Shares":
    """Traffic of which no check warns: nothing is malformed, and producers keep to the contract's words."""
    from audit_pipeline.simulate import Shares

    return Shares(malformed=0, conflict=0, missing=0, own_action=0)


def _incident(day: date) -> "Incident":
    from audit_pipeline.simulate import Incident

    midnight = datetime.combine(day, time(), UTC)
    hours = (midnight + timedelta(hours=hour) for hour in (_BAD_HOURS.start, _BAD_HOURS.stop))
    return Incident(start=next(hours), end=next(hours))


def _is_held_back(result: "DayResult", bad_day: date) -> bool:
    from audit_pipeline.quality.builtin import READABLE_SHARE

    return result.partition == bad_day and result.failed_checks == (READABLE_SHARE,)


def _explain(console: Console, held_back: Sequence[date]) -> None:
    for day in held_back:
        console.print(
            f"\n{day} is bad on purpose: from {_BAD_HOURS.start:02}:00 to {_BAD_HOURS.stop:02}:00 UTC, the simulated "
            f"services send `detail` as a text where an object belongs. These events are in quarantine, so many that "
            f"the check readable_share holds the day back. Nothing is wrong with the other days."
        )


def _show(console: Console, settings: "Settings", first: date, last: date) -> None:
    from audit_pipeline.cli.changes import changes_table
    from audit_pipeline.cli.days import days_between, survey
    from audit_pipeline.cli.history import last_changes
    from audit_pipeline.cli.quarantine import reasons_table
    from audit_pipeline.cli.status import print_status

    days = survey(settings, days_between(first, last))
    manifests = [day.manifest for day in days if day.manifest]
    story = last_changes(settings, "Order", "500", _question_start(settings, last), last, limit=_LAST_CHANGES)
    question = "What happened to Order 500 and what belongs to it, and who did it? The last changes:"
    console.print()
    print_status("What each day holds:", days)
    for shown in (reasons_table("What is in quarantine:", manifests), changes_table(question, story)):
        console.print()
        shown.print(console)


def _question_start(settings: "Settings", last: date) -> date:
    return max(settings.start_date, last - timedelta(days=settings.query_max_days - 1))


def _say_what_next(
    console: Console, settings: "Settings", sandbox: "Sandbox", last: date, held_back: Sequence[date]
) -> None:
    from audit_pipeline.cli.sandbox import program

    command = program()
    start = _question_start(settings, last)
    lines = [
        "",
        "The same question, and others, as commands:",
        "",
        f"  set -a; . {sandbox.shell_path}; set +a   # the settings of this store",
        f"  {command} history Order 500 --from {start} --to {last} --limit {_LAST_CHANGES}",
        f"  {command} query --from {last} --to {last} --entity-type Order --action Delete --limit 5",
        f'  {command} sql "SELECT dt, source, count(*) AS changes FROM auditlog GROUP BY 1, 2 ORDER BY 1, 2"',
        *(f"  {command} {words}" for day in held_back for words in _about_bad_day(day)),
        f"  {command} status",
        "",
        f"The same runs and checks in Dagster's UI: {sandbox.ui_command()}, then http://localhost:3000",
    ]
    for line in lines:
        console.print(line, soft_wrap=True)


def _about_bad_day(day: date) -> tuple[str, ...]:
    return (f"quality {day}   # why the day is held back", f"quarantine --from {day} --to {day} --limit 3")
