"""The check on what became nothing (docs/design.md, "Conservation"): by events, by bytes and by objects.

interface: the check is ``readable_share``, in the place of ``quarantine_share``, and critical; the settings keep their
names. Its metadata has ``events_share``, ``bytes_share`` and ``objects_share``, beside ``what_to_do``, ``failed``
(events in quarantine), ``events`` (those that the day owns), and ``records_by_reason``. Its description gives the
largest of the shares with its two numbers: of objects those that are unreadable and all, as "2 of 24 objects".
"""

import json
from typing import Any

import pytest

from audit_pipeline.quality import check_quality, quality_checks
from audit_pipeline.quality.verdicts import Verdict
from audit_pipeline.settings import Settings
from audit_pipeline.store.manifest import read_manifest
from audit_pipeline.store.objects import open_store
from tests.support.formats import OTHER_FORMATS
from tests.support.lake import DAY1, DAY2, DAY3, ENTITY, Lake, entity, event, key, zipped
from tests.support.verdicts import failure

CHECK = "readable_share"


def settings_of(lake: Lake, **changed: Any) -> Settings:
    return Settings(raw_url=str(lake.raw), lake_url=str(lake.path), start_date=lake.first, workers=1, **changed)


def verdict_of(lake: Lake, *, warn: float = 0.01, error: float = 0.5) -> Verdict:
    store = open_store(str(lake.path))
    manifest = read_manifest(store, DAY1)
    assert manifest
    settings = settings_of(lake, quarantine_warn_share=warn, quarantine_error_share=error)
    verdicts = check_quality(settings, store, manifest, [CHECK])
    assert list(verdicts) == [CHECK]
    return verdicts[CHECK]


def run(lake: Lake, *texts: str, hour: int = 10) -> None:
    lake.write(key(DAY1, hour), zipped("\n".join(texts)))
    lake.run()


def padded(text: str, size: int) -> str:
    """Broken text of so many bytes that begins like this."""
    return text + "x" * (size - len(text))


def test_it_stands_in_the_place_of_quarantine_share_and_can_hold_a_day_back(lake: Lake) -> None:
    checks = {check.name: check.is_critical for check in quality_checks(settings_of(lake))}
    assert checks[CHECK]
    assert "quarantine_share" not in checks


def test_a_day_that_could_be_read_whole_passes(lake: Lake) -> None:
    run(lake, *(event(f"e{n}") for n in range(10)))
    verdict = verdict_of(lake)
    assert verdict.passed
    shares = [verdict.metadata[name] for name in ("events_share", "bytes_share", "objects_share")]
    assert shares == [0, 0, 0]


def test_a_day_without_objects_passes(lake: Lake) -> None:
    lake.run()
    assert verdict_of(lake).passed


def test_a_day_of_whose_texts_all_are_left_to_another_passes(lake: Lake) -> None:
    lake.write(key(DAY2, 0), event("a", time="2026-05-02T00:30:00Z"))
    lake.run()
    assert verdict_of(lake).passed


# --- by events ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bad", "severity"), [(1, None), (2, "warn"), (5, "warn"), (6, "error"), (10, "error")])
def test_by_events_those_in_quarantine_among_those_that_the_day_owns(
    lake: Lake, bad: int, severity: str | None
) -> None:
    """All of one size, so that the share by bytes is the same."""
    texts = [event(f"e{n}", time="2026-05-01T10:00:00Z" if n >= bad else "2026-05-01T10:00:00?") for n in range(10)]
    lake.write(key(DAY2, 0), "\n".join(event(f"deferred {n}", time="2026-05-02T00:30:00Z") for n in range(50)))
    run(lake, *texts)
    verdict = verdict_of(lake, warn=0.1, error=0.5)
    assert (verdict.metadata["events_share"], verdict.metadata["events"]) == (bad / 10, 10)
    assert verdict.metadata["bytes_share"] == pytest.approx(bad / 10)
    if severity is None:
        assert verdict.passed
    else:
        found = failure(verdict, severity)
        assert found["failed"] == bad
        assert found["records_by_reason"] == [{"reason": "bad_time", "records": bad}]
        assert f"{bad} bad_time" in verdict.description


