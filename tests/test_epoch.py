"""Days and milliseconds since 1970, both ways."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_pipeline.epoch import DAY_MS, EPOCH, day_number, day_of, epoch_ms, moment_of

whole_milliseconds = st.datetimes(timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)


@given(st.dates())
def test_a_day_is_its_number_and_back(day: date) -> None:
    assert day_of(day_number(day)) == day
    assert epoch_ms(datetime(day.year, day.month, day.day, tzinfo=UTC)) == day_number(day) * DAY_MS


@given(whole_milliseconds)
def test_a_moment_is_its_milliseconds_and_back(moment: datetime) -> None:
    assert moment_of(epoch_ms(moment)) == moment
    assert day_of(epoch_ms(moment) // DAY_MS) == moment.date()


def test_the_count_begins_with_1970() -> None:
    assert (day_number(date(1970, 1, 1)), epoch_ms(EPOCH)) == (0, 0)
    assert (day_of(-1), moment_of(-1)) == (date(1969, 12, 31), EPOCH - timedelta(milliseconds=1))


def test_an_offset_is_taken_off_and_microseconds_are_cut() -> None:
    moment = datetime(1970, 1, 1, 2, 0, 0, 1999, tzinfo=timezone(timedelta(hours=2)))
    assert epoch_ms(moment) == 1


@pytest.mark.parametrize("milliseconds", [1 << 62, -(1 << 62), 253_402_300_800_000])
def test_what_no_calendar_has_is_an_overflow(milliseconds: int) -> None:
    with pytest.raises(OverflowError):
        moment_of(milliseconds)
