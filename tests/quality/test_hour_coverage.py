"""The hour coverage check: which delivery hours of a day hold no object."""

from collections.abc import Iterable
from datetime import UTC, date, datetime

import pytest

from audit_pipeline.quality.hour_coverage import check_hour_coverage
from audit_pipeline.store.objects import ObjectInfo
from tests.support.lake import DAY1, DAY2, key


def objects(hours: Iterable[int], day: date = DAY1) -> list[ObjectInfo]:
    return [ObjectInfo(key(day, hour), 1, "etag", datetime(2026, 5, 1, tzinfo=UTC)) for hour in hours]


def test_a_day_with_an_object_in_each_hour_passes() -> None:
    verdict = check_hour_coverage(DAY1, objects([*range(24), 3, 3]))
    assert (verdict.passed, verdict.description) == (True, "all 24 hours hold objects")
    assert verdict.metadata == {"hours_covered": 24, "hours_missing": 0}


@pytest.mark.parametrize(
    ("missing", "description"),
    [
        ({3}, "no object in the hours 03 (UTC)"),
        ({3, 4, 17}, "no object in the hours 03-04, 17 (UTC)"),
        ({0, 22, 23}, "no object in the hours 00, 22-23 (UTC)"),
        (set(range(24)), "no object in the hours 00-23 (UTC)"),
    ],
)
def test_a_gap_warns_and_names_the_hours(missing: set[int], description: str) -> None:
    verdict = check_hour_coverage(DAY1, objects(set(range(24)) - missing))
    assert (verdict.passed, verdict.severity, verdict.description) == (False, "warn", description)
    assert verdict.metadata == {"hours_covered": 24 - len(missing), "hours_missing": len(missing)}


def test_the_grace_hours_of_the_next_day_do_not_count() -> None:
    verdict = check_hour_coverage(DAY1, [*objects(range(1, 24)), *objects([0], DAY2)])
    assert verdict.description == "no object in the hours 00 (UTC)"
