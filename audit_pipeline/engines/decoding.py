"""Raw objects to sorted runs on disk, in this process or, for a large day, in worker processes."""

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from audit_pipeline.engines.plan import InputSplit, split_inputs
from audit_pipeline.engines.spill import SpillFile, write_sorted_run, write_table
from audit_pipeline.store.objects import ObjectInfo, open_store
from audit_pipeline.transform.decode import decode_batches
from audit_pipeline.transform.decoded import Counts, RawObject
from audit_pipeline.transform.duplicates import event_keys
from audit_pipeline.transform.ownership import Scope

__all__ = ["Spilled", "SpillingDecoder"]

#: Bytes of raw objects from which on worker processes pay for their start.
_WORKERS_FROM_BYTES = 32 << 20
#: Input splits for each worker, so that one does not wait long for another.
_SPLITS_PER_WORKER = 4


@dataclass(slots=True)
class Spilled:
    """What was decoded from one or several input splits, all in files: sorted runs of rows, the keys of the events,
    what was rejected, in order of delivery; and the counts.
    """

    runs: list[SpillFile] = field(default_factory=list)
    keys: list[Path] = field(default_factory=list)
    rejected: list[Path] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)

    def __iadd__(self, other: "Spilled") -> "Spilled":
        self.runs += other.runs
        self.keys += other.keys
        self.rejected += other.rejected
        self.counts += other.counts
        return self


@dataclass(frozen=True, slots=True)
class SpillingDecoder:
    """Decodes raw objects to files in ``folder``, each from about ``batch_bytes`` of rows."""

    raw_url: str
    scope: Scope
    folder: Path
    batch_bytes: int

    def decode(self, inputs: Sequence[ObjectInfo], workers: int) -> Iterator[tuple[int, Spilled]]:
        """Decode all objects of a run; yields (number of objects, what came of them) for each split, in order."""
        if workers == 1 or sum(info.size for info in inputs) < _WORKERS_FROM_BYTES:
            yield len(inputs), self._decode_split(InputSplit(inputs, first_number=1))
            return
        splits = split_inputs(inputs, workers * _SPLITS_PER_WORKER)
        # a fork of a process with threads (Dagster's, Arrow's) can hang; a fresh one cannot
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_die_with_parent) as pool:
            for split, spilled in zip(splits, pool.map(self._decode_split, splits), strict=True):
                yield len(split.objects), spilled

    def _decode_split(self, split: InputSplit) -> Spilled:
        raw = open_store(self.raw_url)
        fetched = enumerate(raw.get_many(split.objects), split.first_number)
        objects = (RawObject(info.key, number, data) for number, (info, data) in fetched)
        spilled = Spilled()
        for batch, decoded in enumerate(decode_batches(objects, self.scope, self.batch_bytes)):
            name = f"{split.first_number:09}-{batch:06}"
            spilled.counts += decoded.counts
            if len(decoded.rows):
                run, rows = write_sorted_run(decoded.rows, self.folder / f"{name}.rows")
                spilled.runs.append(run)
                spilled.keys.append(write_table(event_keys(rows), self.folder / f"{name}.keys"))
            if len(decoded.rejected):
                spilled.rejected.append(write_table(decoded.rejected, self.folder / f"{name}.rejected"))
        return spilled


def _die_with_parent() -> None:
    """End this worker process when its parent is killed; it would wait for work for ever."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
