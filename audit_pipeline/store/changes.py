"""What has happened to a partition's raw objects since its last run."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from audit_pipeline.store.layout import is_left_behind
from audit_pipeline.store.manifest import InputObject
from audit_pipeline.store.objects import ObjectInfo

__all__ = ["RawChanges", "fingerprint"]


@dataclass(frozen=True, slots=True)
class RawChanges:
    """Keys of raw objects, sorted: what the hours of a partition hold now, against what its last run read."""

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()

    @classmethod
    def between(cls, read: Iterable[InputObject], listed: Iterable[ObjectInfo]) -> "RawChanges":
        # earlier versions read what tools had left
        before = {item.key: (item.size, item.e_tag) for item in read if not is_left_behind(item.key)}
        now = {info.key: (info.size, info.e_tag) for info in listed}
        return cls(
            new=tuple(sorted(now.keys() - before.keys())),
            changed=tuple(sorted(key for key in now.keys() & before.keys() if before[key] != now[key])),
            vanished=tuple(sorted(before.keys() - now.keys())),
        )

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.vanished)


def fingerprint(objects: Iterable[ObjectInfo | InputObject]) -> str:
    """A SHA-256 (hexadecimal) of the objects' keys, sizes and e_tags, in any order."""
    lines = sorted(f"{item.key}\0{item.size}\0{item.e_tag or ''}\n" for item in objects)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
