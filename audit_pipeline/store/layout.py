"""Paths in the raw store and in the lake, the same in a folder and in S3 (docs/design.md, "Layout of the store")."""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

__all__ = [
    "LAKE_SETTINGS_PATH",
    "TABLE_PREFIX",
    "DeliveryHour",
    "data_path",
    "date_of_folder",
    "day_folder",
    "delivery_hour_of",
    "dt_of",
    "dt_prefix",
    "file_owner",
    "hours_read_by",
    "is_hidden",
    "is_left_behind",
    "is_named_by_firehose",
    "lock_prefix",
    "manifest_owner",
    "manifest_path",
    "other_day_folders",
    "pending_path",
    "quarantine_path",
    "tasks_prefix",
]

TABLE_PREFIX: Final = "auditlog_parquet"
QUARANTINE_PREFIX: Final = "auditlog_quarantine"
MANIFEST_PREFIX: Final = "auditlog_manifest"
LAKE_SETTINGS_PATH: Final = f"{MANIFEST_PREFIX}/_lake.json"

_HOUR = re.compile(r"year=(\d{4})/month=(\d\d)/day=(\d\d)/hour=([01]\d|2[0-3])/.", re.DOTALL)
#: What Spark, Hadoop and macOS are known to leave in the folders that they write to or look at.
_LEFT_BEHIND = re.compile(
    r"(?:.*/)?(?:_temporary/.+|"
    r"(?:_SUCCESS|_started_[^/]*|_committed_[^/]*|\.DS_Store|\._[^/]*|\.[^/]*\.crc|[^/]*_\$folder\$))",
    re.DOTALL,
)
_FIREHOSE = re.compile(r"-\d{4}(?:-\d\d){5}-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}[^/]*$")
_FILE = re.compile(r"(\d{4}-\d\d-\d\d)(?:-\d{5})?\.parquet")
_MANIFEST = re.compile(rf"{MANIFEST_PREFIX}/(\d{{4}}-\d\d-\d\d)\.json")


@dataclass(frozen=True, order=True, slots=True)
class DeliveryHour:
    """The hour folder that Firehose wrote an object under (UTC)."""

    day: date
    hour: int

    @property
    def prefix(self) -> str:
        return f"{day_folder(self.day)}/hour={self.hour:02}/"


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


def day_folder(day: date) -> str:
    """The folder of a day's hour folders."""
    return f"year={day:%Y}/month={day:%m}/day={day:%d}"


def other_day_folders(day: date) -> list[str]:
    """Other spellings of a day's folder, in which no partition reads: unpadded ones, and Firehose's default prefix."""
    months, days = ({f"{number:02}", str(number)} for number in (day.month, day.day))
    hive = {f"year={day:%Y}/month={month}/day={number}" for month in months for number in days}
    return [*sorted(hive - {day_folder(day)}), f"{day:%Y/%m/%d}"]


def is_left_behind(raw_key: str) -> bool:
    """Whether a tool is known to leave an object of this name, which is no delivery of Firehose."""
    return _LEFT_BEHIND.fullmatch(raw_key) is not None


def is_named_by_firehose(raw_key: str) -> bool:
    """Whether the name ends in time and UUID, as the names that Firehose gives."""
    return _FIREHOSE.search(raw_key) is not None


def dt_prefix(dt: date) -> str:
    return f"{TABLE_PREFIX}/dt={dt}/"


def data_path(partition: date, dt: date, source: str, number: int | None = None) -> str:
    """Path of a data file: named after the partition that owns it, under the date of its events.

    ``number`` is given where one (dt, source) needs several files.
    """
    suffix = "" if number is None else f"-{number:05}"
    return f"{dt_prefix(dt)}source={source}/{partition}{suffix}.parquet"


def date_of_folder(name: str) -> date | None:
    """The date of a folder of the table or the quarantine; None for a folder of another name."""
    return _date(re.fullmatch(r"dt=(\d{4}-\d\d-\d\d)", name))


def dt_of(path: str) -> date | None:
    """The date that a data file is under; None for any other path."""
    return _date(re.match(rf"{TABLE_PREFIX}/dt=(\d{{4}}-\d\d-\d\d)/", path))


def file_owner(path: str) -> date | None:
    """The partition that owns a data file, by its name; None where the name is not one that runs give."""
    return _date(_FILE.fullmatch(path.rsplit("/", 1)[-1]))


def is_hidden(path: str) -> bool:
    """Whether a path of the lake is no data to any engine: a name in it begins with ``.`` or ``_``."""
    return any(name.startswith((".", "_")) for name in path.split("/"))


def quarantine_path(partition: date) -> str:
    return f"{QUARANTINE_PREFIX}/dt={partition}/{partition}.parquet"


def manifest_path(partition: date) -> str:
    return f"{MANIFEST_PREFIX}/{partition}.json"


def manifest_owner(path: str) -> date | None:
    """The partition whose manifest is at a path; None for any other name beside the manifests."""
    return _date(_MANIFEST.fullmatch(path))


def pending_path(partition: date) -> str:
    """The list of paths that a run is about to change, by which the next run cleans up after a killed one."""
    return f"auditlog_pending/{partition}.json"


def tasks_prefix(partition: date) -> str:
    """Where tasks of a distributed engine put finished files, before the run commits them."""
    return f"auditlog_tasks/{partition}"


def lock_prefix(name: str) -> str:
    return f"auditlog_lock/{name}/"


def _date(found: re.Match[str] | None) -> date | None:
    """The date in the first group, if it is one."""
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None