# --- by bytes -------------------------------------------------------------------------------------------------------


GOOD = [event(f"e{n:02}", entity(after='"' + "x" * 20 + '"')) for n in range(99)]
SIZE = sum(map(len, GOOD))


@pytest.mark.parametrize(
    ("size", "severity"),
    [(SIZE // 100, None), (SIZE // 10, "warn"), (SIZE - 1000, "warn"), (SIZE + 1000, "error"), (SIZE * 9, "error")],
)
def test_by_bytes_one_lump_may_be_half_of_a_day(lake: Lake, size: int, severity: str | None) -> None:
    """One of 100 events; so nobody reads "1 %" where half is gone."""
    run(lake, *GOOD, padded('{"lump":"', size))
    verdict = verdict_of(lake, warn=0.01, error=0.5)
    assert verdict.metadata["events_share"] == 0.01
    assert verdict.metadata["bytes_share"] == pytest.approx(size / (SIZE + size))
    if severity is None:
        assert verdict.passed
    else:
        failure(verdict, severity)
        assert "bytes" in verdict.description
        assert "1 not_json" in verdict.description


def test_an_array_of_a_hundred_that_is_broken_weighs_a_hundred(lake: Lake) -> None:
    for hour in range(4):
        lake.write(key(DAY1, hour), zipped("\n".join(event(f"{hour}/{n}") for n in range(100))))
        lump = "[" + ",".join(event(f"lump {hour}/{n}") for n in range(100)) + ",NaN]"
        lake.write(key(DAY1, 12 + hour), zipped(lump))
    lake.run()
    assert lake.manifest()["events"] == {"read": 404, "kept": 400, "duplicate": 0, "deferred": 0, "quarantined": 4}
    found = failure(verdict_of(lake), "error")
    assert found["events_share"] == pytest.approx(4 / 404)
    assert found["bytes_share"] > 0.5


def test_the_bytes_of_what_the_day_does_not_own_do_not_count(lake: Lake) -> None:
    lake.write(key(DAY2, 0), padded('{"broken":"', 100_000))
    run(lake, *GOOD)
    verdict = verdict_of(lake)
    assert verdict.passed
    assert verdict.metadata["bytes_share"] == 0


def test_an_event_of_which_a_row_remains_is_not_lost(lake: Lake) -> None:
    run(lake, *(event(f"e{n}", ENTITY, "7", "8") for n in range(5)))
    verdict = verdict_of(lake)
    assert verdict.passed
    assert verdict.metadata["bytes_share"] == 0


# --- by objects -----------------------------------------------------------------------------------------------------


def corrupt(text: str) -> bytes:
    member = bytearray(zipped(text))
    member[-8] ^= 1  # its checksum
    return bytes(member)


def deliver(lake: Lake, good: int, bad: int) -> None:
    for number in range(good + bad):
        text = "\n".join(event(f"{number}/{n}") for n in range(20))
        data = zipped(text) if number < good else corrupt(text)
        lake.write(key(DAY1, number % 24, f"{number:02}"), data)
    lake.run()


@pytest.mark.parametrize(
    ("good", "bad", "severity"), [(23, 1, "warn"), (12, 12, "warn"), (11, 13, "error"), (0, 24, "error")]
)
def test_by_objects_those_that_are_unreadable_among_those_of_the_day(
    lake: Lake, good: int, bad: int, severity: str
) -> None:
    deliver(lake, good, bad)
    verdict = verdict_of(lake)
    found = failure(verdict, severity)
    assert found["objects_share"] == bad / 24
    assert (found["events_share"], found["bytes_share"]) == (0, 0)
    assert f"{bad} of 24 objects" in verdict.description
    assert "unreadable" in verdict.description


def test_it_warns_from_the_first_unreadable_object_whatever_the_share(lake: Lake) -> None:
    deliver(lake, 23, 1)
    found = failure(verdict_of(lake, warn=1, error=1), "warn")
    assert found["objects_share"] == 1 / 24


def test_of_a_cut_object_too_though_most_of_its_events_are_there(lake: Lake) -> None:
    lake.write(key(DAY1, 1), zipped("\n".join(event(f"e{n}") for n in range(20)))[:-3])
    for hour in range(2, 24):
        lake.write(key(DAY1, hour), zipped(event(f"good {hour}")))
    lake.run()
    assert lake.manifest()["events"]["kept"] == 42
    failure(verdict_of(lake), "warn")


def test_objects_of_the_grace_hours_are_not_the_days_own(lake: Lake) -> None:
    """Neither the readable ones, which would make the share look small, nor the others."""
    lake.write(key(DAY1, 10, "good"), zipped(event("good")))
    lake.write(key(DAY1, 10, "bad 1"), corrupt(event("bad")))
    lake.write(key(DAY1, 10, "bad 2"), OTHER_FORMATS["Parquet"])
    for number in range(20):
        lake.write(key(DAY2, 0, f"{number}"), zipped(event(f"e{number}", time="2026-05-02T00:10:00Z")))
    lake.write(key(DAY2, 0, "bad"), corrupt(event("bad")))
    lake.run()
    verdict = verdict_of(lake)
    assert failure(verdict, "error")["objects_share"] == pytest.approx(2 / 3)
    assert "2 of 3 objects" in verdict.description


def test_an_object_that_is_empty_is_readable(lake: Lake) -> None:
    for hour in range(3):
        lake.write(key(DAY1, hour), b"")
    lake.run()
    assert verdict_of(lake).passed


# --- the largest of the three ---------------------------------------------------------------------------------------


def test_the_largest_share_decides(lake: Lake) -> None:
    """By events 1 of 9, by bytes a fifth, by objects three quarters."""
    lake.write(key(DAY1, 1), "\n".join([*GOOD[:8], padded('{"x":"', sum(map(len, GOOD[:8])) // 4)]))
    for hour in (2, 3, 4):
        lake.write(key(DAY1, hour), OTHER_FORMATS["UTF-16"])
    lake.run()
    found = failure(verdict_of(lake, warn=0.01, error=0.7), "error")
    assert found["events_share"] == pytest.approx(1 / 9)
    assert found["bytes_share"] == pytest.approx(0.2, abs=0.001)
    assert found["objects_share"] == 0.75
    failure(verdict_of(lake, warn=0.01, error=0.75), "warn")


def test_each_day_has_its_own(lake: Lake) -> None:
    lake.write(key(DAY1), corrupt(event("a")))
    lake.write(key(DAY3), event("b", time="2026-05-03T10:00:00Z"))
    for day in (DAY3, DAY1):
        lake.run(day)
    assert not verdict_of(lake).passed
    store = open_store(str(lake.path))
    manifest = read_manifest(store, DAY3)
    assert manifest
    assert check_quality(settings_of(lake), store, manifest, [CHECK])[CHECK].passed


def test_a_manifest_from_before_these_counts_is_judged_by_its_events(lake: Lake) -> None:
    run(lake, "broken", *GOOD, "broken")
    path = lake.path / f"auditlog_manifest/{DAY1}.json"
    written = lake.manifest()
    for name in ("text_bytes", "unreadable_bytes"):
        del written[name]
    path.write_text(json.dumps(written))
    assert failure(verdict_of(lake), "warn")["failed"] == 2
    assert verdict_of(lake, warn=0.1).passed


# --- days that were green and half empty ----------------------------------------------------------------------------


SHAPES = {
    "every object is corrupt": (24, "error"),
    "every object of the afternoon is corrupt": (12, "warn"),
    "all but one are corrupt": (23, "error"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_no_day_looks_whole_because_little_of_it_was_counted(lake: Lake, name: str) -> None:
    bad, severity = SHAPES[name]
    deliver(lake, 24 - bad, bad)
    assert lake.manifest()["events"]["quarantined"] == 0
    failure(verdict_of(lake), severity)
