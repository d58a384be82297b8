"""The simulator writes what Firehose would, counts correctly what it wrote, and repeats both for the same seed."""

import gzip
import json
import re
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from audit_pipeline.contract.columns import REASONS
from audit_pipeline.contract.event import Event
from audit_pipeline.errors import SettingsError
from audit_pipeline.simulate import Firehose, Incident, Progress, Shares, Simulated, raw_objects, simulate
from audit_pipeline.simulate.faults import FAULTS
from audit_pipeline.simulate.firehose import restart_after
from audit_pipeline.simulate.traffic import INCIDENT, Traffic, midnight
from audit_pipeline.store.layout import delivery_hour_of
from audit_pipeline.store.objects import Store, open_store

FIRST, LAST = date(2026, 5, 1), date(2026, 5, 3)
MANY_FAULTS = Shares(duplicate=0.05, late=0.03, malformed=0.05, conflict=0.01, missing=0.2)
CLEAN = Shares(duplicate=0, late=0, malformed=0, conflict=0, delayed=0)
NAME = re.compile(r"audit-logs-1-(\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.gz")


class Lake(NamedTuple):
    raw: Store
    summary: Simulated
    objects: dict[str, bytes]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Three days with many faults."""
    raw = open_store(str(tmp_path_factory.mktemp("raw")), create=True)
    summary = simulate(raw, FIRST, LAST, events_per_day=3000, seed=7, shares=MANY_FAULTS)
    return Lake(raw, summary, {info.key: raw.get(info.key) for info in raw.list()})


@pytest.fixture(scope="module")
def clean() -> list[tuple[str, list[Any]]]:
    """Three days of which everything is readable: keys, and the events in each object."""
    found = raw_objects(FIRST, LAST, events_per_day=3000, shares=CLEAN)
    return [(key, [json.loads(text) for text in texts(gzip.decompress(data).decode())]) for key, data in found]


def texts(stream: str) -> Iterator[str]:
    """Splits concatenated texts; a broken one reaches up to the next envelope."""
    decoder, start = json.JSONDecoder(), 0
    while start < len(stream):
        try:
            _, end = decoder.raw_decode(stream, start)
        except json.JSONDecodeError:
            end = stream.find('{"version":"0"', start + 1)
            end = len(stream) if end < 0 else end
        yield stream[start:end]
        start = end


def moment_of(key: str) -> datetime:
    """The time in an object's name."""
    found = NAME.fullmatch(key.rsplit("/", 1)[1])
    assert found
    return datetime.strptime(found[1], "%Y-%m-%d-%H-%M-%S").replace(tzinfo=UTC)


def time_of(event: Any) -> datetime:
    return datetime.fromisoformat(event["time"])


def read(objects: dict[str, bytes]) -> Iterator[tuple[str, str]]:
    for key, data in objects.items():
        for text in texts(gzip.decompress(data).decode()):
            yield key, text


def well_formed(text: str) -> Any:
    """The event, or None where the text breaks the contract."""
    try:
        event = msgspec.json.decode(text, type=Event)
        datetime.fromisoformat(event.time).astimezone(UTC)
    except (msgspec.DecodeError, ValueError, OverflowError):
        return None
    return json.loads(text) if event.time < "2099" and event.time.endswith("Z") else None


def identity(event: Any) -> tuple[str, str]:
    return event["source"], event["detail"].get("event_id") or event["id"]


def test_the_same_seed_gives_the_same_keys_and_bytes(faulty: Lake) -> None:
    again = raw_objects(FIRST, LAST, events_per_day=3000, seed=7, shares=MANY_FAULTS)
    assert dict(again) == faulty.objects


def test_another_seed_gives_other_objects() -> None:
    one, other = (dict(raw_objects(FIRST, FIRST, events_per_day=500, seed=seed)) for seed in (0, 1))
    assert not one.keys() & other.keys()
    assert not set(one.values()) & set(other.values())


def test_a_day_generated_alone_equals_the_same_day_within_a_longer_range(faulty: Lake) -> None:
    for n in range(3):
        day = FIRST + timedelta(days=n)
        alone = dict(raw_objects(day, day, events_per_day=3000, seed=7, shares=MANY_FAULTS, since=FIRST))
        assert alone == {k: data for k, data in faulty.objects.items() if delivery_hour_of(k).day == day}
        assert alone


def test_keys_are_those_of_firehose_in_the_hour_folder_of_the_oldest_record(faulty: Lake) -> None:
    for key in faulty.objects:
        began = moment_of(key)
        assert key == f"{began:year=%Y/month=%m/day=%d/hour=%H/}{key.rsplit('/', 1)[1]}"
        assert FIRST <= began.date() <= LAST


