"""Which days' raw objects have changed since their last run: new files, changed ones and vanished ones."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from audit_pipeline.store.changes import RawChanges, fingerprint
from audit_pipeline.store.layout import MANIFEST_PREFIX, delivery_hour_of, manifest_path
from audit_pipeline.store.manifest import Manifest, read_manifest
from audit_pipeline.store.objects import ObjectInfo, Store
from audit_pipeline.store.raw import list_inputs

__all__ = ["ChangedDay", "LateFiles"]

#: Days that are listed at the same time; the pages of one day's listing come one after the other.
_CONCURRENCY: Final = 4


@dataclass(frozen=True, slots=True)
class ChangedDay:
    """A partition that has run, and what has happened to its raw objects since.

    ``mark`` identifies the raw objects and the run together: while it stays the same, nothing new has happened.
    ``newest`` is when the newest of the new and changed objects was written.
    """

    partition: date
    mark: str
    changes: RawChanges
    newest: datetime | None
    has_expired: bool

    def is_settled(self, now: datetime, quiet: timedelta) -> bool:
        """Whether no file has come for ``quiet``, so that the delivery is probably complete."""
        return self.newest is None or now - self.newest >= quiet


class LateFiles:
    """Compares the hour folders of days with what their last runs read.

    A day takes one listing of its hour folders (a request for each 1,000 objects). Its manifest, which is as long, is
    read only where the day's known mark shows that the listing or the manifest has changed.
    """

    def __init__(self, raw: Store, lake: Store, grace_hours: int) -> None:
        self._raw, self._lake, self._grace_hours = raw, lake, grace_hours

    def compare(
        self, days: Sequence[date], known: Mapping[date, str], *, until: Callable[[], bool]
    ) -> Iterator[tuple[date, ChangedDay | Exception | None]]:
        """For each day that has run, in the order given, what has changed; None where nothing has.

        A day that cannot be compared gives its error, and the others go on. Ends early once ``until`` is true.
        """
        manifests = {info.key: info.e_tag or "" for info in self._lake.list(MANIFEST_PREFIX)}
        with_run = [day for day in days if manifest_path(day) in manifests]

        def compare_or_fail(day: date) -> ChangedDay | Exception | None:
            try:
                return self._compare(day, manifests[manifest_path(day)], known.get(day))
            except Exception as error:
                return error

        with ThreadPoolExecutor(_CONCURRENCY, thread_name_prefix="late") as pool:
            for start in range(0, len(with_run), _CONCURRENCY):
                if until():
                    return
                chunk = with_run[start : start + _CONCURRENCY]
                yield from zip(chunk, pool.map(compare_or_fail, chunk), strict=True)

    def _compare(self, day: date, manifest_tag: str, known: str | None) -> ChangedDay | None:
        listed = list_inputs(self._raw, day, self._grace_hours)
        mark = hashlib.sha256(f"{fingerprint(listed)}|{manifest_tag}".encode()).hexdigest()
        if mark == known:
            return None
        manifest = read_manifest(self._lake, day)
        if manifest is None:
            return None
        changes = RawChanges.between(manifest.inputs, listed)
        return ChangedDay(day, mark, changes, _newest(changes, listed), _has_expired(manifest, listed))


def _newest(changes: RawChanges, listed: Iterable[ObjectInfo]) -> datetime | None:
    late = {*changes.new, *changes.changed}
    return max((info.last_modified for info in listed if info.key in late), default=None)


def _has_expired(manifest: Manifest, listed: Iterable[ObjectInfo]) -> bool:
    """Whether the day's own folders had objects and are empty now."""

    def is_own(key: str) -> bool:
        return delivery_hour_of(key).day == manifest.partition

    return any(is_own(item.key) for item in manifest.inputs) and not any(is_own(info.key) for info in listed)
