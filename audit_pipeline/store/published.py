"""Which files of the lake are published: those that the manifest of the partition that they are named after names.

A folder of the table may hold others: copies by other tools, or files of a run that has not committed.
"""

import logging
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Final

import msgspec

from audit_pipeline.errors import RawChangedError
from audit_pipeline.store.layout import MANIFEST_PREFIX, file_owner, is_hidden, manifest_owner, manifest_path
from audit_pipeline.store.objects import Store

__all__ = ["manifest_tags", "named_by", "published"]

_log = logging.getLogger(__name__)

_CONCURRENCY: Final = 16
#: Manifests whose paths are kept: those of eleven years.
_KEPT: Final = 4096


class _Output(msgspec.Struct):
    path: str


class _Quarantine(msgspec.Struct):
    path: str | None


class _Names(msgspec.Struct):
    """The part of a manifest that is decoded here: its list of inputs may have 100,000 entries."""

    partition: date
    outputs: list[_Output]
    quarantine: _Quarantine


#: The paths that a manifest names, by its URL and e_tag; None for one that cannot be read.
_paths: Final[dict[tuple[str, str], frozenset[str] | None]] = {}


def published(lake: Store, keys: Iterable[str]) -> list[str]:
    """Those of these keys whose files are published, in the same order.

    The files of a partition whose manifest cannot be read are left out, with a warning that names it.
    """
    owned = [(key, owner) for key in keys if not is_hidden(key) and (owner := file_owner(key))]
    named = named_by(lake, {owner for _, owner in owned})
    for owner, paths in sorted(named.items()):
        if paths is None:
            _log.warning(
                "the files of partition %s are left out: its manifest %s cannot be read",
                *(owner, lake.url_of(manifest_path(owner))),
            )
    return [key for key, owner in owned if key in (named[owner] or ())]


def named_by(lake: Store, partitions: Collection[date]) -> dict[date, frozenset[str] | None]:
    """The paths that the manifest of each partition names: none where there is no manifest, None where it is broken."""
    if not partitions:
        return {}
    tags = manifest_tags(lake)
    wanted = sorted(partitions)
    with ThreadPoolExecutor(_CONCURRENCY, thread_name_prefix="manifest") as pool:
        read = pool.map(lambda day: _named(lake, day, tags[day]) if day in tags else frozenset(), wanted)
        return dict(zip(wanted, read, strict=True))


def manifest_tags(lake: Store) -> dict[date, str | None]:
    """The e_tags of the manifests, by partition; any other name beside them is no manifest."""
    return {owner: info.e_tag for info in lake.list(MANIFEST_PREFIX) if (owner := manifest_owner(info.key))}


def _named(lake: Store, partition: date, e_tag: str | None) -> frozenset[str] | None:
    known = (lake.url_of(manifest_path(partition)), e_tag or "")
    if known in _paths:
        return _paths[known]
    try:
        paths = _decode(lake.get(manifest_path(partition), if_match=e_tag), partition)
    except RawChangedError:  # replaced since it was listed
        data = lake.get_if_exists(manifest_path(partition))
        return frozenset() if data is None else _decode(data, partition)
    if len(_paths) >= _KEPT:
        _paths.clear()
    _paths[known] = paths
    return paths


def _decode(data: bytes, partition: date) -> frozenset[str] | None:
    try:
        names = msgspec.json.decode(data, type=_Names)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if names.partition != partition:
        return None
    paths = (*(output.path for output in names.outputs), names.quarantine.path)
    return frozenset(path for path in paths if path)
