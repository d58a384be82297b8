"""The conservation check: the files of a day hold every event and row that its manifest counts."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audit_pipeline.contract.columns import QUARANTINE_SCHEMA, ROW_SCHEMAS
from audit_pipeline.errors import ConservationError
from audit_pipeline.quality.verdicts import Verdict
from audit_pipeline.store.layout import QUARANTINE_PREFIX, dt_prefix, file_owner, is_hidden
from audit_pipeline.store.manifest import Manifest, OutputFile
from audit_pipeline.store.objects import ObjectInfo, Store

__all__ = ["check_conservation"]

#: Files up to this size (bytes) are hashed; of larger ones the footer and two columns are read.
_HASHED_BYTES: Final = 32 << 20


def check_conservation(lake: Store, manifest: Manifest) -> Verdict:
    """Whether the store holds what the manifest says, event for event and row for row.

    The files are listed, and their events, rows and records counted again.
    """
    recount = _Recount(lake, manifest)
    recount.run()
    events = manifest.events
    equation = (
        f"{events.read:,} events read = {events.kept:,} kept + {events.duplicate:,} duplicate + "
        f"{events.deferred:,} deferred + {events.quarantined:,} quarantined"
    )
    metadata = {
        "equation": equation,
        "events_in_files": recount.events,
        "rows_in_files": recount.rows,
        "rows_in_manifest": manifest.rows,
        "records_in_quarantine": recount.records,
        "files_checked": recount.files,
        "files_hashed": recount.hashed,
        "run_of_manifest": manifest.run_id,
    }
    problems = [*_arithmetic(manifest), *recount.problems]
    if problems:
        return Verdict(False, "; ".join(problems), metadata | {"problems": problems})
    return Verdict(
        True, f"{equation}; {recount.rows:,} rows and {recount.records:,} records in {recount.files:,} files", metadata
    )


def _arithmetic(manifest: Manifest) -> list[str]:
    try:
        manifest.check_conservation()
    except ConservationError as error:
        return [str(error)]
    return []


class _Recount:
    """What the files of one partition hold, counted from the files themselves."""

    def __init__(self, lake: Store, manifest: Manifest) -> None:
        self._lake = lake
        self._manifest = manifest
        self.events = self.rows = self.records = self.files = self.hashed = 0
        self.problems: list[str] = []
        self._last_event: tuple[str, int] | None = None

    def run(self) -> None:
        self._count_table()
        self._count_quarantine()

    def _count_table(self) -> None:
        manifest = self._manifest
        expected = {output.path: output for output in manifest.outputs}
        dates = {manifest.partition} | {output.dt for output in manifest.outputs}
        listed = self._owned_files(dt_prefix(dt) for dt in sorted(dates))
        self._compare_names(expected, listed)
        outputs = (expected[path] for path in sorted(expected.keys() & listed.keys()))
        for _, files in groupby(outputs, key=lambda output: (output.dt, output.source)):
            # the files of a date and source are in the order of their rows: an event may continue in the next file
            self._last_event = None
            for output in files:
                self._compare_bytes(output, listed[output.path])
                with self._reading(output.path):
                    self._count_file(output, listed[output.path])
        if self.events != manifest.events.kept:
            self.problems.append(f"the files hold {self.events:,} events, but {manifest.events.kept:,} were kept")
        if self.rows != manifest.rows:
            self.problems.append(f"the files hold {self.rows:,} rows, but {manifest.rows:,} were counted")

    def _count_file(self, output: OutputFile, info: ObjectInfo) -> None:
        file = self._open(info, ROW_SCHEMAS)
        self.rows += file.metadata.num_rows
        if file.metadata.num_rows != output.rows:
            self.problems.append(f"{info.key} holds {file.metadata.num_rows:,} rows, not {output.rows:,}")
        for batch in file.iter_batches(columns=["Id", "Timestamp"]):
            self._count_events(batch["Id"], batch["Timestamp"].cast(pa.int64()))

    def _count_events(self, ids: pa.Array, times: pa.Array) -> None:
        """Count the events of consecutive rows: the rows of an event follow one another."""
        if not len(ids):
            return
        changes = pc.or_(pc.not_equal(ids[1:], ids[:-1]), pc.not_equal(times[1:], times[:-1]))
        first = (ids[0].as_py(), times[0].as_py())
        self.events += (first != self._last_event) + (pc.sum(changes).as_py() or 0)
        self._last_event = (ids[-1].as_py(), times[-1].as_py())

    def _count_quarantine(self) -> None:
        quarantine, partition = self._manifest.quarantine, self._manifest.partition
        listed = self._owned_files([f"{QUARANTINE_PREFIX}/dt={partition}/"])
        self._compare_names({quarantine.path} if quarantine.path else set(), listed)
        by_reason: Counter[str] = Counter()
        for path, info in listed.items():
            with self._reading(path):
                for batch in self._open(info, (QUARANTINE_SCHEMA,)).iter_batches(columns=["Reason"]):
                    by_reason.update(batch["Reason"].to_pylist())
        self.records = by_reason.total()
        if by_reason != quarantine.by_reason:
            held = ", ".join(f"{count:,} {reason}" for reason, count in sorted(by_reason.items())) or "nothing"
            self.problems.append(f"the quarantine holds {held}, but {quarantine.records:,} records were counted")

    def _owned_files(self, prefixes: Iterable[str]) -> dict[str, ObjectInfo]:
        listed = (info for prefix in prefixes for info in self._lake.list(prefix.rstrip("/")))
        owner = self._manifest.partition
        return {info.key: info for info in listed if not is_hidden(info.key) and file_owner(info.key) == owner}

    def _compare_names(self, expected: Iterable[str], listed: Iterable[str]) -> None:
        self.problems += [f"{path} is missing" for path in sorted({*expected} - {*listed})]
        self.problems += [f"{path} is not in the manifest" for path in sorted({*listed} - {*expected})]

    def _compare_bytes(self, output: OutputFile, info: ObjectInfo) -> None:
        if info.size != output.size:
            self.problems.append(f"{info.key} has {info.size:,} bytes, not {output.size:,}")
        elif info.size <= _HASHED_BYTES:
            self.hashed += 1
            if hashlib.sha256(self._lake.get(info.key)).hexdigest() != output.sha256:
                self.problems.append(f"{info.key} has other bytes than were written (sha256)")

    def _open(self, info: ObjectInfo, schemas: Sequence[pa.Schema]) -> pq.ParquetFile:
        self.files += 1
        file = pq.ParquetFile(self._lake.open(info))
        found = file.schema_arrow
        if not any((found.names, found.types) == (schema.names, schema.types) for schema in schemas):
            self.problems.append(f"{info.key} has other columns than it should")
        return file

    @contextmanager
    def _reading(self, path: str) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            self.problems.append(f"{path} cannot be read: {error}")