def test_an_object_begins_when_its_oldest_record_arrives_seconds_after_the_event(
    clean: list[tuple[str, list[Any]]],
) -> None:
    for key, events in clean:
        waited = (moment_of(key) - time_of(events[0])).total_seconds()
        assert -1 < waited < 32  # an object's name has whole seconds


def test_objects_come_in_the_order_of_delivery(clean: list[tuple[str, list[Any]]]) -> None:
    began = [moment_of(key) for key, _ in clean]
    assert began == sorted(began)


def test_nothing_stands_between_records_by_default(faulty: Lake) -> None:
    streams = [gzip.decompress(data) for data in faulty.objects.values()]
    assert any(b'}{"version"' in stream for stream in streams)
    assert not any(b'}\n{"version"' in stream for stream in streams)


def test_a_delimiter_follows_every_record() -> None:
    lines = Firehose(delimiter=b"\n")
    plain = raw_objects(FIRST, FIRST, events_per_day=500, shares=CLEAN)
    delimited = raw_objects(FIRST, FIRST, events_per_day=500, shares=CLEAN, firehose=lines)
    for (key, without), (same_key, data) in zip(plain, delimited, strict=True):
        expected = "".join(f"{text}\n" for text in texts(gzip.decompress(without).decode()))
        assert (same_key, gzip.decompress(data).decode()) == (key, expected)


def test_a_buffer_is_delivered_after_its_seconds(clean: list[tuple[str, list[Any]]]) -> None:
    for key, events in clean:
        arrived_at_most = max(map(time_of, events)) - moment_of(key)
        assert arrived_at_most.total_seconds() < 60
    gaps = [(after - before).total_seconds() for before, after in pairwise(moment_of(key) for key, _ in clean)]
    assert sum(gap < 59 for gap in gaps) <= 3  # the restart before each midnight


def test_a_buffer_is_delivered_before_it_exceeds_its_bytes() -> None:
    small = Firehose(buffer_seconds=900, buffer_bytes=20_000)
    sizes = [len(gzip.decompress(data)) for _, data in raw_objects(FIRST, FIRST, events_per_day=3000, firehose=small)]
    assert max(sizes) <= 20_000
    assert sum(size > 15_000 for size in sizes) > 0.8 * len(sizes)


def test_a_record_larger_than_the_buffer_is_an_object_of_its_own() -> None:
    tiny = Firehose(buffer_bytes=1)
    for _, data in islice(raw_objects(FIRST, FIRST, events_per_day=500, shares=CLEAN, firehose=tiny), 50):
        assert len(list(texts(gzip.decompress(data).decode()))) == 1


def test_some_objects_and_events_reach_over_midnight() -> None:
    busy = list(raw_objects(FIRST, FIRST + timedelta(days=1), events_per_day=30_000, shares=CLEAN))
    last_of_day = [data for key, data in busy if delivery_hour_of(key).day == FIRST][-1]
    dates = {json.loads(text)["time"][:10] for text in texts(gzip.decompress(last_of_day).decode())}
    assert dates == {"2026-05-01", "2026-05-02"}


def test_delayed_events_lie_in_the_first_hour_of_the_next_day() -> None:
    found = raw_objects(FIRST, LAST, events_per_day=5000, shares=replace(CLEAN, delayed=0.3))
    crossed = [key for key, text in read(dict(found)) if json.loads(text)["time"][:10] < str(delivery_hour_of(key).day)]
    assert {delivery_hour_of(key).day for key in crossed} == {date(2026, 5, 2), date(2026, 5, 3)}
    assert {delivery_hour_of(key).hour for key in crossed} == {0}


def test_every_well_formed_event_satisfies_the_contract(clean: list[tuple[str, list[Any]]]) -> None:
    events = [event for _, found in clean for event in found]
    assert len(events) > 8900
    assert all(well_formed(json.dumps(event)) for event in events)
    assert len({event["id"] for event in events}) == len(events)
    changes = [change for event in events for change in event["detail"]["entities"]]
    assert 1.2 < len(changes) / len(events) < 1.4
    assert {len(event["detail"]["entities"]) for event in events} == {1, 2, 3, 4}


def test_events_look_like_those_of_a_real_company(clean: list[tuple[str, list[Any]]]) -> None:
    events = [event for _, found in clean for event in found]
    assert len({event["source"] for event in events}) == 4
    assert {event["detail"].get("action") for event in events} >= {"Create", "Update", "Delete", "Cancel"}
    sizes = [len(json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()) for event in events]
    assert 1000 < sum(sizes) / len(sizes) < 1700
    fractions = sum("." in event["time"] for event in events) / len(events)
    assert 0.05 < fractions < 0.12
    by_hour = Counter(time_of(event).hour for event in events)
    assert by_hour[11] > 5 * by_hour[3]


