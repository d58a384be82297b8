"""The work of one day, from its hour folders to the table. A day that fails does not stop the days after it."""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property

from audit_pipeline.catalog import Table
from audit_pipeline.engines import Engine, run_partition
from audit_pipeline.engines.plan import list_inputs
from audit_pipeline.errors import (
    AuditPipelineError,
    ConservationError,
    FailedCheckError,
    LostLockError,
    RawVanishedError,
    StoreError,
)
from audit_pipeline.orchestration.names import (
    ACCEPT_VANISHED_RAW_ADVICE,
    CONSERVATION,
    HOUR_COVERAGE,
    PARQUET,
    RAW,
    TABLE,
)
from audit_pipeline.orchestration.partitions import due_at
from audit_pipeline.orchestration.report import Metadata, describe_inventory, describe_manifest, describe_table
from audit_pipeline.orchestration.resources import AuditLake
from audit_pipeline.orchestration.verdicts import check_conservation, check_hour_coverage
from audit_pipeline.quality import check_quality
from audit_pipeline.quality.builtin import ROWS_PER_SOURCE
from audit_pipeline.quality.verdict import Verdict
from audit_pipeline.store.manifest import Manifest, read_manifest

__all__ = ["Day", "Work"]


@dataclass
class Day:
    """What has come of a day: the metadata of the assets that were materialized, the checks' verdicts, the error."""

    partition: date
    materialized: dict[str, Metadata] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    error: Exception | None = None

    @property
    def problem(self) -> str | None:
        """What went wrong, in one line."""
        if self.error is None:
            return None
        advice = f" ({ACCEPT_VANISHED_RAW_ADVICE})" if isinstance(self.error, RawVanishedError) else ""
        return " ".join(f"{type(self.error).__name__}: {self.error}{advice}".split())

    @property
    def is_worth_a_retry(self) -> bool:
        """Whether running the day again at once may end better."""
        return isinstance(self.error, StoreError | LostLockError)


@dataclass(frozen=True)
class Work:
    """The assets and checks (by name) that one Dagster run was asked for, in all its days."""

    lake: AuditLake
    engine: Engine
    assets: Collection[str]
    checks: Collection[str]
    run_id: str
    accept_vanished_raw: bool
    log: logging.Logger

    def do(self, partition: date) -> Day:
        """Everything that was asked for of one day, in order, up to the first error."""
        day = Day(partition)
        steps: list[tuple[Callable[[Day], None], bool]] = [
            (self._take_inventory, RAW in self.assets or HOUR_COVERAGE in self.checks),
            (self._write, PARQUET in self.assets),
            (self._check_conservation, CONSERVATION in self.checks),
            (self._check_quality, bool(self._quality_checks)),
            (self._look_up, TABLE in self.assets),
        ]
        try:
            for step, wanted in steps:
                if wanted:
                    step(day)
        except Exception as error:
            if not isinstance(error, AuditPipelineError):
                self.log.exception("%s: a defect of the pipeline", partition)
            day.error = error
        return day

    def _take_inventory(self, day: Day) -> None:
        settings = self.lake.settings
        raw = self.lake.open_raw()
        objects = list_inputs(raw, day.partition, settings.grace_hours)
        if RAW in self.assets:
            day.materialized[RAW] = describe_inventory(raw, day.partition, objects)
        if HOUR_COVERAGE in self.checks:
            verdict = check_hour_coverage(day.partition, objects)
            day.verdicts[HOUR_COVERAGE] = self._of_day_so_far(day, verdict)

    def _write(self, day: Day) -> None:
        lake = self.lake.open_lake()
        manifest = read_manifest(lake, day.partition)
        if manifest is None or manifest.run_id != self.run_id:
            manifest = run_partition(
                self.lake.settings,
                day.partition,
                run_id=self.run_id,
                accept_vanished_raw=self.accept_vanished_raw,
                engine=self.engine,
            )
        # else an earlier attempt of this run has done it, and is repeated for another day's sake
        self.log.info(
            "%s: %s events, %s rows in %s files, %s quarantined",
            *(day.partition, f"{manifest.events.read:,}", f"{manifest.rows:,}"),
            *(f"{len(manifest.outputs):,}", f"{manifest.quarantined_records:,}"),
        )
        day.materialized[PARQUET] = describe_manifest(lake, manifest)

    def _check_conservation(self, day: Day) -> None:
        verdict = check_conservation(self.lake.open_lake(), self._manifest(day))
        day.verdicts[CONSERVATION] = verdict
        if not verdict.passed:
            raise FailedCheckError(f"check {CONSERVATION} failed: {verdict.description}")

    def _check_quality(self, day: Day) -> None:
        verdicts = check_quality(self.lake.settings, self.lake.open_lake(), self._manifest(day), self._quality_checks)
        if ROWS_PER_SOURCE in verdicts:
            verdicts[ROWS_PER_SOURCE] = self._of_day_so_far(day, verdicts[ROWS_PER_SOURCE])
        day.verdicts |= verdicts
        failed = {name: v for name, v in verdicts.items() if not v.passed and v.severity == "error"}
        if failed:
            told = "; ".join(f"check {name} failed: {verdict.description}" for name, verdict in failed.items())
            raise FailedCheckError(told)

    @property
    def _quality_checks(self) -> Collection[str]:
        return [name for name in self.checks if name not in (HOUR_COVERAGE, CONSERVATION)]

    def _of_day_so_far(self, day: Day, verdict: Verdict) -> Verdict:
        """The verdict of a check that looks at a whole day: of the day under way, it says nothing yet."""
        if verdict.passed or datetime.now(UTC) >= due_at(day.partition, self.lake.settings.grace_hours):
            return verdict
        return replace(verdict, passed=True, description=f"the day is not over yet; so far: {verdict.description}")

    def _look_up(self, day: Day) -> None:
        manifest = self._manifest(day)
        table = self._table
        found = table.look_up(manifest)
        if found.rows_owned != manifest.rows:
            raise ConservationError(
                f"{table.location} shows {found.rows_owned:,} rows of partition {day.partition}, but {manifest.rows:,} "
                f"were written: run the partition again"
            )
        day.materialized[TABLE] = describe_table(table.location, found)

    @cached_property
    def _table(self) -> Table:
        """The table, brought up to date once for all days of the run."""
        table = self.lake.open_table()
        table.define()
        return table

    def _manifest(self, day: Day) -> Manifest:
        manifest = read_manifest(self.lake.open_lake(), day.partition)
        if manifest is None:
            raise AuditPipelineError(f"partition {day.partition} has no manifest: materialize {PARQUET} first")
        return manifest
