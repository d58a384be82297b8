"""``_lake.json``: the settings that all runs of a lake share, as they decide which run owns which event."""

from datetime import date

import msgspec

from audit_pipeline.errors import GraceMismatchError, StoreError
from audit_pipeline.store.layout import LAKE_SETTINGS_PATH
from audit_pipeline.store.locks import Locks
from audit_pipeline.store.objects import Store

__all__ = ["LakeSettings", "agree_on_lake_settings", "read_lake_settings"]


class LakeSettings(msgspec.Struct, frozen=True):
    grace_hours: int
    first_partition: date


def agree_on_lake_settings(lake: Store, wanted: LakeSettings, locks: Locks) -> LakeSettings:
    """The lake's settings: the first run writes them, and a run with an earlier first partition updates that.

    :class:`GraceMismatchError` where ``wanted`` has another grace.
    """
    data = msgspec.json.encode(wanted)
    found = read_lake_settings(lake)
    if found is None and lake.create(LAKE_SETTINGS_PATH, data):
        return wanted
    found = _agreed(lake, wanted)
    if wanted.first_partition >= found.first_partition:
        return found
    locks.acquire("lake", wait_seconds=60)
    found = _agreed(lake, wanted)
    earliest = msgspec.structs.replace(found, first_partition=min(found.first_partition, wanted.first_partition))
    lake.put(LAKE_SETTINGS_PATH, msgspec.json.encode(earliest))
    return earliest


def _agreed(lake: Store, wanted: LakeSettings) -> LakeSettings:
    found = read_lake_settings(lake)
    if found is None:
        raise StoreError(f"{lake.url_of(LAKE_SETTINGS_PATH)} vanished while it was read: run the partition again")
    if found.grace_hours != wanted.grace_hours:
        raise GraceMismatchError(
            f"the lake {lake.url} was written with a grace of {found.grace_hours} hours, not {wanted.grace_hours}, and "
            f"the grace decides which run owns which event. Set AUDIT_GRACE_HOURS={found.grace_hours}; or, to move, "
            f"set AUDIT_LAKE_URL to an empty lake and run every partition again with the new grace"
        )
    return found


def read_lake_settings(lake: Store) -> LakeSettings | None:
    """The lake's settings, or None where nothing has run yet."""
    data = lake.get_if_exists(LAKE_SETTINGS_PATH)
    if data is None:
        return None
    try:
        return msgspec.json.decode(data, type=LakeSettings)
    except msgspec.MsgspecError as error:
        raise StoreError(
            f"{lake.url_of(LAKE_SETTINGS_PATH)} cannot be read ({error}): restore it from a backup"
        ) from error
