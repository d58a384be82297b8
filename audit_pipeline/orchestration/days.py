"""One day of a Dagster run, from its hour folders to the table. A day that fails does not stop the days after it."""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property

from audit_pipeline.catalog import Table
from audit_pipeline.engines import Engine, run_partition
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
    STRAYS,
    TABLE,
    UNNAMED_FILES,
)
from audit_pipeline.orchestration.partitions import due_at
from audit_pipeline.orchestration.report import Metadata, describe_inventory, describe_manifest, describe_table
from audit_pipeline.orchestration.resources import AuditLake
from audit_pipeline.quality import check_quality
from audit_pipeline.quality.builtin import ROWS_PER_SOURCE
from audit_pipeline.quality.conservation import check_conservation
from audit_pipeline.quality.hour_coverage import check_hour_coverage
from audit_pipeline.quality.strays import check_strays
from audit_pipeline.quality.unnamed_files import check_unnamed_files
from audit_pipeline.quality.verdicts import Verdict
from audit_pipeline.store.manifest import Manifest, read_manifest
from audit_pipeline.store.raw import take_inventory

__all__ = ["DayOutcome", "DayRunner"]


@dataclass
class DayOutcome:
    """The metadata of the assets that were materialized, the checks' verdicts, and the error that ended the day."""

    partition: date
    materialized: dict[str, Metadata] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    error: Exception | None = None

    @property
    def problem(self) -> str | None:
        """The error in one line."""
        if self.error is None:
            return None
        advice = f" ({ACCEPT_VANISHED_RAW_ADVICE})" if isinstance(self.error, RawVanishedError) else ""
        return " ".join(f"{type(self.error).__name__}: {self.error}{advice}".split())

    @property
    def is_retryable(self) -> bool:
        """Whether the day may succeed if it runs again at once."""
        return isinstance(self.error, StoreError | LostLockError)


@dataclass(frozen=True)
class DayRunner:
    """Materializes the assets and evaluates the checks (by name) that a Dagster run selects, day by day."""

    lake: AuditLake
    engine: Engine
    assets: Collection[str]
    checks: Collection[str]
    run_id: str
    accept_vanished_raw: bool
    log: logging.Logger

    def run(self, partition: date) -> DayOutcome:
        """Run everything that is selected of one day, in order, up to the first error."""
        day = DayOutcome(partition)
        steps: list[tuple[Callable[[DayOutcome], None], bool]] = [
            (self._take_inventory, RAW in self.assets or not {HOUR_COVERAGE, STRAYS}.isdisjoint(self.checks)),
            (self._write, PARQUET in self.assets),
            (self._check_files, not {CONSERVATION, UNNAMED_FILES}.isdisjoint(self.checks)),
            (self._check_quality, bool(self._quality_checks)),
            (self._look_up, TABLE in self.assets),
        ]
        try:
            for step, is_selected in steps:
                if is_selected:
                    step(day)
        except Exception as error:
            if not isinstance(error, AuditPipelineError):
                self.log.exception("%s: a defect of the pipeline", partition)
            day.error = error
        return day

    def _take_inventory(self, day: DayOutcome) -> None:
        raw = self.lake.open_raw()
        inventory = take_inventory(raw, day.partition, self.lake.settings.grace_hours)
        if RAW in self.assets:
            day.materialized[RAW] = describe_inventory(raw, inventory)
        if HOUR_COVERAGE in self.checks:
            verdict = check_hour_coverage(day.partition, inventory.inputs, len(inventory.strays))
            day.verdicts[HOUR_COVERAGE] = self._of_day_so_far(day, verdict)
        if STRAYS in self.checks:
            day.verdicts[STRAYS] = check_strays(inventory.strays)

    def _write(self, day: DayOutcome) -> None:
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
        # else an earlier attempt of this run wrote the day; this attempt is for another day
        self.log.info(
            "%s: %s events, %s rows in %s files, %s quarantined",
            *(day.partition, f"{manifest.events.read:,}", f"{manifest.rows:,}"),
            *(f"{len(manifest.outputs):,}", f"{manifest.quarantined_records:,}"),
        )
        day.materialized[PARQUET] = describe_manifest(lake, manifest)

    def _check_files(self, day: DayOutcome) -> None:
        """Both checks before either can end the day: each names files that the other one does not."""
        lake, manifest = self.lake.open_lake(), self._manifest(day)
        holding_back: list[str] = []
        if UNNAMED_FILES in self.checks:
            day.verdicts[UNNAMED_FILES], are_dates_clean = check_unnamed_files(lake, manifest)
            # a file under a date that is none of this day's must not keep it from the table
            holding_back += [] if are_dates_clean else [UNNAMED_FILES]
        if CONSERVATION in self.checks:
            day.verdicts[CONSERVATION] = check_conservation(lake, manifest)
            holding_back += [] if day.verdicts[CONSERVATION].passed else [CONSERVATION]
        if holding_back:
            raise FailedCheckError(
                "; ".join(f"check {name} failed: {day.verdicts[name].description}" for name in holding_back)
            )

    def _check_quality(self, day: DayOutcome) -> None:
        verdicts = check_quality(self.lake.settings, self.lake.open_lake(), self._manifest(day), self._quality_checks)
        if ROWS_PER_SOURCE in verdicts:
            verdicts[ROWS_PER_SOURCE] = self._of_day_so_far(day, verdicts[ROWS_PER_SOURCE])
        day.verdicts |= verdicts
        failures = [
            f"check {name} failed: {verdict.description}"
            for name, verdict in verdicts.items()
            if not verdict.passed and verdict.severity == "error"
        ]
        if failures:
            raise FailedCheckError("; ".join(failures))

    @property
    def _quality_checks(self) -> Collection[str]:
        return [name for name in self.checks if name not in (HOUR_COVERAGE, STRAYS, CONSERVATION, UNNAMED_FILES)]

    def _of_day_so_far(self, day: DayOutcome, verdict: Verdict) -> Verdict:
        """The verdict of a check on a whole day, which cannot fail while the day is under way."""
        if verdict.passed or datetime.now(UTC) >= due_at(day.partition, self.lake.settings.grace_hours):
            return verdict
        return replace(verdict, passed=True, description=f"the day is not over yet; so far: {verdict.description}")

    def _look_up(self, day: DayOutcome) -> None:
        manifest = self._manifest(day)
        table = self._table
        in_table = table.look_up(manifest)
        if in_table.rows_owned != manifest.rows:
            raise ConservationError(
                f"{table.location} shows {in_table.rows_owned:,} rows of partition {day.partition}, but "
                f"{manifest.rows:,} were written: run the partition again"
            )
        day.materialized[TABLE] = describe_table(table.location, in_table)

    @cached_property
    def _table(self) -> Table:
        """The table, defined once for all days of the run."""
        table = self.lake.open_table()
        table.define()
        return table

    def _manifest(self, day: DayOutcome) -> Manifest:
        manifest = read_manifest(self.lake.open_lake(), day.partition)
        if manifest is None:
            raise AuditPipelineError(f"partition {day.partition} has no manifest: materialize {PARQUET} first")
        return manifest
