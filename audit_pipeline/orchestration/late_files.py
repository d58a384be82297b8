"""The sensor of late files: it asks for a run of just the days whose raw objects have changed since they ran."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import dagster as dg
import msgspec

from audit_pipeline.engines.late_files import ChangedDay, LateFiles
from audit_pipeline.orchestration.in_flight import partitions_in_flight
from audit_pipeline.orchestration.names import JOB, LATE_FILES, LATE_FILES_SENSOR, RAW
from audit_pipeline.orchestration.partitions import newest_due_days
from audit_pipeline.orchestration.report import markdown_table
from audit_pipeline.orchestration.resources import AuditLake
from audit_pipeline.settings import Settings
from audit_pipeline.store.changes import RawChanges

__all__ = ["LATE_FILES_TAG", "build_late_files_sensor"]

#: Of a run that the sensor asked for: why.
LATE_FILES_TAG: Final = "audit_pipeline/late_files"

_INTERVAL_SECONDS: Final = 300
#: Dagster ends a tick after 60 seconds; a sweep that takes longer goes on at the next one.
_LOOK_SECONDS: Final = 30
#: Keys of each kind that an observation shows.
_SHOWN: Final = 20
#: A tag stands in an index, and Postgres refuses values there that are longer than about 2,700 bytes.
_SHOWN_IN_TAG: Final = 2
_TAG_LENGTH: Final = 600


class _State(msgspec.Struct):
    """The sensor's cursor.

    ``marks``: by day, what was dealt with. ``swept_on``: the day of the last sweep; ``to_sweep``: what is left of it.
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
            f"Runs days again whose hour folders have new, changed or vanished objects: the newest {settings.late_days}"
            f" days are watched all day, the newest {settings.late_sweep_days} are looked at once a day."
        ),
    )
    def late_files(context: dg.SensorEvaluationContext, lake: dg.ResourceParam[AuditLake]) -> dg.SensorResult:
        state = _decoded(context)
        look = _Look(context, settings, datetime.now(UTC), state.marks)
        state.to_sweep = look.take(lake, _days_to_look_at(settings, look.now, state))
        return dg.SensorResult(
            run_requests=look.requests,
            skip_reason=None if look.requests else dg.SkipReason("; ".join(look.waiting) or "no late files"),
            cursor=msgspec.json.encode(state).decode(),
            asset_events=look.observations,
        )

    return late_files


def _decoded(context: dg.SensorEvaluationContext) -> _State:
    try:
        return msgspec.json.decode(context.cursor or "{}", type=_State)
    except msgspec.MsgspecError as error:
        context.log.warning("the cursor cannot be read, all days are looked at anew: %s", error)
        return _State()


def _days_to_look_at(settings: Settings, now: datetime, state: _State) -> list[date]:
    """The days that are watched, then those left of the sweep. Forgets the marks of days that have become too old."""
    watched = newest_due_days(settings, now, settings.late_days)
    swept = newest_due_days(settings, now, max(settings.late_days, settings.late_sweep_days))
    if state.swept_on != now.date():
        state.swept_on, state.to_sweep = now.date(), swept
    for day in state.marks.keys() - set(swept):
        del state.marks[day]
    return [*watched, *(day for day in state.to_sweep if day not in watched)]


