"""Which run owns which event (docs/design.md, "Which run owns which event")."""

from dataclasses import dataclass
from datetime import date

from audit_pipeline.epoch import day_number
from audit_pipeline.store.layout import DeliveryHour

__all__ = ["OwnedDates", "Scope"]


@dataclass(frozen=True, slots=True)
class OwnedDates:
    """The event dates, as days since 1970, that a run owns among the events of one object.

    Events without a readable date, and those whose date is out of range, belong to the run of the delivery day.
    """

    is_own_day: bool
    partition: int
    earliest: int
    latest: int
    left_to_previous: bool

    def is_in_range(self, day: int) -> bool:
        return self.earliest <= day <= self.latest

    def owns(self, day: int | None) -> bool:
        if day is None or not self.is_in_range(day):
            return self.is_own_day
        if not self.is_own_day:
            return day == self.partition
        return not (self.left_to_previous and day == self.partition - 1)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a run of ``partition`` owns; ``first_partition`` is that of the lake.

    It reads objects of at most ``max_text_bytes`` of text.
    """

    partition: date
    grace_hours: int
    first_partition: date
    max_text_bytes: int = 1 << 30

    def owned_dates(self, hour: DeliveryHour) -> OwnedDates:
        """The event dates that the run owns in an object delivered in ``hour``."""
        return OwnedDates(
            is_own_day=hour.day == self.partition,
            partition=day_number(self.partition),
            earliest=day_number(self.first_partition),
            latest=day_number(hour.day) + 1,
            left_to_previous=hour.hour < self.grace_hours,
        )
