"""Listings of a folder or of a bucket: those of obstore, and slower ones where names need a closer look.

obstore refuses a whole listing for one key that it cannot address. The zero-byte keys by which consoles and tools mark
a folder it shows as objects, without the slash at their end.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import obstore
from obstore.exceptions import InvalidPathError
from obstore.store import LocalStore, S3Store

from audit_pipeline.store.s3 import list_keys

__all__ = ["Listing", "ObjectInfo", "files_under", "list_bucket", "list_folder", "shown_key"]

#: Names that obstore reserves in a folder for half-written files, and does not list.
_HALF_WRITTEN: Final = re.compile(r"#\d+$")
#: Control characters, and what Python makes of bytes that are not UTF-8.
_UNADDRESSABLE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as a listing shows it; ``key`` is relative to the store's URL, ``size`` in bytes."""

    key: str
    size: int
    e_tag: str | None
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class Listing:
    """The objects, and the keys of those that the store cannot address; both in the order of their code points."""

    objects: list[ObjectInfo]
    odd_keys: list[str]

    @classmethod
    def of(cls, objects: Iterable[ObjectInfo], odd_keys: Iterable[str] = ()) -> "Listing":
        return cls(sorted(objects, key=lambda info: info.key), sorted(odd_keys))


def list_folder(inner: LocalStore | S3Store, root: Path, prefix: str) -> Listing:
    """The files under a folder. ``FileNotFoundError`` where it does not exist."""
    try:
        return Listing.of(_quick(inner, prefix), filter(_HALF_WRITTEN.search, files_under(root, prefix)))
    except InvalidPathError:
        pass
    objects: list[ObjectInfo] = []
    odd_keys: list[str] = []
    for key in files_under(root, prefix):
        if _HALF_WRITTEN.search(key) or not _is_addressable(key):
            odd_keys.append(key)
            continue
        try:
            meta = obstore.head(inner, key)
        except FileNotFoundError:  # deleted meanwhile
            continue
        objects.append(ObjectInfo(key, meta["size"], meta["e_tag"], meta["last_modified"]))
    return Listing.of(objects, odd_keys)


def list_bucket(inner: LocalStore | S3Store, url: str, prefix: str, *, is_plain: Callable[[str], bool]) -> Listing:
    """The objects under a prefix, without the markers of folders.

    ``is_plain`` tells of a key that no tool gives it a slash at its end: obstore's listing would not show that slash.
    """
    try:
        objects = list(_quick(inner, prefix))
        if all(info.size and is_plain(info.key) for info in objects):
            return Listing.of(objects)
    except InvalidPathError:
        pass
    listed = [ObjectInfo(*fields) for fields in list_keys(url, prefix)]
    found = [info for info in listed if info.size or not info.key.endswith("/")]
    return Listing.of(
        (info for info in found if _is_addressable(info.key)),
        (info.key for info in found if not _is_addressable(info.key)),
    )


def shown_key(key: str) -> str:
    """A key with escapes for what cannot be shown: control characters, and bytes that are not UTF-8."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in key)


def _quick(inner: LocalStore | S3Store, prefix: str) -> Iterator[ObjectInfo]:
    for chunk in obstore.list(inner, prefix or None):
        for meta in chunk:
            yield ObjectInfo(str(meta["path"]), meta["size"], meta["e_tag"], meta["last_modified"])


def files_under(root: Path, prefix: str) -> Iterator[str]:
    """The keys of all files under a folder, whatever their names, in any order."""
    # not Path.rglob, which takes as long as obstore's listing
    for folder, _, names in os.walk(root / prefix):
        base = folder[len(str(root)) :].replace(os.sep, "/").strip("/")
        yield from (f"{base}/{name}" if base else name for name in names)


def _is_addressable(key: str) -> bool:
    """Whether obstore takes it: no control character, no empty segment, no ``..``, no bytes that are not UTF-8."""
    return not _UNADDRESSABLE.search(key) and not {"", ".", ".."} & set(key.split("/"))
