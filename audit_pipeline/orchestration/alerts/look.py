"""One look at the Dagster instance: the alerts for what is new since the last one."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from time import monotonic
from typing import Final

import dagster as dg

from audit_pipeline.orchestration.alerts.alert import Alert
from audit_pipeline.orchestration.alerts.event_log import newest_event_id, read_events, times_in_table
from audit_pipeline.orchestration.alerts.findings import Findings
from audit_pipeline.orchestration.alerts.state import State
from audit_pipeline.orchestration.partitions import due_at
from audit_pipeline.settings import Settings

__all__ = ["look", "start"]

_EVENTS_PER_LOOK: Final = 2_000
_SECONDS_PER_LOOK: Final = 8.0
#: An event gets its id before it becomes visible: up to this far below an id that was read, others may still appear.
_OVERLAP: Final = 200


def start(instance: dg.DagsterInstance) -> State:
    """The state of a first look: nothing is open, and past events are skipped, or each would become an alert."""
    newest = newest_event_id(instance)
    return State(start=newest, position=newest)


def look(
    instance: dg.DagsterInstance, settings: Settings, state: State, now: datetime
) -> tuple[State, Sequence[Alert]]:
    """The next state, with its outbox unchanged, and the alerts to send, in the order in which things happened.

    A look ends after some thousand events or some seconds; the next one continues there.
    """
    findings = Findings(state.open, settings.grace_hours)
    position, seen = _take_events(instance, state, findings)
    _take_deadlines(instance, settings, now, findings)
    after = State(state.start, position, seen, findings.open, state.outbox)
    return after, findings.alerts


def _take_events(instance: dg.DagsterInstance, state: State, findings: Findings) -> tuple[int, tuple[int, ...]]:
    """The new position, and the ids seen shortly before it."""
    # SQLite reuses the ids of the newest events if they are deleted
    position = min(state.position, newest_event_id(instance))
    seen = {event_id for event_id in state.seen if event_id <= position}
    began = monotonic()
    after = max(min(state.start, position), position - _OVERLAP)
    for count, (event_id, event) in enumerate(read_events(instance, after, frozenset(seen)), start=1):
        if event is not None:
            findings.take(event)
        seen.add(event_id)
        position = max(position, event_id)
        if count == _EVENTS_PER_LOOK or monotonic() - began > _SECONDS_PER_LOOK:
            break
    return position, tuple(sorted(event_id for event_id in seen if event_id > position - _OVERLAP))


def _take_deadlines(instance: dg.DagsterInstance, settings: Settings, now: datetime, findings: Findings) -> None:
    missed = {finding.partition for finding in findings.open if finding.kind == "missed_deadline"}
    due = {day: deadline for day, deadline in _due(settings, now).items() if day not in missed}
    if not due:
        return
    times = times_in_table(instance, due)
    for day, deadline in due.items():
        if day not in times or not findings.is_whole(day, times[day]):
            findings.miss_deadline(day, deadline)


def _due(settings: Settings, now: datetime) -> Mapping[str, datetime]:
    """The deadlines that have passed of the newest complete days, by day, oldest first."""
    days = (now.date() - timedelta(days=ago) for ago in range(settings.late_days, 0, -1))
    deadlines = {day.isoformat(): _deadline(settings, day) for day in days if day >= settings.start_date}
    return {day: deadline for day, deadline in deadlines.items() if deadline <= now}


def _deadline(settings: Settings, day: date) -> datetime:
    end = datetime.combine(day + timedelta(days=1), time(), UTC)
    # the deadline cannot be before the run is due
    return max(end + timedelta(hours=settings.deadline_hours), due_at(day, settings.grace_hours))
