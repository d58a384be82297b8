"""The one commit that all engines share (docs/design.md, "Runs").

Files are put first, each whole; then the partition's stale files are deleted; the manifest comes last and makes the run
count. Before the first of these the run writes a list of every path that it will touch, so that the next run of the
partition can clean up after one that was killed on the way.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Final

import msgspec

from audit_pipeline.errors import StoreError
from audit_pipeline.store.layout import pending_path
from audit_pipeline.store.locks import Locks
from audit_pipeline.store.manifest import Manifest, read_manifest, write_manifest
from audit_pipeline.store.objects import Store

__all__ = ["Staged", "commit", "paths_of_earlier_runs"]

#: Files that are moved at a time.
_MOVES: Final = 16

#: A finished file: on this machine (its path), or an object of the lake outside of the table (its key).
Staged = Path | str


def paths_of_earlier_runs(lake: Store, partition: date) -> set[str]:
    """Paths of all files that earlier runs of this partition can have left: its manifest's, and a killed run's."""
    paths: set[str] = set()
    earlier = read_manifest(lake, partition)
    if earlier is not None:
        paths |= {output.path for output in earlier.outputs}
        if earlier.quarantine.path is not None:
            paths.add(earlier.quarantine.path)
    return paths | _pending_paths(lake, pending_path(partition))


def _pending_paths(lake: Store, key: str) -> set[str]:
    pending = lake.get_if_exists(key)
    if pending is None:
        return set()
    try:
        return msgspec.json.decode(pending, type=set[str])
    except msgspec.MsgspecError as error:
        raise StoreError(
            f"the list of files that a killed run was changing, {lake.url_of(key)}, cannot be read ({error}): delete "
            f"it together with the files of the table that are named after its partition, and run the partition again"
        ) from error


def commit(lake: Store, locks: Locks, manifest: Manifest, staged: Mapping[str, Staged], earlier: Iterable[str]) -> None:
    """Put the staged files (by their paths in the lake), delete those of ``earlier`` that are not among them.

    The caller holds the locks of the partition and of every dt that a path is under.
    """
    manifest.check_conservation()
    stale = sorted(set(earlier) - set(staged))
    pending = pending_path(manifest.partition)
    locks.check()
    lake.put(pending, msgspec.json.encode(sorted({*staged, *stale})))
    for path, file in staged.items():
        if isinstance(file, Path):
            lake.put(path, file)
    # S3 takes seconds to copy a large object: move many at a time
    moves = ((file, path) for path, file in staged.items() if not isinstance(file, Path))
    with ThreadPoolExecutor(_MOVES) as pool:
        list(pool.map(lambda move: lake.move(*move), moves))
    locks.check()
    lake.delete(stale)
    locks.check()
    write_manifest(lake, manifest)
    lake.delete([pending])
