"""``materialize``: run the Dagster assets and checks of a range of days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from audit_pipeline.cli.exits import ExitCode
from audit_pipeline.cli.interrupts import interrupts_seen
from audit_pipeline.cli.options import AsJson, First, Last, check_order
from audit_pipeline.cli.output import print_json, printable, progress_bar
from audit_pipeline.errors import AuditPipelineError, PartitionBusyError, SettingsError

if TYPE_CHECKING:
    from audit_pipeline.orchestration.launch import DayResult
    from audit_pipeline.settings import Settings
    from audit_pipeline.store.manifest import Manifest

__all__ = ["exit_code_of_days", "materialize", "run_days"]


_AcceptVanishedRaw = Annotated[
    bool,
    typer.Option(
        "--accept-vanished-raw",
        help="Run days again whose raw objects are gone in part or whole, and drop the rows that those gave.",
    ),
]


def materialize(
    first: First, last: Last, as_json: AsJson = False, accept_vanished_raw: _AcceptVanishedRaw = False
) -> None:
    """Run the assets and checks of these days through Dagster, with its storage in DAGSTER_HOME.

    A day that ran before is run again and replaces its own files: with unchanged raw by the same bytes. A day whose raw
    has expired meanwhile is left as it is, and fails.
    """
    check_order(first, last)
    from audit_pipeline.cli.days import open_raw, today
    from audit_pipeline.orchestration.home import require_dagster_home
    from audit_pipeline.settings import load_settings

    settings = load_settings()
    require_dagster_home()
    open_raw(settings)
    if first < settings.start_date:
        raise SettingsError(f"{first} is before the first partition: set AUDIT_START_DATE={first} to begin earlier")
    if last > today():
        raise SettingsError(f"{last} has not begun yet (UTC): the last day that can be materialized is {today()}")
    results = run_days(settings, first, last, as_json=as_json, accept_vanished_raw=accept_vanished_raw)
    raise typer.Exit(exit_code_of_days(results))


def run_days(
    settings: "Settings", first: date, last: date, *, as_json: bool = False, accept_vanished_raw: bool = False
) -> "list[DayResult]":
    """Materialize with a progress bar and a line for each finished day."""
    from audit_pipeline.orchestration.launch import materialize

    with progress_bar(as_json=as_json) as bar, interrupts_seen() as is_interrupted:
        task = bar.add_task("materializing", total=(last - first).days + 1)
        started_at = datetime.now(UTC)

        def show(result: "DayResult") -> None:
            finished = _Finished(result, _manifest_since(settings, result.partition, started_at))
            if as_json:
                print_json(finished.to_json())
            else:
                bar.console.print(finished.line())
            bar.advance(task)
            if is_interrupted():
                raise KeyboardInterrupt

        return materialize(first, last, on_day=show, accept_vanished_raw=accept_vanished_raw)


def exit_code_of_days(results: "Sequence[DayResult]") -> ExitCode:
    bad = [r for r in results if not r.succeeded or r.failed_checks]
    if bad and all(_is_busy(r) for r in bad):
        return ExitCode.BUSY
    return ExitCode.FAILED if bad else ExitCode.OK


@dataclass(frozen=True)
class _Finished:
    """A day that this command has run. ``manifest`` is None where the run committed nothing."""

    result: "DayResult"
    manifest: "Manifest | None"

    def to_json(self) -> dict[str, Any]:
        from audit_pipeline.cli.days import numbers_of

        return {
            "partition": str(self.result.partition),
            "succeeded": self.result.succeeded,
            "failed_checks": list(self.result.failed_checks),
            "warnings": list(self.result.warnings),
            "error": self.result.error,
            **(numbers_of(self.manifest) if self.manifest else {}),
        }

    def line(self) -> Text:
        error = self.result.error or ""
        problems = [words for name in self.result.failed_checks if (words := f"check {name} failed") not in error]
        if not self.result.succeeded and (error or not problems):
            problems.insert(0, error or "the run failed")
        warnings = [f"check {name} warns" for name in self.result.warnings]
        mark = ("✗ ", "bold red") if problems else ("✓ ", "green")
        return Text.assemble(mark, self._numbers(), *_styled(problems, "red"), *_styled(warnings, "yellow"))

    def _numbers(self) -> str:
        m = self.manifest
        if m is None:
            return str(self.result.partition)
        seconds = (m.finished_at - m.started_at).total_seconds()
        quarantined = f", {m.quarantined_records:,} quarantined" if m.quarantined_records else ""
        return f"{m.partition}  {m.events.read:>9,} events  {m.rows:>9,} rows{quarantined}, {seconds:.1f} s"


def _styled(messages: list[str], style: str) -> list[tuple[str, str]]:
    return [(printable(f"  {message}"), style) for message in messages]


def _manifest_since(settings: "Settings", partition: date, moment: datetime) -> "Manifest | None":
    """The partition's manifest, unless it is of an earlier run."""
    from audit_pipeline.cli.days import open_lake
    from audit_pipeline.store.manifest import read_manifest

    try:
        manifest = read_manifest(open_lake(settings), partition)
    except AuditPipelineError:  # no lake yet, or a damaged manifest, which the run itself reports
        return None
    return manifest if manifest and manifest.finished_at >= moment else None


def _is_busy(result: "DayResult") -> bool:
    return (result.error or "").startswith(f"{PartitionBusyError.__name__}: ")