def test_order_500_and_its_items_change_on_every_day(clean: list[tuple[str, list[Any]]]) -> None:
    seen = {
        (event["time"][:10], event["detail"]["entity_type"])
        for _, events in clean
        for event in events
        for change in event["detail"]["entities"]
        if "500" in (str(change["entity"]["id"]), (change.get("parent") or {}).get("id"))
    }
    for day in ("2026-05-01", "2026-05-02", "2026-05-03"):
        assert {(day, "Order"), (day, "OrderItem")} <= seen


def test_optional_fields_are_there_missing_and_null(clean: list[tuple[str, list[Any]]]) -> None:
    changes = [(e["detail"], change) for _, events in clean for e in events for change in e["detail"]["entities"]]
    for field in ("before", "after", "parent", "channel_code", "channel_account_code"):
        assert {_presence(change, field) for _, change in changes} == {"there", "missing", "null"}
    for field in ("event_id", "correlation_id", "actor"):
        assert {_presence(detail, field) for detail, _ in changes} == {"there", "missing", "null"}
    assert any(isinstance(change["entity"]["id"], int) for _, change in changes)


def _presence(holder: dict[str, Any], field: str) -> str:
    if field not in holder:
        return "missing"
    return "null" if holder[field] is None else "there"


def test_values_that_are_hard_to_keep_exactly_occur() -> None:
    stream = b"".join(gzip.decompress(data) for _, data in raw_objects(FIRST, FIRST, events_per_day=3000)).decode()
    for hard in ("1.10", "1e2", "12.500", "O'Brien", "\\u00e9", "\\n", "山田", '\\"', "4.0E-1"):
        assert hard in stream
    assert re.search(r":\d{30}[,}]", stream)


def test_the_summary_counts_what_is_in_the_objects(faulty: Lake) -> None:
    for day, counts in faulty.summary.days.items():
        objects = {key: data for key, data in faulty.objects.items() if delivery_hour_of(key).day == day}
        assert counts.objects == len(objects)
        assert counts.records == sum(1 for _ in read(objects))
        assert counts.object_bytes == sum(map(len, objects.values()))
        assert counts.text_bytes == sum(len(gzip.decompress(data)) for data in objects.values())


def test_the_summary_counts_duplicates_conflicts_and_late_events(faulty: Lake) -> None:
    seen: dict[tuple[str, str], Any] = {}
    found: Counter[str] = Counter()
    for key, text in read(faulty.objects):
        if not (event := well_formed(text)):
            found["malformed"] += 1
        elif identity(event) not in seen:
            seen[identity(event)] = event
            found["late"] += moment_of(key) - time_of(event) > timedelta(hours=1.9)
        else:
            same = event | {"id": ""} == seen[identity(event)] | {"id": ""}
            found["duplicates" if same else "conflicts"] += 1
    total = faulty.summary.total
    assert found["malformed"] == sum(total.malformed.values())
    assert (found["duplicates"], found["conflicts"], found["late"]) == (total.duplicates, total.conflicts, total.late)
    assert min(total.duplicates, total.conflicts, total.late) > 50


def test_the_total_is_the_sum_of_the_days(faulty: Lake) -> None:
    days = list(faulty.summary.days.values())
    assert list(faulty.summary.days) == [FIRST, FIRST + timedelta(days=1), LAST]
    for field in ("objects", "records", "text_bytes", "object_bytes", "duplicates", "late", "conflicts"):
        assert getattr(faulty.summary.total, field) == sum(getattr(day, field) for day in days)
    summed = sum((Counter(day.malformed) for day in days), Counter())
    assert faulty.summary.total.malformed == summed


def test_the_days_have_the_requested_number_of_events(faulty: Lake) -> None:
    total = faulty.summary.total
    published = total.records - total.duplicates - total.conflicts
    assert 3 * 3000 - 10 <= published <= 3 * 3000 + 10


def test_every_kind_of_fault_occurs_and_names_a_reason_of_the_quarantine(faulty: Lake) -> None:
    assert faulty.summary.total.malformed.keys() == {fault.kind for fault in FAULTS}
    assert {fault.reason for fault in FAULTS} <= set(REASONS)


def test_broken_texts_never_touch(faulty: Lake) -> None:
    for data in faulty.objects.values():
        broken = [well_formed(text) is None for text in texts(gzip.decompress(data).decode())]
        assert not any(both == (True, True) for both in pairwise(broken))


def test_late_events_arrive_up_to_days_after_they_happened() -> None:
    long = raw_objects(date(2026, 5, 8), date(2026, 5, 9), events_per_day=5000, shares=MANY_FAULTS, since=FIRST)
    lateness = [
        moment_of(key) - time_of(event) for key, text in read(dict(long)) if (event := well_formed(text)) is not None
    ]
    assert max(lateness) > timedelta(days=4)
    assert sum(late > timedelta(hours=7) for late in lateness) > 100


