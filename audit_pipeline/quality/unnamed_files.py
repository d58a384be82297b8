"""The check of the lake's folders: whether they hold files that no manifest names, and that queries may count."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date
from typing import Final

import msgspec

from audit_pipeline.quality.verdicts import Verdict
from audit_pipeline.store.layout import (
    QUARANTINE_PREFIX,
    TABLE_PREFIX,
    date_of_folder,
    file_owner,
    is_hidden,
    pending_path,
)
from audit_pipeline.store.listing import shown_key
from audit_pipeline.store.manifest import Manifest
from audit_pipeline.store.objects import Store
from audit_pipeline.store.published import manifest_tags, named_by

__all__ = ["check_unnamed_files"]

#: Files that a description names, and the metadata.
_DESCRIBED: Final = 3
_LISTED: Final = 100
_WHAT_TO_DO: Final = (
    "No run wrote these files, or their run did not commit. DuckDB and the Python client leave them out; Athena and "
    "Trino read whatever is in the folders of the table, and count their rows. Move the files out of the lake."
)


def check_unnamed_files(lake: Store, manifest: Manifest) -> tuple[Verdict, bool]:
    """Whether every file of the table and the quarantine is named by a manifest; and whether the day's dates are clean.

    The folders of the dates that the run wrote are looked at, and all that are of no partition that has run.
    """
    own = {manifest.partition} | {output.dt for output in manifest.outputs}
    tags = manifest_tags(lake)
    of_dates: list[str] = []
    elsewhere: list[str] = []
    checked = 0
    for prefix in (TABLE_PREFIX, QUARANTINE_PREFIX):
        folders, keys = lake.level(prefix)
        elsewhere += _unnamed(lake, keys)
        for folder in folders:
            day = date_of_folder(folder)
            if is_hidden(folder) or (day in tags and day not in own):
                continue
            listing = lake.survey(f"{prefix}/{folder}")
            checked += len(listing.objects)
            unnamed = _unnamed(lake, [*(info.key for info in listing.objects), *listing.odd_keys])
            (of_dates if day in own else elsewhere).extend(unnamed)
    return _verdict(of_dates, elsewhere, checked), not of_dates


def _verdict(of_dates: Sequence[str], elsewhere: Sequence[str], checked: int) -> Verdict:
    files = [shown_key(key) for key in (*of_dates, *elsewhere)]
    numbers = {"files_looked_at": checked, "unnamed": len(files)}
    if not files:
        return Verdict(True, f"the manifests name each of {checked:,} files", numbers)
    more = f" and {len(files) - _DESCRIBED:,} more" if len(files) > _DESCRIBED else ""
    count = "1 file" if len(files) == 1 else f"{len(files):,} files"
    return Verdict(
        False,
        f"no manifest names {count} among the table's: {', '.join(files[:_DESCRIBED])}{more}",
        numbers | {"files": files[:_LISTED], "what_to_do": _WHAT_TO_DO},
    )


def _unnamed(lake: Store, keys: Sequence[str]) -> Iterator[str]:
    """Those of these keys that no manifest names. What a broken manifest names is not known, and counts as named."""
    visible = [key for key in keys if not is_hidden(key)]
    named = named_by(lake, {owner for key in visible if (owner := file_owner(key))})
    for key in visible:
        owner = file_owner(key)
        paths = named[owner] if owner else frozenset()
        if paths is not None and key not in paths and not (owner and _is_being_written(lake, key, owner)):
            yield key


def _is_being_written(lake: Store, key: str, owner: date) -> bool:
    """Whether a run of its partition is about to commit the file or to delete it, or has done so meanwhile.

    Of a run that was killed on the way, the next one cleans up.
    """
    pending = lake.get_if_exists(pending_path(owner)) or b"[]"
    with suppress(msgspec.MsgspecError):
        if key in msgspec.json.decode(pending, type=list[str]):
            return True
    paths = named_by(lake, {owner})[owner]
    return paths is None or key in paths or not lake.exists(key)
