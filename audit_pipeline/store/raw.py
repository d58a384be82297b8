"""What is in raw for a run: the objects that it reads, what it skips, and what lies where no run reads."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

from audit_pipeline.store.layout import (
    day_folder,
    delivery_hour_of,
    hours_read_by,
    is_left_behind,
    is_named_by_firehose,
    other_day_folders,
)
from audit_pipeline.store.listing import shown_key
from audit_pipeline.store.objects import ObjectInfo, Store

__all__ = ["NAMED_STRAYS", "Inventory", "describe_strays", "list_inputs", "name_first", "take_inventory"]

_log = logging.getLogger(__name__)

#: Strays of a day that are named; all are counted.
NAMED_STRAYS: Final = 20


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is in raw for a run of one partition.

    ``inputs`` are the objects that it reads, in the order (delivery hour, key). ``skipped`` are the names in its hour
    folders that tools are known to leave. ``strays`` are objects of its day where no partition reads them, and keys
    that the store cannot address; their keys are written so that they can be shown.
    """

    partition: date
    inputs: Sequence[ObjectInfo]
    skipped: Sequence[str]
    strays: Sequence[str]

    def log(self) -> None:
        """Name the strays in a warning, and what was skipped."""
        if self.strays:
            _log.warning("%s: %s", self.partition, describe_strays(self.strays))
        if self.skipped:
            _log.info(
                "%s: skipped %s that tools are known to leave in hour folders: %s",
                *(self.partition, f"{len(self.skipped):,} of the names", name_first(self.skipped)),
            )


def take_inventory(raw: Store, partition: date, grace_hours: int) -> Inventory:
    """What a run of ``partition`` reads, and what of its day is in no place that a run reads."""
    found = _look_at_hour_folders(raw, partition, grace_hours)
    elsewhere = [
        key
        for folder in other_day_folders(partition)
        for listing in (raw.survey(folder, is_plain=is_named_by_firehose),)
        for key in (*(info.key for info in listing.objects), *listing.odd_keys)
        if not is_left_behind(key)
    ]
    return replace(found, strays=[shown_key(key) for key in sorted([*found.strays, *elsewhere])])


def list_inputs(raw: Store, partition: date, grace_hours: int) -> Sequence[ObjectInfo]:
    """The objects that a run of ``partition`` reads, in the order (delivery hour, key)."""
    return _look_at_hour_folders(raw, partition, grace_hours).inputs


def describe_strays(strays: Sequence[str]) -> str:
    """How many strays there are, and the first of them."""
    count = "1 object is" if len(strays) == 1 else f"{len(strays):,} objects are"
    return f"{count} where no partition reads: {name_first(strays)}"


def name_first(keys: Sequence[str]) -> str:
    """The first :data:`NAMED_STRAYS` of these keys, and how many more there are."""
    more = f" and {len(keys) - NAMED_STRAYS:,} more" if len(keys) > NAMED_STRAYS else ""
    return ", ".join(keys[:NAMED_STRAYS]) + more


def _look_at_hour_folders(raw: Store, partition: date, grace_hours: int) -> Inventory:
    """Without what is under another spelling of the day's folder."""
    own_day = raw.survey(day_folder(partition), is_plain=is_named_by_firehose)
    following = partition + timedelta(days=1)
    hours = [hour for hour in hours_read_by(partition, grace_hours) if hour.day == following]
    # odd keys of the grace hours are those of the next day
    grace = [
        info for hour in hours for info in raw.survey(hour.prefix.rstrip("/"), is_plain=is_named_by_firehose).objects
    ]
    inputs: list[ObjectInfo] = []
    skipped: list[str] = []
    strays = [key for key in own_day.odd_keys if not is_left_behind(key)]
    for info in (*own_day.objects, *grace):
        is_in_hour, is_left = _is_in_hour_folder(info.key), is_left_behind(info.key)
        if is_in_hour and not is_left:
            inputs.append(info)
        elif is_in_hour:
            skipped.append(shown_key(info.key))
        elif not is_left:
            strays.append(info.key)
    return Inventory(partition, inputs, skipped, strays)


def _is_in_hour_folder(key: str) -> bool:
    try:
        delivery_hour_of(key)
    except ValueError:
        return False
    return True
