"""Which events open a finding, make it worse or end it: each of these is one alert, and nothing else is."""

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
    """The open findings, and the alerts that have come of what was taken in since.

    ``grace_hours`` decide from when on a day is complete in raw. A table that was written before, by an hourly run of
    the day under way, has not met the day's deadline.
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
                words = texts.failed_run(partition, problem, event.run_id)
                self._tell(finding, event.id, event.at, words, event.run_id)
        elif isinstance(event, LateFilesFound):
            self._take_late_files(event)
        else:
            self._take_materialization(event)

    def miss_deadline(self, partition: str, deadline: datetime) -> None:
        finding = Finding("missed_deadline", "", partition, "error", 0)
        others = [other for other in self._of(partition) if other.kind in ("failed_check", "failed_run")]
        errors = [other for other in others if other.severity == "error"]
        self._tell(finding, 0, deadline, texts.missed_deadline(partition, deadline, errors), None)

    def _take_check(self, event: CheckEvaluated) -> None:
        finding = Finding("failed_check", f"{event.asset}/{event.check}", event.partition, event.severity, event.id)
        if event.passed:
            self._end(finding.key, event.id, event.at, event.run_id)
        else:
            self._tell(finding, event.id, event.at, texts.failed_check(event), event.run_id)
        for other in self._of(event.partition):
            # its own outcome has its own alert
            if other.kind == "failed_run" and other.awaits == event.check:
                self._end(other.key, event.id, event.at, event.run_id)

    def _take_late_files(self, event: LateFilesFound) -> None:
        files = event.files
        severity: Severity = "warn"
        if not isinstance(files, str):
            severity = "error" if files.problem else "info" if files.requested else "warn"
        subject = str(event.id) if isinstance(files, str) else files.fingerprint
        finding = Finding("late_files", subject, event.partition, severity, event.id)
        self._tell(finding, event.id, event.at, texts.late_files(event), None)

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
        """Whether a table written then has the whole day."""
        return partition is not None and at >= due_at(date.fromisoformat(partition), self._grace_hours)

    def _of(self, partition: str | None) -> Sequence[Finding]:
        """Those of the partition, and those of none."""
        return [finding for finding in self._open.values() if finding.partition in (partition, None)]

    def _tell(self, finding: Finding, event_id: int, at: datetime, words: texts.Words, run_id: str | None) -> None:
        """One message, unless the finding is open and no worse than it was."""
        known = self._open.get(finding.key)
        if known is None:
            self._open[finding.key] = finding
            self._add(finding, "open", event_id, at, words, run_id)
            return
        worse = SEVERITIES.index(finding.severity) > SEVERITIES.index(known.severity)
        severity = finding.severity if worse else known.severity
        self._open[finding.key] = replace(known, severity=severity, awaits=finding.awaits)
        if worse:
            self._add(self._open[finding.key], "open", event_id, at, words, run_id)

    def _end(self, key: tuple[str, str, str | None], event_id: int, at: datetime, run_id: str | None) -> None:
        known = self._open.get(key)
        if known is not None and known.since < event_id:
            del self._open[key]
            self._add(known, "recovered", event_id, at, texts.recovered(known), run_id)

    def _add(
        self, finding: Finding, status: Status, event_id: int, at: datetime, words: texts.Words, run_id: str | None
    ) -> None:
        identity = id_of(*finding.key, finding.since)
        alert = Alert(
            id=id_of(identity, status, finding.severity, event_id),
            finding=identity,
            kind=finding.kind,
            severity=finding.severity,
            status=status,
            partition=finding.partition,
            title=words.title,
            text=words.text,
            what_to_do=words.what_to_do,
            at=at,
            run_id=run_id,
            details=words.details,
        )
        self.alerts.append(alert)
