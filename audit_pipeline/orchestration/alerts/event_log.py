"""Reads the event log of a Dagster instance."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg
import msgspec

from audit_pipeline.orchestration.alerts.events import (
    CheckEvaluated,
    Event,
    LateFiles,
    LateFilesFound,
    Materialized,
)
from audit_pipeline.orchestration.alerts.failed_runs import run_failed
from audit_pipeline.orchestration.names import ASSETS, LATE_FILES, RAW, TABLE

__all__ = ["newest_event_id", "read_events", "times_in_table"]

#: In the metadata of a failed check: the advice for a person.
_WHAT_TO_DO: Final = "what_to_do"
#: In the same metadata: the keys of bad rows, as a list or a table.
_ROWS: Final = "rows"

_PAGE: Final = 200
_TYPES: Final = (
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_OBSERVATION,
)
_ROWS_SHOWN: Final = 5


def newest_event_id(instance: dg.DagsterInstance) -> int:
    """The id of the newest event; 0 if there is none."""
    return instance.event_log_storage.get_maximum_record_id() or 0


def read_events(instance: dg.DagsterInstance, after: int, seen: Collection[int]) -> Iterator[tuple[int, Event | None]]:
    """The events with an id above ``after``, except those ``seen``, by id and in the order of their ids.

    An event that is not about this pipeline is None.
    """
    for event_id, entry in _read_log(instance, after):
        if event_id not in seen:
            yield event_id, _interpret(instance, event_id, entry)


def times_in_table(instance: dg.DagsterInstance, partitions: Collection[str]) -> Mapping[str, datetime]:
    """When each of the partitions was last materialized in the table; those that never were are left out."""
    table = dg.AssetKey(TABLE)
    newest = instance.get_latest_storage_id_by_partition(
        table, dg.DagsterEventType.ASSET_MATERIALIZATION, set(partitions)
    )
    if not newest:
        return {}
    materializations = instance.fetch_materializations(
        dg.AssetRecordsFilter(table, storage_ids=list(newest.values())), limit=len(newest)
    )
    times = {record.storage_id: datetime.fromtimestamp(record.timestamp, UTC) for record in materializations.records}
    return {partition: times[event_id] for partition, event_id in newest.items() if event_id in times}


def _read_log(instance: dg.DagsterInstance, after: int) -> Iterator[tuple[int, dg.EventLogEntry]]:
    # With SQLite, `instance.get_event_records` reads check evaluations run by run and does not accept ids. This reads
    # the log of all runs in any storage, as Dagster's own daemon does.
    storage = instance.event_log_storage
    while True:
        pages = [storage.get_logs_for_all_runs_by_log_id(after, kind, limit=_PAGE) for kind in _TYPES]
        # past the end of a full page, more events of its type may precede those of the other types
        horizon = min((max(page) for page in pages if len(page) == _PAGE), default=None)
        entries = {event_id: entry for page in pages for event_id, entry in page.items()}
        yield from ((n, entries[n]) for n in sorted(entries) if horizon is None or n <= horizon)
        if horizon is None:
            return
        after = horizon


def _interpret(instance: dg.DagsterInstance, event_id: int, entry: dg.EventLogEntry) -> Event | None:
    event = entry.dagster_event
    if event is None:
        return None
    at = datetime.fromtimestamp(entry.timestamp, UTC)
    if event.event_type == dg.DagsterEventType.RUN_FAILURE:
        return run_failed(instance, event_id, at, entry)
    if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        return _check_evaluated(event_id, at, entry.run_id or None, event.asset_check_evaluation_data)
    asset = event.asset_key.to_user_string() if event.asset_key else ""
    if event.event_type == dg.DagsterEventType.ASSET_OBSERVATION:
        metadata = event.asset_observation_data.asset_observation.metadata
        if asset != RAW or LATE_FILES not in metadata:
            return None
        return LateFilesFound(event_id, at, event.partition, _late_files(metadata[LATE_FILES].value))
    return Materialized(event_id, at, entry.run_id or None, asset, event.partition) if asset in ASSETS else None


def _check_evaluated(
    event_id: int, at: datetime, run_id: str | None, evaluation: dg.AssetCheckEvaluation
) -> CheckEvaluated | None:
    asset = evaluation.asset_key.to_user_string()
    if asset not in ASSETS:
        return None
    what_to_do = evaluation.metadata.get(_WHAT_TO_DO)
    return CheckEvaluated(
        id=event_id,
        at=at,
        run_id=run_id,
        asset=asset,
        check=evaluation.check_name,
        partition=evaluation.partition,
        passed=evaluation.passed,
        severity="warn" if evaluation.severity == dg.AssetCheckSeverity.WARN else "error",
        blocking=bool(evaluation.blocking),
        description=evaluation.description or "",
        what_to_do="" if what_to_do is None else str(what_to_do.value),
        rows=_rows_of(evaluation.metadata.get(_ROWS)),
    )


def _rows_of(metadata: dg.MetadataValue[Any] | None) -> Sequence[str]:
    rows: Sequence[object] = []
    if isinstance(metadata, dg.TableMetadataValue):
        rows = [record.data for record in metadata.records]
    elif isinstance(metadata, dg.JsonMetadataValue) and isinstance(metadata.data, list):
        rows = metadata.data
    return [_row(row) for row in rows[:_ROWS_SHOWN]]


def _row(item: object) -> str:
    return ", ".join(f"{name}={value}" for name, value in item.items()) if isinstance(item, Mapping) else str(item)


def _late_files(value: object) -> LateFiles | str:
    try:
        return msgspec.convert(value, LateFiles)
    except msgspec.ValidationError as error:
        return str(error)
