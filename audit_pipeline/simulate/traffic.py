"""The records that reach Firehose: the traffic of the day, delays, late events, duplicates and malformed events.

Every slot of ten minutes has its own random generator, so that its events do not depend on where a simulation starts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time
from heapq import heappop, heappush
from itertools import accumulate, count
from math import exp, log
from random import Random
from typing import Final, NamedTuple

from audit_pipeline.errors import SettingsError
from audit_pipeline.simulate.events import event_text, with_new_envelope_id
from audit_pipeline.simulate.faults import FAULTS, conflicting, detail_as_text

__all__ = ["INCIDENT", "LONGEST_REPEAT_HOURS", "Incident", "Record", "Shares", "Traffic", "midnight"]

#: Relative traffic of the 24 hours (UTC), of a company in Europe that sells worldwide.
_BY_HOUR: Final = (20, 16, 14, 13, 14, 18, 28, 46, 68, 84, 92, 96, 90, 92, 95, 94, 88, 76, 64, 56, 50, 44, 36, 27)
_CUMULATIVE: Final = tuple(accumulate(_BY_HOUR, initial=0))

_HOUR: Final = 3600
_SLOT: Final = 600
_SLOTS_AN_HOUR: Final = _HOUR // _SLOT
_LONGEST_USUAL_DELAY: Final = 30.0
_LONGEST_DELAY: Final = 45 * 60
_SHORTEST_LATENESS: Final = 2 * _HOUR
_LONGEST_LATENESS: Final = 7 * 24 * _HOUR
#: The latest that a duplicate arrives after its event.
LONGEST_REPEAT_HOURS: Final = 6
#: The label of what is published during an incident.
INCIDENT: Final = "detail_as_text"
#: With more, malformed records could not be separated.
_MOST_MALFORMED: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """The shares (0 to 1) of events with a fault; an event has at most one of the first four.

    ``duplicate``: arrives a second time; half of them equal byte for byte (Firehose and EventBridge deliver at least
    once), half with another envelope ``id`` (the producer sent it again); seconds to 6 hours later, also past midnight.
    ``late``: happened 2 hours to 7 days before it arrives.
    ``malformed``: see :mod:`audit_pipeline.simulate.faults`; at most 0.25.
    ``conflict``: is followed by another event with the same ``detail.event_id`` and other content.
    ``delayed``: arrives half a minute to 45 minutes after it happened, as when EventBridge has to retry; the others
    take a few seconds.
    ``missing``: lacks an optional field; drawn for each of them.
    ``own_action``: of the events whose action is a word of the producer's own (``Cancel``, ``Login``), those that have
    it; the others are updates.
    """

    duplicate: float = 0.01
    late: float = 0.005
    malformed: float = 0.001
    conflict: float = 0.00005
    delayed: float = 0.02
    missing: float = 0.1
    own_action: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) <= 1:
                raise SettingsError(f"the share {field.name} must be between 0 and 1")
        if self.malformed > _MOST_MALFORMED:
            raise SettingsError(f"the share malformed must be at most {_MOST_MALFORMED}")
        if self.duplicate + self.late + self.malformed + self.conflict > 1:
            raise SettingsError("the sum of the shares duplicate, late, malformed and conflict must be at most 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A time in which every event is published with a JSON text as its ``detail``, and so ends in quarantine.

    ``start`` (included) and ``end`` (excluded) are in UTC.
    """

    start: datetime
    end: datetime

    def covers(self, at: float) -> bool:
        return self.start.timestamp() <= at < self.end.timestamp()


