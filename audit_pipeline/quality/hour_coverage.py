"""The check of a day's delivery hours."""

from collections.abc import Iterable, Sequence
from datetime import date

from audit_pipeline.quality.verdicts import Verdict
from audit_pipeline.store.layout import delivery_hour_of
from audit_pipeline.store.objects import ObjectInfo

__all__ = ["check_hour_coverage"]


def check_hour_coverage(partition: date, objects: Iterable[ObjectInfo], strays: int = 0) -> Verdict:
    """Whether each of the day's 24 delivery hours holds an object; a gap warns, for an hour may be quiet.

    ``strays`` is how many objects of the day are where no partition reads: they may be those that are missing.
    """
    hours = (delivery_hour_of(info.key) for info in objects)
    covered = {hour.hour for hour in hours if hour.day == partition}
    missing = sorted(set(range(24)) - covered)
    if not missing:
        description = "all 24 hours hold objects"
    elif strays:
        description = (
            f"no partition reads an object of the hours {_ranges(missing)} (UTC), but {strays:,} of the day's objects "
            f"are elsewhere: see the check strays"
        )
    else:
        description = f"no object in the hours {_ranges(missing)} (UTC)"
    numbers = {"hours_covered": len(covered), "hours_missing": len(missing)}
    return Verdict(not missing, description, numbers, severity="warn")


def _ranges(hours: Sequence[int]) -> str:
    """Hours as a person lists them: ``00-03, 07``."""
    ranges: list[list[int]] = []
    for hour in hours:
        if ranges and hour == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], hour]
        else:
            ranges.append([hour])
    return ", ".join("-".join(f"{hour:02}" for hour in bounds) for bounds in ranges)
