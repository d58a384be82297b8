"""Runs a simulation: the objects of whole delivery days, written to a raw store and counted."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import dropwhile
from typing import Final

from audit_pipeline.errors import SettingsError
from audit_pipeline.simulate.faults import FAULTS
from audit_pipeline.simulate.firehose import Delivery, Firehose, restart_after
from audit_pipeline.simulate.traffic import INCIDENT, LONGEST_REPEAT_HOURS, Incident, Shares, Traffic, midnight
from audit_pipeline.store.layout import DeliveryHour
from audit_pipeline.store.objects import Store

__all__ = ["Counts", "Progress", "Simulated", "raw_objects", "simulate"]

_SHARES: Final = Shares()
_FIREHOSE: Final = Firehose()
_MALFORMED: Final = (*(fault.kind for fault in FAULTS), INCIDENT)


@dataclass(frozen=True, slots=True)
class Counts:
    """What the objects contain."""

    objects: int
    #: Firehose records; each is one text.
    records: int
    #: Bytes before compression.
    text_bytes: int
    #: Bytes as stored.
    object_bytes: int
    #: Records that equal an event that arrived before, apart from the envelope's ``id``.
    duplicates: int
    #: Records of events that happened at least two hours before; repeats are not counted.
    late: int
    #: Records with the ``source`` and ``detail.event_id`` of an earlier event, but other content.
    conflicts: int
    #: Records by the kind of fault (see :data:`audit_pipeline.simulate.faults.FAULTS`) or as of an incident
    #: (:data:`audit_pipeline.simulate.traffic.INCIDENT`); only what occurs.
    malformed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a simulation delivered, by delivery day and in total."""

    days: Mapping[date, Counts]
    total: Counts


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a simulation: the hour of the last object, and the objects and records so far."""

    hour: DeliveryHour
    objects: int
    records: int


def simulate(
    raw: Store,
    first: date,
    last: date,
    *,
    events_per_day: int,
    seed: int = 0,
    since: date | None = None,
    shares: Shares = _SHARES,
    firehose: Firehose = _FIREHOSE,
    incident: Incident | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Simulated:
    """Write the hour folders of the delivery days ``first`` to ``last`` (both included, UTC) to ``raw``.

    ``events_per_day`` are published each day, repeats not counted; those of the last seconds arrive after midnight, on
    the next delivery day. ``since`` is the day of the very first event (default: ``first``).

    The same arguments give the same keys and bytes. A day's objects depend on ``since``, but not on ``first`` and
    ``last``: a later call with the same ``since`` continues an earlier one. ``progress`` is called after every object.
    """
    traffic = Traffic(since=since or first, per_day=events_per_day, seed=seed, shares=shares, incident=incident)
    days = {first + timedelta(days=n): _RunningCounts() for n in range((last - first).days + 1)}
    total = _RunningCounts()
    for delivery in _deliveries(first, last, traffic, firehose):
        raw.put(delivery.key, delivery.data)
        days[delivery.hour.day].add(delivery)
        total.add(delivery)
        if progress:
            progress(Progress(delivery.hour, total.objects, total.labels.total()))
    return Simulated({day: running.counts() for day, running in days.items()}, total.counts())


def raw_objects(
    first: date,
    last: date,
    *,
    events_per_day: int,
    seed: int = 0,
    since: date | None = None,
    shares: Shares = _SHARES,
    firehose: Firehose = _FIREHOSE,
) -> Iterator[tuple[str, bytes]]:
    """The (key, bytes) of the objects that :func:`simulate` writes, one at a time, in the order of delivery."""
    traffic = Traffic(since=since or first, per_day=events_per_day, seed=seed, shares=shares)
    return ((delivery.key, delivery.data) for delivery in _deliveries(first, last, traffic, firehose))


@dataclass(slots=True)
class _RunningCounts:
    objects: int = 0
    text_bytes: int = 0
    object_bytes: int = 0
    labels: Counter[str] = field(default_factory=Counter)

    def add(self, delivery: Delivery) -> None:
        self.objects += 1
        self.text_bytes += delivery.text_bytes
        self.object_bytes += len(delivery.data)
        self.labels.update(delivery.labels)

    def counts(self) -> Counts:
        return Counts(
            objects=self.objects,
            records=self.labels.total(),
            text_bytes=self.text_bytes,
            object_bytes=self.object_bytes,
            duplicates=self.labels["duplicate"],
            late=self.labels["late"],
            conflicts=self.labels["conflict"],
            malformed={kind: self.labels[kind] for kind in _MALFORMED if self.labels[kind]},
        )


def _deliveries(first: date, last: date, traffic: Traffic, firehose: Firehose) -> Iterator[Delivery]:
    if not traffic.since <= first <= last:
        raise SettingsError(f"the days must be in order: since {traffic.since}, first {first}, last {last}")
    start = midnight(first)
    # from the last restart before the first midnight on, buffers are the same as in a longer range
    synchronized = restart_after(start - 60, traffic.seed)
    arrivals = traffic.arrivals(start - (LONGEST_REPEAT_HOURS + 1) * 3600)
    for delivery in firehose.deliver(dropwhile(lambda record: record.arrival < synchronized, arrivals), traffic.seed):
        if delivery.hour.day > last:
            return
        if delivery.hour.day >= first:
            yield delivery
