"""Raw objects to sorted runs on disk, in this process or, for a large day, in worker processes."""

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from audit_pipeline.engines.plan import share_out
from audit_pipeline.engines.spill import RunFile, write_run, write_table
from audit_pipeline.store.objects import ObjectInfo, open_store
from audit_pipeline.transform.decode import Counts, RawObject, decode_batches
from audit_pipeline.transform.duplicates import event_keys
from audit_pipeline.transform.ownership import Scope

__all__ = ["Share", "Spilled", "spill_all"]

#: Bytes of raw objects from which on worker processes pay for their start.
_WORKERS_FROM_BYTES = 32 << 20
#: Shares for each worker, so that one does not wait long for another.
_SHARES_PER_WORKER = 4


@dataclass(frozen=True, slots=True)
class Share:
    """Consecutive raw objects of a run; ``first_number`` is the place of the first among all of the run's."""

    raw_url: str
    scope: Scope
    objects: Sequence[ObjectInfo]
    first_number: int
    folder: Path
    batch_bytes: int


@dataclass(slots=True)
class Spilled:
    """What came of one or several shares: sorted runs, the events' keys, quarantine records in order, counts."""

    runs: list[RunFile] = field(default_factory=list)
    keys: list[Path] = field(default_factory=list)
    rejected: list[Path] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)

    def __iadd__(self, other: "Spilled") -> "Spilled":
        self.runs += other.runs
        self.keys += other.keys
        self.rejected += other.rejected
        self.counts += other.counts
        return self


def spill_all(whole: Share, workers: int) -> Iterator[tuple[int, Spilled]]:
    """Decode all objects of a run; yields (objects, what came of them) a share at a time, in order."""
    if workers == 1 or sum(info.size for info in whole.objects) < _WORKERS_FROM_BYTES:
        yield len(whole.objects), _spill(whole)
        return
    shares = _parts(whole, workers * _SHARES_PER_WORKER)
    # a fork of a process with threads (Dagster's, Arrow's) can hang; a fresh one cannot
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_die_with_parent) as pool:
        for share, spilled in zip(shares, pool.map(_spill, shares), strict=True):
            yield len(share.objects), spilled


def _parts(whole: Share, count: int) -> list[Share]:
    parts: list[Share] = []
    number = whole.first_number
    for objects in share_out(whole.objects, count):
        parts.append(Share(whole.raw_url, whole.scope, objects, number, whole.folder, whole.batch_bytes))
        number += len(objects)
    return parts


def _spill(share: Share) -> Spilled:
    raw = open_store(share.raw_url)
    fetched = enumerate(raw.get_many(share.objects), share.first_number)
    objects = (RawObject(info.key, number, data) for number, (info, data) in fetched)
    spilled = Spilled()
    for batch, decoded in enumerate(decode_batches(objects, share.scope, share.batch_bytes)):
        name = f"{share.first_number:09}-{batch:06}"
        spilled.counts += decoded.counts
        if len(decoded.rows):
            run, rows = write_run(decoded.rows, share.folder / f"{name}.rows")
            spilled.runs.append(run)
            spilled.keys.append(write_table(event_keys(rows), share.folder / f"{name}.keys"))
        if len(decoded.rejected):
            spilled.rejected.append(write_table(decoded.rejected, share.folder / f"{name}.rejected"))
    return spilled


def _die_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