@dataclass
class _Look:
    """One tick. ``marks`` are changed in place: what has been dealt with is not told again."""

    context: dg.SensorEvaluationContext
    settings: Settings
    now: datetime
    marks: dict[date, str]
    requests: list[dg.RunRequest] = field(default_factory=list)
    observations: list[dg.AssetObservation] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)

    def take(self, lake: AuditLake, days: Sequence[date]) -> list[date]:
        """Look at these days; those that are left for the next tick are given back."""
        late = LateFiles(lake.open_raw(), lake.open_lake(), self.settings.grace_hours)
        busy = partitions_in_flight(self.context.instance)
        ends = time.monotonic() + _LOOK_SECONDS
        left = set(days)
        for day, found in late.look(days, self.marks, until=lambda: time.monotonic() > ends):
            if isinstance(found, Exception):
                self._tell_of_error(day, found)
            elif found is not None and (reason := self._reason_to_wait(found, is_busy=day in busy)):
                self.waiting.append(f"{day}: {reason}")
                continue
            elif found is not None:
                self._deal_with(found)
            left.discard(day)
        return sorted(left)

    def _reason_to_wait(self, day: ChangedDay, *, is_busy: bool) -> str | None:
        if not day.changes or day.has_expired:
            return None
        if is_busy:
            return "raw has changed, and a run is under way"
        if not day.is_settled(self.now, timedelta(minutes=self.settings.late_settle_minutes)):
            return f"raw has changed; files still came in the last {self.settings.late_settle_minutes} minutes"
        if len(self.requests) >= self.settings.late_max_runs:
            return f"raw has changed; {self.settings.late_max_runs} runs are asked for already"
        return None

    def _deal_with(self, day: ChangedDay) -> None:
        self.marks[day.partition] = day.mark
        if not day.changes:
            return
        if day.has_expired:
            problem = (
                f"all {len(day.changes.vanished):,} raw objects of {day.partition} are gone: the table keeps what they "
                f"gave, and the day is not run again. If they have not expired, put them back"
            )
            self._observe(day.partition, day.mark, day.changes, problem)
            return
        self._observe(day.partition, day.mark, day.changes, None)
        self.requests.append(
            dg.RunRequest(
                # with the mark, in which the day's last run is too: once a change, and not only once for ever
                run_key=f"{day.partition}|{day.mark[:32]}",
                partition_key=day.partition.isoformat(),
                tags={LATE_FILES_TAG: _in_short(day.changes)},
            )
        )

    def _tell_of_error(self, day: date, error: Exception) -> None:
        self.context.log.error("%s cannot be compared with its raw: %s", day, error)
        mark = hashlib.sha256(str(error).encode()).hexdigest()
        if self.marks.get(day) != mark:
            self.marks[day] = mark
            self._observe(day, mark, RawChanges(), f"{day} cannot be compared with its raw: {error}")

    def _observe(self, day: date, mark: str, changes: RawChanges, problem: str | None) -> None:
        kinds = {"new": changes.new, "changed": changes.changed, "vanished": changes.vanished}
        told: dict[str, Any] = {kind: list(keys[:_SHOWN]) for kind, keys in kinds.items()}
        counts = {f"{kind}_count": len(keys) for kind, keys in kinds.items()}
        told |= counts | {"fingerprint": mark, "requested": problem is None, "problem": problem}
        rows = [(key, kind) for kind, keys in kinds.items() for key in keys[:_SHOWN]]
        self.context.log.info("%s: %s %s", day, _in_short(changes), problem or "")
        self.observations.append(
            dg.AssetObservation(
                RAW,
                partition=day.isoformat(),
                description=problem or f"raw has changed since {day} ran: {_in_short(changes)}",
                metadata={
                    LATE_FILES: dg.MetadataValue.json(told),
                    **{f"objects_{kind}": dg.MetadataValue.int(len(keys)) for kind, keys in kinds.items()},
                    "objects": dg.MetadataValue.md(markdown_table(["raw object", "is"], rows)),
                },
            )
        )


def _in_short(changes: RawChanges) -> str:
    """How many of each kind, and the first of them."""
    kinds = {"new": changes.new, "changed": changes.changed, "vanished": changes.vanished}
    told = (
        f"{len(keys):,} {kind}: {', '.join(keys[:_SHOWN_IN_TAG])}{' …' if len(keys) > _SHOWN_IN_TAG else ''}"
        for kind, keys in kinds.items()
        if keys
    )
    return "; ".join(told)[:_TAG_LENGTH]