def test_nothing_dates_before_the_first_day(faulty: Lake) -> None:
    times = [event["time"] for _, text in read(faulty.objects) if (event := well_formed(text))]
    assert min(times) >= "2026-05-01T00:00:00"


def test_a_duplicate_may_arrive_hours_later_on_the_next_day(faulty: Lake) -> None:
    first_seen: dict[tuple[str, str], date] = {}
    crossed = 0
    for key, text in read(faulty.objects):
        if event := well_formed(text):
            day = delivery_hour_of(key).day
            crossed += first_seen.setdefault(identity(event), day) != day
    assert crossed > 5


def test_a_clean_simulation_has_no_fault(tmp_path: Path) -> None:
    summary = simulate(open_store(str(tmp_path)), FIRST, FIRST, events_per_day=500, shares=CLEAN)
    total = summary.total
    assert (total.duplicates, total.late, total.conflicts, total.malformed) == (0, 0, 0, {})


def test_in_an_incident_every_event_has_a_text_as_its_detail_and_the_summary_counts_them(tmp_path: Path) -> None:
    raw = open_store(str(tmp_path))
    start, end = (datetime(2026, 5, 1, hour, tzinfo=UTC) for hour in (8, 20))
    incident = Incident(start=start, end=end)
    summary = simulate(raw, FIRST, FIRST, events_per_day=500, shares=CLEAN, incident=incident)
    events = [json.loads(text) for info in raw.list() for text in texts(gzip.decompress(raw.get(info.key)).decode())]
    hit = [event for event in events if isinstance(event["detail"], str)]
    assert summary.total.malformed == {INCIDENT: len(hit)}
    assert all("entities" in json.loads(event["detail"]) for event in hit)
    assert all((event in hit) == (start <= time_of(event) < end) for event in events)
    assert 0.6 < len(hit) / len(events) < 0.9


def test_producers_can_be_held_to_the_words_of_the_contract() -> None:
    shares = replace(CLEAN, missing=0, own_action=0)
    made = raw_objects(FIRST, FIRST, events_per_day=2000, shares=shares)
    details = [json.loads(text)["detail"] for _, data in made for text in texts(gzip.decompress(data).decode())]
    assert {detail["action"] for detail in details} == {"Create", "Update", "Delete"}
    updated = [entity for detail in details if detail["action"] == "Update" for entity in detail["entities"]]
    assert all("before" in entity and "after" in entity for entity in updated)


def test_progress_is_reported_after_every_object(tmp_path: Path) -> None:
    steps: list[Progress] = []
    total = simulate(open_store(str(tmp_path)), FIRST, FIRST, events_per_day=500, progress=steps.append).total
    assert [step.objects for step in steps] == list(range(1, total.objects + 1))
    assert steps[-1].records == total.records
    assert steps[-1].hour.day == FIRST


def test_a_busy_day_is_made_lazily_in_bounded_memory() -> None:
    tracemalloc.start()
    try:
        big = Firehose(buffer_seconds=900)
        made = list(islice(raw_objects(FIRST, FIRST, events_per_day=10_000_000, firehose=big), 3))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [len(gzip.decompress(data)) > 5_000_000 for _, data in made] == [True] * 3
    assert peak < 48 << 20  # the day is 10 GB


def test_records_arrive_in_order() -> None:
    traffic = Traffic(since=FIRST, per_day=20_000, seed=3, shares=MANY_FAULTS)
    arrivals = [record.arrival for record in islice(traffic.arrivals(midnight(FIRST)), 25_000)]
    assert arrivals == sorted(arrivals)


def test_the_stream_restarts_once_a_day_just_before_midnight() -> None:
    start = midnight(FIRST)
    restart = restart_after(start, seed=0)
    assert 15 <= midnight(FIRST + timedelta(days=1)) - restart <= 45
    assert 86_300 < restart_after(restart, seed=0) - restart < 86_500


@pytest.mark.parametrize(
    "wrong", [{"duplicate": -0.1}, {"missing": 1.1}, {"malformed": 0.3}, {"late": 0.9, "duplicate": 0.2}]
)
def test_shares_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        Shares(**wrong)


def test_days_out_of_order_are_refused() -> None:
    with pytest.raises(SettingsError, match="in order"):
        next(raw_objects(LAST, FIRST, events_per_day=10))
    with pytest.raises(SettingsError, match="in order"):
        next(raw_objects(FIRST, LAST, events_per_day=10, since=LAST))


def test_no_events_and_no_buffer_are_refused() -> None:
    with pytest.raises(SettingsError, match="events_per_day"):
        raw_objects(FIRST, FIRST, events_per_day=0)
    with pytest.raises(SettingsError, match="buffer"):
        replace(Firehose(), buffer_bytes=0)
