"""What one run reads: the raw objects of its delivery hours, in order, split for processes or tasks."""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from audit_pipeline.errors import RawVanishedError, StoreError
from audit_pipeline.store.changes import RawChanges
from audit_pipeline.store.layout import delivery_hour_of, hours_read_by
from audit_pipeline.store.manifest import Manifest
from audit_pipeline.store.objects import ObjectInfo, Store

__all__ = ["InputSplit", "list_inputs", "refuse_vanished", "split_inputs"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InputSplit:
    """Consecutive raw objects of a run; ``first_number`` is the first one's number among all of them, from 1."""

    objects: Sequence[ObjectInfo]
    first_number: int


def list_inputs(raw: Store, partition: date, grace_hours: int) -> list[ObjectInfo]:
    """The objects that a run of ``partition`` reads, in the order (delivery hour, key)."""
    day_prefix = f"year={partition:%Y}/month={partition:%m}/day={partition:%d}"
    own_day = raw.list(day_prefix)
    following = partition + timedelta(days=1)
    hours = hours_read_by(partition, grace_hours)
    grace_prefixes = [hour.prefix.rstrip("/") for hour in hours if hour.day == following]
    grace = [info for prefix in grace_prefixes for info in raw.list(prefix)]
    unlisted = [key for prefix in (day_prefix, *grace_prefixes) for key in raw.unlisted(prefix)]
    if unlisted:
        raise StoreError(
            f"cannot read {raw.url_of(unlisted[0])}: in a local store, names that end in # and digits are those of "
            f"half-written files. Rename it ({len(unlisted)} such files)"
        )
    return [info for info in own_day if _is_in_hour_folder(raw, info)] + grace


def refuse_vanished(earlier: Manifest | None, inputs: Sequence[ObjectInfo]) -> None:
    """:class:`RawVanishedError` where raw objects are gone that the partition's last run read.

    Raw objects expire (in AWS by a lifecycle rule), the table does not: their rows must not be dropped by accident.
    """
    gone = RawChanges.between(earlier.inputs, inputs).vanished if earlier else ()
    if earlier and gone:
        shown = ", ".join(gone[:3]) + (f" and {len(gone) - 3:,} more" if len(gone) > 3 else "")
        raise RawVanishedError(
            f"{len(gone):,} of the {len(earlier.inputs):,} raw objects that the last run of partition "
            f"{earlier.partition} read are gone: {shown}. To run it again would drop their rows, so nothing was "
            f"changed. Put the objects back, or set accept_vanished_raw to accept the loss"
        )


def split_inputs(objects: Sequence[ObjectInfo], count: int) -> list[InputSplit]:
    """At most ``count`` splits of about the same number of bytes; none is empty."""
    total = sum(info.size for info in objects)
    bounds, seen = [0], 0
    for index, info in enumerate(objects, 1):
        seen += info.size
        if seen * count >= total * len(bounds):
            bounds.append(index)
    bounds[-1] = len(objects)
    return [InputSplit(objects[a:b], a + 1) for a, b in itertools.pairwise(bounds) if a < b]


def _is_in_hour_folder(raw: Store, info: ObjectInfo) -> bool:
    try:
        delivery_hour_of(info.key)
    except ValueError:
        _log.warning("%s is left out: it is not in an hour folder", raw.url_of(info.key))
        return False
    return True
