"""Which events open a finding, make it worse or end it: each of these is one alert, and no other event is."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime

from msgspec.structs import replace

from audit_pipeline.orchestration.alerts import texts
from audit_pipeline.orchestration.alerts.alert import SEVERITIES, Alert, Severity, Status, id_of
from audit_pipeline.orchestration.alerts.events import (
    CheckEvaluated,
    Event,
    LateFilesFound,
    Materialized,
    RunFailed,
)
from audit_pipeline.orchestration.alerts.state import Finding
from audit_pipeline.orchestration.names import TABLE
from audit_pipeline.orchestration.partitions import due_at

__all__ = ["Findings"]


class Findings:
    """The open findings, and the alerts for the events that were added.

    ``grace_hours`` decide when a day is complete in raw. A table that was written before that, by an hourly run of the
    day under way, has not met the day's deadline.
    """

    def __init__(self, open_findings: Iterable[Finding], grace_hours: int) -> None:
        self._open = {finding.key: finding for finding in open_findings}
        self._grace_hours = grace_hours
        self.alerts: list[Alert] = []

    @property
    def open(self) -> tuple[Finding, ...]:
        return tuple(self._open.values())

    def take(self, event: Event) -> None:
        if isinstance(event, CheckEvaluated):
            self._take_check(event)
        elif isinstance(event, RunFailed):
            for partition, problem in event.days.items():
                finding = Finding("failed_run", "", partition, "error", event.id, event.awaits)
                text = texts.failed_run(partition, problem, event.run_id)
                self._report(finding, event.id, event.at, text, event.run_id)
        elif isinstance(event, LateFilesFound):
            self._take_late_files(event)
        else:
            self._take_materialization(event)

    def miss_deadline(self, partition: str, deadline: datetime) -> None:
        finding = Finding("missed_deadline", "", partition, "error", 0)
        others = [other for other in self._of(partition) if other.kind in ("failed_check", "failed_run")]
        errors = [other for other in others if other.severity == "error"]
        self._report(finding, 0, deadline, texts.missed_deadline(partition, deadline, errors), None)

    def _take_check(self, event: CheckEvaluated) -> None:
        finding = Finding("failed_check", f"{event.asset}/{event.check}", event.partition, event.severity, event.id)
        if event.passed:
            self._end(finding.key, event.id, event.at, event.run_id)
        else:
            self._report(finding, event.id, event.at, texts.failed_check(event), event.run_id)
        for other in self._of(event.partition):
            # the outcome of the check has an alert of its own
            if other.kind == "failed_run" and other.awaits == event.check:
                self._end(other.key, event.id, event.at, event.run_id)

    def _take_late_files(self, event: LateFilesFound) -> None:
        files = event.files
        severity: Severity = "warn"
        if not isinstance(files, str):
            severity = "error" if files.problem else "info" if files.requested else "warn"
        subject = str(event.id) if isinstance(files, str) else files.fingerprint
        finding = Finding("late_files", subject, event.partition, severity, event.id)
        self._report(finding, event.id, event.at, texts.late_files(event), None)

    def _take_materialization(self, event: Materialized) -> None:
        for finding in self._of(event.partition):
            if self._is_ended_by(event, finding):
                self._end(finding.key, event.id, event.at, event.run_id)

    def _is_ended_by(self, event: Materialized, finding: Finding) -> bool:
        if finding.kind == "failed_run":
            return event.asset in (finding.awaits, TABLE)
        if finding.kind == "missed_deadline":
            return event.asset == TABLE and self.is_whole(event.partition, event.at)
        return finding.kind == "late_files" and event.asset == TABLE

    def is_whole(self, partition: str | None, at: datetime) -> bool:
        """Whether a table that was written at that time has the whole day."""
        return partition is not None and at >= due_at(date.fromisoformat(partition), self._grace_hours)

    def _of(self, partition: str | None) -> Sequence[Finding]:
        """The open findings of the partition, and those without one."""
        return [finding for finding in self._open.values() if finding.partition in (partition, None)]

    def _report(self, finding: Finding, event_id: int, at: datetime, text: texts.AlertText, run_id: str | None) -> None:
        """Add an alert, unless the finding is open already and no worse."""
        known = self._open.get(finding.key)
        if known is None:
            self._open[finding.key] = finding
            self._add(finding, "open", event_id, at, text, run_id)
            return
        worse = SEVERITIES.index(finding.severity) > SEVERITIES.index(known.severity)
        severity = finding.severity if worse else known.severity
        self._open[finding.key] = replace(known, severity=severity, awaits=finding.awaits)
        if worse:
            self._add(self._open[finding.key], "open", event_id, at, text, run_id)

    def _end(self, key: tuple[str, str, str | None], event_id: int, at: datetime, run_id: str | None) -> None:
        known = self._open.get(key)
        if known is not None and known.since < event_id:
            del self._open[key]
            self._add(known, "recovered", event_id, at, texts.recovered(known), run_id)

    def _add(
        self, finding: Finding, status: Status, event_id: int, at: datetime, text: texts.AlertText, run_id: str | None
    ) -> None:
        identity = id_of(*finding.key, finding.since)
        alert = Alert(
            id=id_of(identity, status, finding.severity, event_id),
            finding=identity,
            kind=finding.kind,
            severity=finding.severity,
            status=status,
            partition=finding.partition,
            title=text.title,
            text=text.text,
            what_to_do=text.what_to_do,
            at=at,
            run_id=run_id,
            details=text.details,
        )
        self.alerts.append(alert)
