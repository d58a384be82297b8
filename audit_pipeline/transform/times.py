"""RFC 3339 times, as they stand in events, to milliseconds since 1970 (UTC)."""

import re
from collections.abc import Sequence
from datetime import date
from typing import Final

from audit_pipeline.epoch import DAY_MS, day_number

__all__ = ["parse_time", "parse_times"]

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
_DAYS_IN_400_YEARS: Final = 146_097


def parse_time(text: str) -> int | None:
    """Milliseconds since 1970 of an RFC 3339 time with an offset, further digits cut off; None for any other text.

    A leap second (``:60``) is None too: the table's timestamps cannot tell it from the next second.
    """
    found = _TIME.fullmatch(text)
    if not found:
        return None
    year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
    fraction, sign, offset_hours, offset_minutes = found.group(7, 8, 9, 10)
    if hour > 23 or minute > 59 or second > 59 or int(offset_hours or 0) > 23 or int(offset_minutes or 0) > 59:
        return None
    try:
        # the calendar repeats every 400 years; date itself knows no year 0
        days = day_number(date(2000 + year % 400, month, day)) + (year // 400 - 5) * _DAYS_IN_400_YEARS
    except ValueError:
        return None
    minutes = hour * 60 + minute
    if sign:
        offset = int(offset_hours) * 60 + int(offset_minutes)
        minutes += offset if sign == "-" else -offset
    milliseconds = int(fraction[:3].ljust(3, "0")) if fraction else 0
    return days * DAY_MS + (minutes * 60 + second) * 1000 + milliseconds


def parse_times(texts: Sequence[str]) -> list[int | None]:
    """Milliseconds since 1970 of many RFC 3339 times with an offset; None for each text that is not one.

    A time is the sum of its minute, its second and its rest, whose few different values are remembered.
    """
    try:
        return [_minutes[t[:16]] + _seconds[t[16:19]] + _rests[t[19:]] for t in texts]
    except _NoTimeError:
        return [parse_time(text) for text in texts]


class _NoTimeError(Exception):
    pass


class _Part(dict[str, int]):
    """The milliseconds of one part of a time; ``template`` is the beginning of 1970 with a place for the part."""

    _SIZE: Final = 10_000

    def __init__(self, template: str) -> None:
        self._template = template

    def __missing__(self, part: str) -> int:
        milliseconds = parse_time(self._template.format(part))
        if milliseconds is None:
            raise _NoTimeError
        if len(self) >= self._SIZE:
            self.clear()
        self[part] = milliseconds
        return milliseconds


_minutes = _Part("{}:00Z")
_seconds = _Part("1970-01-01T00:00{}Z")
_rests = _Part("1970-01-01T00:00:00{}")
