"""RFC 3339 times: which are read, as which Timestamp and ``dt``, and which are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_pipeline.transform.times import parse_time, parse_times
from tests.support.lake import Lake, event, ids, reasons
from tests.support.rules import lines, read

TIMES = {
    "2026-05-01T10:00:00Z": "2026-05-01T10:00:00.000Z",
    "2026-05-01t10:00:00z": "2026-05-01T10:00:00.000Z",
    "2026-05-01T10:00:00.1Z": "2026-05-01T10:00:00.100Z",
    "2026-05-01T10:00:00.12Z": "2026-05-01T10:00:00.120Z",
    "2026-05-01T10:00:00.123Z": "2026-05-01T10:00:00.123Z",
    "2026-05-01T10:00:00.9999Z": "2026-05-01T10:00:00.999Z",
    "2026-05-01T10:00:00.999999Z": "2026-05-01T10:00:00.999Z",
    "2026-05-01T23:59:59.9999999999999999999999Z": "2026-05-01T23:59:59.999Z",
    "2026-05-01T10:00:00.0009Z": "2026-05-01T10:00:00.000Z",
    "2026-05-01T10:00:00+00:00": "2026-05-01T10:00:00.000Z",
    "2026-05-01T10:00:00-00:00": "2026-05-01T10:00:00.000Z",
    "2026-05-01T10:00:00+05:30": "2026-05-01T04:30:00.000Z",
    "2026-05-02T05:00:00+05:30": "2026-05-01T23:30:00.000Z",
    "2026-05-01T23:00:00.5-08:45": "2026-05-02T07:45:00.500Z",
    "2026-05-01T23:59:00+23:59": "2026-05-01T00:00:00.000Z",
    "2026-05-01T00:01:00-23:59": "2026-05-02T00:00:00.000Z",
}


def test_the_timestamp_is_the_time_in_utc_cut_to_milliseconds(lake: Lake) -> None:
    read(lake, lines(*(event(f"e{n:02}", time=time) for n, time in enumerate(TIMES))))
    found = {row["Id"]: row["Timestamp"] for row in lake.rows()}
    assert found == {f"e{n:02}": wanted for n, wanted in enumerate(TIMES.values())}


def test_dt_is_the_utc_date_of_the_time(lake: Lake) -> None:
    read(lake, event("a", time="2026-05-02T01:00:00+02:00") + event("b", time="2026-05-01T23:00:00-02:00"))
    assert {row["Id"]: row["dt"] for row in lake.rows()} == {"a": "2026-05-01", "b": "2026-05-02"}


BAD_TIMES = [
    *("", "x", "2026-05-01", "10:00:00Z", "2026-05-01T10:00:00", "2026-05-01 10:00:00Z", "2026-05-01_10:00:00Z"),
    *("2026-05-01T10:00Z", "2026-05-01T10:00:00.Z", "2026-05-01T10:00:00,5Z", "20260501T100000Z", "2026-5-1T10:00:00Z"),
    *("2026-13-01T10:00:00Z", "2026-00-01T10:00:00Z", "2026-05-32T10:00:00Z", "2026-05-00T10:00:00Z"),
    *(
        "2026-02-29T10:00:00Z",
        "0001-02-29T10:00:00Z",
        "2026-04-31T10:00:00Z",
        "2026-05-01T24:00:00Z",
        "2026-05-01T10:60:00Z",
    ),
    *("2026-05-01T10:00:60Z", "2026-05-01T23:59:60Z", "2026-05-01T10:00:00+24:00", "2026-05-01T10:00:00+05:60"),
    *("2026-05-01T10:00:00+0530", "2026-05-01T10:00:00+05", "2026-05-01T10:00:00 Z", " 2026-05-01T10:00:00Z"),
    *("2026-05-01T10:00:00Z ", "2026-05-01T10:00:00Z\n", "2026-05-01T10:00:00ZZ", "2026-05-01T10:00:00UTC"),
    *(
        "2026-05-01T10:00:00\u221205:00",
        "\u0662\u0660\u0662\u0666-05-01T10:00:00Z",
        "+2026-05-01T10:00:00Z",
        "12026-05-01T10:00:00Z",
    ),
    *("2026-W18-5T10:00:00Z", "2026-121T10:00:00Z", "1777629600", "2026-05-01T1:00:00Z", "2026-05-01T10:00:00.+01:00"),
    *(
        "2026-05-01T10:00:00.\u0661Z",
        "2026-05-01T10:00:00+05:30:00",
        "2026-05-01T10:00:00-5:00",
        "2026-05-01T10:00:00.5",
    ),
]


def test_a_time_that_is_not_rfc_3339_with_an_offset_is_bad_time(lake: Lake) -> None:
    counts = read(lake, lines(*(event(f"e{n:02}", time=time) for n, time in enumerate(BAD_TIMES))))
    assert lake.rows() == []
    assert {r["EventId"]: r["Reason"] for r in lake.quarantine()} == {
        f"e{n:02}": "bad_time" for n in range(len(BAD_TIMES))
    }
    assert counts["quarantined"] == len(BAD_TIMES)


ENDS_OF_THE_CALENDAR = [
    *("0000-01-01T00:00:00Z", "0000-02-29T00:00:00Z", "0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00Z"),
    *("9999-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00"),
]


@pytest.mark.parametrize("time", ENDS_OF_THE_CALENDAR)
def test_a_time_at_an_end_of_the_calendar_is_readable_and_out_of_range(lake: Lake, time: str) -> None:
    read(lake, event("a", time=time) + event("b"))
    assert reasons(lake.quarantine()) == ["time_out_of_range"]
    assert ids(lake.rows()) == ["b"]


NEARLY_TIMES = r"20\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-6]\d:[0-6]\d(\.\d{1,9}|\.|\.٣)?(Z|z|\+0\d:[0-6]\d)?"


PLAIN_TIMES = r"(19|20)\d\d-(0[1-9]|1[0-2])-[0-2]\dT[01]\d:[0-5]\d:[0-5]\d(\.\d{1,9})?Z"


@given(st.lists(st.from_regex(PLAIN_TIMES, fullmatch=True), min_size=1), st.from_regex(NEARLY_TIMES, fullmatch=True))
def test_many_times_at_once_are_read_as_each_by_itself(plain: list[str], nearly: str) -> None:
    for times in (plain, [*plain, nearly], [nearly]):
        assert parse_times(times) == [parse_time(time) for time in times]
