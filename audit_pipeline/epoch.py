"""Days and milliseconds since 1970-01-01 (UTC), in which times are stored and compared."""

from datetime import UTC, date, datetime, timedelta
from typing import Final

__all__ = ["DAY_MS", "EPOCH", "day_number", "day_of", "epoch_ms", "moment_of"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
DAY_MS: Final = 86_400_000

_EPOCH_ORDINAL: Final = EPOCH.toordinal()


def day_number(day: date) -> int:
    """Days since 1970."""
    return day.toordinal() - _EPOCH_ORDINAL


def day_of(number: int) -> date:
    """The date that is so many days after 1970-01-01; OverflowError or ValueError outside of the years 1 to 9999."""
    return date.fromordinal(_EPOCH_ORDINAL + number)


def epoch_ms(moment: datetime) -> int:
    """Milliseconds since 1970 of a time with an offset, the rest cut off."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def moment_of(milliseconds: int) -> datetime:
    """The time (UTC) that is so many milliseconds after 1970; OverflowError outside of the years 1 to 9999."""
    return EPOCH + timedelta(milliseconds=milliseconds)
