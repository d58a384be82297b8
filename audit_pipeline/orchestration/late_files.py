"""The late-files sensor: it requests runs of just the days whose raw objects have changed since they ran."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import dagster as dg
import msgspec

from audit_pipeline.engines.late_files import ChangedDay, LateFiles
from audit_pipeline.orchestration.names import JOB, LATE_FILES, LATE_FILES_SENSOR, RAW
from audit_pipeline.orchestration.partitions import newest_due_days, partitions_in_flight
from audit_pipeline.orchestration.report import markdown_table
from audit_pipeline.orchestration.resources import AuditLake
from audit_pipeline.settings import Settings
from audit_pipeline.store.changes import RawChanges

__all__ = ["LATE_FILES_TAG", "build_late_files_sensor"]

#: The tag of a run that the sensor requested: the changes that are its reason.
LATE_FILES_TAG: Final = "audit_pipeline/late_files"

_INTERVAL_SECONDS: Final = 300
#: Dagster ends a tick after 60 seconds; a sweep that takes longer continues at the next one.
_TICK_SECONDS: Final = 30
#: Keys of each kind of change that an observation shows.
_SHOWN: Final = 20
#: Tags are indexed, and Postgres refuses indexed values of more than about 2,700 bytes.
_SHOWN_IN_TAG: Final = 2
_TAG_LENGTH: Final = 600


class _State(msgspec.Struct):
    """The sensor's cursor.

    ``marks``: the fingerprint of the changes that were last handled, by day. ``swept_on``: the day of the last sweep;
    ``to_sweep``: the days that are left of it.
    """

    marks: dict[date, str] = msgspec.field(default_factory=dict)
    swept_on: date | None = None
    to_sweep: list[date] = msgspec.field(default_factory=list)


def build_late_files_sensor(settings: Settings) -> dg.SensorDefinition:
    @dg.sensor(
        name=LATE_FILES_SENSOR,
        job_name=JOB,
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=(
            f"Runs days again whose hour folders have new, changed or vanished objects. The newest "
            f"{settings.late_days} days are compared all day, the newest {settings.late_sweep_days} once a day."
        ),
    )
    def late_files(context: dg.SensorEvaluationContext, lake: dg.ResourceParam[AuditLake]) -> dg.SensorResult:
        state = _decode(context)
        tick = _Tick(context, settings, datetime.now(UTC), state.marks)
        state.to_sweep = tick.compare(lake, _days_to_compare(settings, tick.now, state))
        return dg.SensorResult(
            run_requests=tick.requests,
            skip_reason=None if tick.requests else dg.SkipReason("; ".join(tick.waiting) or "no late files"),
            cursor=msgspec.json.encode(state).decode(),
            asset_events=tick.observations,
        )

    return late_files


def _decode(context: dg.SensorEvaluationContext) -> _State:
    try:
        return msgspec.json.decode(context.cursor or "{}", type=_State)
    except msgspec.MsgspecError as error:
        context.log.warning("the cursor cannot be read, all days are compared again: %s", error)
        return _State()


def _days_to_compare(settings: Settings, now: datetime, state: _State) -> list[date]:
    """The newest days, then those left of the sweep. Drops the marks of days that are older than the sweep reaches."""
    watched = newest_due_days(settings, now, settings.late_days)
    swept = newest_due_days(settings, now, max(settings.late_days, settings.late_sweep_days))
    if state.swept_on != now.date():
        state.swept_on, state.to_sweep = now.date(), swept
    for day in state.marks.keys() - set(swept):
        del state.marks[day]
    return [*watched, *(day for day in state.to_sweep if day not in watched)]


@dataclass
class _Tick:
    """One tick. ``marks`` are updated in place: changes that were handled are not reported again."""

    context: dg.SensorEvaluationContext
    settings: Settings
    now: datetime
    marks: dict[date, str]
    requests: list[dg.RunRequest] = field(default_factory=list)
    observations: list[dg.AssetObservation] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)

    def compare(self, lake: AuditLake, days: Sequence[date]) -> list[date]:
        """Compare these days with their raw objects. Returns the days that are left for the next tick."""
        late = LateFiles(lake.open_raw(), lake.open_lake(), self.settings.grace_hours)
        busy = partitions_in_flight(self.context.instance)
        deadline = time.monotonic() + _TICK_SECONDS
        left = set(days)
        for day, result in late.compare(days, self.marks, until=lambda: time.monotonic() > deadline):
            if isinstance(result, Exception):
                self._report_error(day, result)
            elif result is not None and (reason := self._reason_to_wait(result, is_busy=day in busy)):
                self.waiting.append(f"{day}: {reason}")
                continue
            elif result is not None:
                self._handle(result)
            left.discard(day)
        return sorted(left)

    def _reason_to_wait(self, day: ChangedDay, *, is_busy: bool) -> str | None:
        if not day.changes or day.has_expired:
            return None
        if is_busy:
            return "raw has changed, and a run is under way"
        if not day.is_settled(self.now, timedelta(minutes=self.settings.late_settle_minutes)):
            return f"raw has changed; files arrived in the last {self.settings.late_settle_minutes} minutes"
        if len(self.requests) >= self.settings.late_max_runs:
            return f"raw has changed; {self.settings.late_max_runs} runs are requested already"
        return None

    def _handle(self, day: ChangedDay) -> None:
        self.marks[day.partition] = day.mark
        if not day.changes:
            return
        if day.has_expired:
            problem = (
                f"all {len(day.changes.vanished):,} raw objects of {day.partition} are gone: the table keeps their "
                f"rows, and the day is not run again. If the objects have not expired, put them back"
            )
            self._observe(day.partition, day.mark, day.changes, problem)
            return
        self._observe(day.partition, day.mark, day.changes, None)
        self.requests.append(
            dg.RunRequest(
                # The mark covers the changes and the day's last run. Dagster never repeats a run key: with the day
                # alone, each day could be requested once ever.
                run_key=f"{day.partition}|{day.mark[:32]}",
                partition_key=day.partition.isoformat(),
                tags={LATE_FILES_TAG: _summary(day.changes)},
            )
        )

    def _report_error(self, day: date, error: Exception) -> None:
        problem = f"{day} cannot be compared with its raw objects: {error}"
        self.context.log.error(problem)
        mark = hashlib.sha256(str(error).encode()).hexdigest()
        if self.marks.get(day) != mark:
            self.marks[day] = mark
            self._observe(day, mark, RawChanges(), problem)

    def _observe(self, day: date, mark: str, changes: RawChanges, problem: str | None) -> None:
        kinds = _by_kind(changes)
        details: dict[str, Any] = {kind: list(keys[:_SHOWN]) for kind, keys in kinds.items()}
        counts = {f"{kind}_count": len(keys) for kind, keys in kinds.items()}
        details |= counts | {"fingerprint": mark, "requested": problem is None, "problem": problem}
        rows = [(key, kind) for kind, keys in kinds.items() for key in keys[:_SHOWN]]
        self.context.log.info("%s: %s %s", day, _summary(changes), problem or "")
        self.observations.append(
            dg.AssetObservation(
                RAW,
                partition=day.isoformat(),
                description=problem or f"raw has changed since {day} ran: {_summary(changes)}",
                metadata={
                    LATE_FILES: dg.MetadataValue.json(details),
                    **{f"objects_{kind}": dg.MetadataValue.int(len(keys)) for kind, keys in kinds.items()},
                    "objects": dg.MetadataValue.md(markdown_table(["raw object", "is"], rows)),
                },
            )
        )


def _summary(changes: RawChanges) -> str:
    """The number of changes of each kind, and the first keys."""
    summaries = (
        f"{len(keys):,} {kind}: {', '.join(keys[:_SHOWN_IN_TAG])}{' …' if len(keys) > _SHOWN_IN_TAG else ''}"
        for kind, keys in _by_kind(changes).items()
        if keys
    )
    return "; ".join(summaries)[:_TAG_LENGTH]


def _by_kind(changes: RawChanges) -> Mapping[str, Sequence[str]]:
    return {"new": changes.new, "changed": changes.changed, "vanished": changes.vanished}
