"""The texts of alerts: plain text, a few lines each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from audit_pipeline.orchestration.alerts.alert import Kind
from audit_pipeline.orchestration.alerts.events import CheckEvaluated, LateFiles, LateFilesFound
from audit_pipeline.orchestration.alerts.state import Finding

__all__ = ["AlertText", "failed_check", "failed_run", "late_files", "missed_deadline", "recovered"]

_LONGEST: Final = 1000
_KEYS_SHOWN: Final = 5


@dataclass(frozen=True)
class AlertText:
    """``text`` has lines for what happened, its numbers and rows; ``details`` are the same as data."""

    title: str
    text: str
    what_to_do: str
    details: Mapping[str, object] = field(default_factory=dict)


def failed_check(event: CheckEvaluated) -> AlertText:
    is_held_back = event.blocking and event.severity == "error"
    lines = [
        f"Check {event.check} of asset {event.asset} failed for {_day(event.partition)}: "
        f"{_cut(event.description) or 'it gives no reason'}",
        "The day is held back from the table." if is_held_back else "The day is not held back from the table.",
        *(f"Row: {_cut(row, 300)}" for row in event.rows),
    ]
    advice = "Open the check in Dagster: its metadata has the number of bad rows and their keys. Fix the cause, then "
    return AlertText(
        title=f"Check {event.check} failed for {_day(event.partition)}",
        text="\n".join(lines),
        what_to_do=_cut(event.what_to_do) or f"{advice}materialize the partition again.",
        details={
            "asset": event.asset,
            "check": event.check,
            "blocking": event.blocking,
            "description": _cut(event.description),
            "rows": [_cut(row, 300) for row in event.rows],
        },
    )


def failed_run(partition: str | None, problem: str, run_id: str) -> AlertText:
    return AlertText(
        title=f"The run of {_day(partition)} failed",
        text=f"{_cut(problem)}\nRun: {run_id}",
        what_to_do="Open the run in Dagster, fix what it names, and materialize the partition again.",
        details={"problem": _cut(problem)},
    )


def missed_deadline(partition: str, deadline: datetime, others: Sequence[Finding]) -> AlertText:
    others_open = [f"Also open for this day: {_name(other)}." for other in others]
    return AlertText(
        title=f"{partition} is not in the table",
        text="\n".join([f"{partition} was due in the table by {deadline:%Y-%m-%d %H:%M} UTC.", *others_open]),
        what_to_do="Check that the schedule and the daemon are running, then materialize the partition.",
        details={"deadline": deadline.isoformat()},
    )


def late_files(event: LateFilesFound) -> AlertText:
    title = f"Late files of {_day(event.partition)}"
    files = event.files
    if isinstance(files, str):
        text = f"Late files were found, but their list cannot be read: {_cut(files)}"
        return AlertText(title, text, "Open the observation of the raw asset in Dagster, and report this as a defect.")
    lines = [f"{files.new_count:,} new, {files.changed_count:,} changed, {files.vanished_count:,} vanished."]
    lines += [f"{kind}: {key}" for kind, key in _keys(files)]
    if files.problem:
        lines.append(_cut(files.problem))
    if files.requested:
        what_to_do = "Nothing, if no further alert follows: a run of the partition was requested."
    else:
        what_to_do = "No run was requested. Find out what happened to the files, then materialize the partition."
    numbers = {"new": files.new_count, "changed": files.changed_count, "vanished": files.vanished_count}
    return AlertText(title, "\n".join(lines), what_to_do, {**numbers, "requested": files.requested})


def recovered(finding: Finding) -> AlertText:
    day = _day(finding.partition)
    outcomes: dict[Kind, str] = {
        "failed_check": f"Check {finding.subject.rpartition('/')[2]} passes for {day}",
        "failed_run": f"A later run of {day} succeeded",
        "missed_deadline": f"{day} is in the table",
        "late_files": f"The late files of {day} are in the table",
    }
    outcome = outcomes[finding.kind]
    return AlertText(f"Recovered: {outcome}", f"{outcome}.", "Nothing.")


def _name(finding: Finding) -> str:
    return f"check {finding.subject.rpartition('/')[2]} failed" if finding.kind == "failed_check" else "its run failed"


def _keys(files: LateFiles) -> Sequence[tuple[str, str]]:
    kinds = (("New", files.new), ("Changed", files.changed), ("Vanished", files.vanished))
    return [(kind, key) for kind, keys in kinds for key in keys][:_KEYS_SHOWN]


def _day(partition: str | None) -> str:
    return partition or "no partition"


def _cut(text: str, longest: int = _LONGEST) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