class Record(NamedTuple):
    """A Firehose record. ``arrival`` is in seconds since 1970 (UTC)."""

    arrival: float
    text: bytes
    #: ``event``, ``late``, ``duplicate``, ``conflict``, the kind of a fault or :data:`INCIDENT`.
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """All events since ``since``. ``per_day`` is the number of events published per day, repeats not counted."""

    since: date
    per_day: int
    seed: int
    shares: Shares
    incident: Incident | None = None

    def __post_init__(self) -> None:
        if self.per_day < 1:
            raise SettingsError("events_per_day must be at least 1")

    def arrivals(self, start: float) -> Iterator[Record]:
        """An endless iterator of the records of events published from ``start`` on, in the order of arrival.

        ``start`` is a full hour, in seconds since 1970. In the first :data:`LONGEST_REPEAT_HOURS` and 45 minutes,
        records of events that were published before are missing. Memory holds one slot and the records in transit.
        """
        return _separate_malformed(self._merged(start))

    def _merged(self, start: float) -> Iterator[Record]:
        in_transit: list[Record] = []
        for slot in count(int(max(start, midnight(self.since))), _SLOT):
            for record, repeat in self._published(slot):
                if repeat:
                    heappush(in_transit, repeat)
                if record.arrival >= slot + _SLOT:  # records of the next slot may arrive before this one
                    heappush(in_transit, record)
                    continue
                while in_transit and in_transit[0] < record:
                    yield heappop(in_transit)
                yield record

    def _published(self, slot: int) -> Iterator[tuple[Record, Record | None]]:
        """The events of a slot in the order of arrival, each with its repeat."""
        rng = Random(f"{self.seed}/{slot}")
        moments = []
        for _ in range(self._events_in(slot // _SLOT % (24 * _SLOTS_AN_HOUR))):
            at = slot + rng.random() * _SLOT
            moments.append((at + _delay(rng, self.shares.delayed), at))
        moments.sort()
        return (self._publish(rng, arrival, at) for arrival, at in moments)

    def _events_in(self, slot_of_day: int) -> int:
        return _published_before(slot_of_day + 1, self.per_day) - _published_before(slot_of_day, self.per_day)

    def _publish(self, rng: Random, arrival: float, at: float) -> tuple[Record, Record | None]:
        is_incident = self.incident is not None and self.incident.covers(at)
        label, at = self._fate(rng, at)
        has_repeat = label in ("duplicate", "conflict")
        text = event_text(
            rng,
            at,
            missing_share=self.shares.missing,
            keep_event_id=has_repeat,
            own_action_share=self.shares.own_action,
        )
        if is_incident:
            return Record(arrival, detail_as_text(text).encode(), INCIDENT), None
        if has_repeat:
            other = _repeated(text, rng) if label == "duplicate" else conflicting(text, rng)
            repeat = Record(arrival + _repeat_delay(rng), other.encode(), label)
            return Record(arrival, text.encode(), "event"), repeat
        if label == "malformed":
            fault = rng.choice(FAULTS)
            return Record(arrival, fault.damage(text, rng).encode(), fault.kind), None
        return Record(arrival, text.encode(), label), None

    def _fate(self, rng: Random, at: float) -> tuple[str, float]:
        """The label of an event that is to happen ``at``, and the time when it happens."""
        chance = rng.random()
        if (chance := chance - self.shares.late) < 0:
            past = at - midnight(self.since)
            if past <= _SHORTEST_LATENESS:
                return "event", at
            lateness = _log_uniform(rng, _SHORTEST_LATENESS, min(past, _LONGEST_LATENESS))
            return "late", max(at - lateness, midnight(self.since))
        for label in ("duplicate", "malformed", "conflict"):
            if (chance := chance - getattr(self.shares, label)) < 0:
                return label, at
        return "event", at


def midnight(day: date) -> float:
    """The start of the day (UTC) in seconds since 1970."""
    return datetime.combine(day, time(), UTC).timestamp()


def _published_before(slot_of_day: int, per_day: int) -> int:
    """Events of a day before the start of a slot."""
    hour, slot = divmod(slot_of_day, _SLOTS_AN_HOUR)
    within = _BY_HOUR[hour] * slot if slot else 0  # the day's end is hour 24, slot 0
    return per_day * (_CUMULATIVE[hour] * _SLOTS_AN_HOUR + within) // (_CUMULATIVE[-1] * _SLOTS_AN_HOUR)


def _delay(rng: Random, delayed_share: float) -> float:
    """Seconds from an event to its arrival."""
    if rng.random() < delayed_share:
        return _log_uniform(rng, _LONGEST_USUAL_DELAY, _LONGEST_DELAY)
    return min(0.8 + rng.expovariate(0.4), _LONGEST_USUAL_DELAY)


def _repeated(text: str, rng: Random) -> str:
    return text if rng.random() < 0.5 else with_new_envelope_id(text, rng)


def _repeat_delay(rng: Random) -> float:
    return (
        _log_uniform(rng, 0.2, 60)
        if rng.random() < 0.5
        else _log_uniform(rng, 0.5 * _HOUR, LONGEST_REPEAT_HOURS * _HOUR)
    )


def _log_uniform(rng: Random, low: float, high: float) -> float:
    return exp(rng.uniform(log(low), log(high)))


def _separate_malformed(records: Iterator[Record]) -> Iterator[Record]:
    """The records, with malformed ones delayed so that none directly follows another.

    A reader would take two broken texts in a row for one, and could not find as many as are counted here.
    """
    kinds = {fault.kind for fault in FAULTS}
    held: list[Record] = []
    after_malformed = False
    for record in records:
        if record.label in kinds:
            held.append(record)
        else:
            yield record
            after_malformed = False
        if held and not after_malformed:
            yield held.pop(0)._replace(arrival=record.arrival)
            after_malformed = True
