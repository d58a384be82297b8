"""Paths in the raw store and in the lake, the same in a folder and in S3 (docs/design.md, "Layout of the store")."""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

__all__ = [
    "LAKE_SETTINGS_PATH",
    "TABLE_PREFIX",
    "DeliveryHour",
    "data_path",
    "delivery_hour_of",
    "dt_of",
    "dt_prefix",
    "file_owner",
    "hours_read_by",
    "lock_prefix",
    "manifest_path",
    "pending_path",
    "quarantine_path",
    "tasks_prefix",
]

TABLE_PREFIX: Final = "auditlog_parquet"
QUARANTINE_PREFIX: Final = "auditlog_quarantine"
MANIFEST_PREFIX: Final = "auditlog_manifest"
LAKE_SETTINGS_PATH: Final = f"{MANIFEST_PREFIX}/_lake.json"

_HOUR = re.compile(r"year=(\d{4})/month=(\d\d)/day=(\d\d)/hour=(\d\d)/.")
_FILE = re.compile(r"(\d{4}-\d\d-\d\d)(?:-\d{5})?\.parquet")


@dataclass(frozen=True, order=True, slots=True)
class DeliveryHour:
    """The hour folder that Firehose wrote an object under (UTC)."""

    day: date
    hour: int

    @property
    def prefix(self) -> str:
        return f"year={self.day:%Y}/month={self.day:%m}/day={self.day:%d}/hour={self.hour:02}/"


def delivery_hour_of(raw_key: str) -> DeliveryHour:
    """The delivery hour of a raw object. ``ValueError`` where its key is not in an hour folder."""
    found = _HOUR.match(raw_key)
    if not found:
        raise ValueError(f"raw object {raw_key!r} is not in an hour folder (year=YYYY/month=MM/day=DD/hour=HH/)")
    year, month, day, hour = map(int, found.groups())
    return DeliveryHour(date(year, month, day), hour)


def hours_read_by(partition: date, grace_hours: int) -> list[DeliveryHour]:
    """The delivery hours that a run of ``partition`` reads: its own 24 and the grace hours of the next day."""
    following = partition + timedelta(days=1)
    return [DeliveryHour(partition, h) for h in range(24)] + [DeliveryHour(following, h) for h in range(grace_hours)]


def dt_prefix(dt: date) -> str:
    return f"{TABLE_PREFIX}/dt={dt}/"


def data_path(partition: date, dt: date, source: str, number: int | None = None) -> str:
    """Path of a data file: named after the partition that owns it, under the date of its events.

    ``number`` is given where one (dt, source) needs several files.
    """
    suffix = "" if number is None else f"-{number:05}"
    return f"{dt_prefix(dt)}source={source}/{partition}{suffix}.parquet"


def dt_of(path: str) -> date | None:
    """The date that a data file is under; None for any other path."""
    found = re.match(rf"{TABLE_PREFIX}/dt=(\d{{4}}-\d\d-\d\d)/", path)
    with suppress(ValueError):  # digits that are no date
        return date.fromisoformat(found[1]) if found else None
    return None


def file_owner(path: str) -> date | None:
    """The partition that owns a data file, by its name; None where the name is not one that runs give."""
    found = _FILE.fullmatch(path.rsplit("/", 1)[-1])
    return date.fromisoformat(found[1]) if found else None


def quarantine_path(partition: date) -> str:
    return f"{QUARANTINE_PREFIX}/dt={partition}/{partition}.parquet"


def manifest_path(partition: date) -> str:
    return f"{MANIFEST_PREFIX}/{partition}.json"


def pending_path(partition: date) -> str:
    """The list of paths that a run is about to change, by which the next run cleans up after a killed one."""
    return f"auditlog_pending/{partition}.json"


def tasks_prefix(partition: date) -> str:
    """Where tasks of a distributed engine put finished files, before the run commits them."""
    return f"auditlog_tasks/{partition}"


def lock_prefix(name: str) -> str:
    return f"auditlog_lock/{name}/"
