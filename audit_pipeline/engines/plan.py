"""What a run does with the raw objects that it reads: whether some are gone, and splits for processes or tasks."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from audit_pipeline.errors import RawVanishedError
from audit_pipeline.store.changes import RawChanges
from audit_pipeline.store.manifest import Manifest
from audit_pipeline.store.objects import ObjectInfo

__all__ = ["InputSplit", "refuse_vanished", "split_inputs"]


@dataclass(frozen=True, slots=True)
class InputSplit:
    """Consecutive raw objects of a run; ``first_number`` is the first one's number among all of them, from 1."""

    objects: Sequence[ObjectInfo]
    first_number: int


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
