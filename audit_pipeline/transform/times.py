"""RFC 3339 times to milliseconds since 1970 (UTC)."""

import re
from datetime import date
from typing import Final

__all__ = ["DAY_MS", "EpochCache", "day_number", "epoch_ms"]

DAY_MS: Final = 86_400_000

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAYS_IN_400_YEARS: Final = 146_097


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - _EPOCH


def epoch_ms(text: str) -> int | None:
    """Milliseconds since 1970 of an RFC 3339 time with an offset, further digits cut off; None where it is none.

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
        ordinal = date(2000 + year % 400, month, day).toordinal() + (year // 400 - 5) * _DAYS_IN_400_YEARS
    except ValueError:
        return None
    minutes = hour * 60 + minute
    if sign:
        offset = int(offset_hours) * 60 + int(offset_minutes)
        minutes += offset if sign == "-" else -offset
    milliseconds = int(fraction[:3].ljust(3, "0")) if fraction else 0
    return (ordinal - _EPOCH) * DAY_MS + (minutes * 60 + second) * 1000 + milliseconds


class EpochCache(dict[str, int | None]):
    """:func:`epoch_ms` with a memory: a day has 86,400 different seconds, however many events."""

    _SIZE: Final = 100_000

    def __missing__(self, text: str) -> int | None:
        second, fraction = text[:19], text[19:-1]
        if fraction[:1] == "." and text[-1] == "Z" and fraction[1:].isdecimal() and text.isascii():
            whole = self[f"{second}Z"]
            return None if whole is None else whole + int(fraction[1:4].ljust(3, "0"))
        if len(self) >= self._SIZE:
            self.clear()
        value = self[text] = epoch_ms(text)
        return value
