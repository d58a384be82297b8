"""The manifest: the JSON record of what one run read, wrote, dropped and quarantined. Writing it commits the run."""

from datetime import date, datetime

import msgspec

from audit_pipeline.errors import ConservationError, StoreError
from audit_pipeline.store.layout import manifest_path
from audit_pipeline.store.objects import Store

__all__ = [
    "EventCounts",
    "InputObject",
    "Manifest",
    "ObjectCounts",
    "OutputFile",
    "QuarantineFile",
    "TextBytes",
    "read_manifest",
    "write_manifest",
]


class InputObject(msgspec.Struct, frozen=True):
    """A raw object as the run read it; ``key`` is relative to raw, ``size`` in bytes."""

    key: str
    size: int
    e_tag: str | None


class ObjectCounts(msgspec.Struct, frozen=True):
    """``unreadable`` counts the objects that this run owns and could not read to their end.

    ``skipped`` are names in its hour folders that tools are known to leave, ``strays`` objects of its day where no
    partition reads. None in the manifests of versions that did not count them.
    """

    read: int = 0
    unreadable: int = 0
    skipped: int | None = None
    strays: int | None = None


class TextBytes(msgspec.Struct, frozen=True):
    """The bytes of the texts that the run owns, and of those of them whose event became no row."""

    read: int = 0
    quarantined: int = 0


class EventCounts(msgspec.Struct, frozen=True):
    """Every event that was read is counted in exactly one of the other four."""

    read: int = 0
    kept: int = 0
    duplicate: int = 0
    deferred: int = 0
    quarantined: int = 0


class OutputFile(msgspec.Struct, frozen=True):
    """A data file of the table; ``path`` is relative to the lake, ``size`` in bytes."""

    path: str
    dt: date
    source: str
    rows: int
    size: int
    sha256: str
    min_timestamp: datetime
    max_timestamp: datetime


class QuarantineFile(msgspec.Struct, frozen=True):
    """``path`` is None where nothing was quarantined."""

    path: str | None
    records: int
    by_reason: dict[str, int]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of one partition did (docs/design.md, "Runs")."""

    partition: date
    run_id: str
    code_version: str
    engine: str
    started_at: datetime
    finished_at: datetime
    grace_hours: int
    inputs: list[InputObject]
    objects: ObjectCounts
    text_bytes: TextBytes | None = None
    unreadable_bytes: int | None = None
    events: EventCounts
    rows: int
    late_rows: int
    quarantined_records: int
    outputs: list[OutputFile]
    quarantine: QuarantineFile

    def check_conservation(self) -> None:
        """Raise :class:`ConservationError` unless every event, row and record is accounted for."""
        e = self.events
        accounted = e.kept + e.duplicate + e.deferred + e.quarantined
        in_files = sum(o.rows for o in self.outputs)
        by_reason = sum(self.quarantine.by_reason.values())
        failures = [
            text
            for wrong, text in (
                (e.read != accounted, f"{e.read} events read but {accounted} accounted for ({e})"),
                (self.rows != in_files, f"{self.rows} rows counted but {in_files} in the files"),
                (self.objects.read != len(self.inputs), f"{self.objects.read} objects read of {len(self.inputs)}"),
                (
                    not self.quarantined_records == self.quarantine.records == by_reason,
                    f"{self.quarantined_records} records quarantined, {self.quarantine.records} in the file, "
                    f"{by_reason} by reason",
                ),
                (
                    self.text_bytes is not None and self.text_bytes.quarantined > self.text_bytes.read,
                    f"{self.text_bytes} of texts",
                ),
                (
                    bool(self.unreadable_bytes) and not self.objects.unreadable,
                    f"{self.unreadable_bytes} unreadable bytes but no unreadable object",
                ),
                (
                    self.objects.unreadable != self.quarantine.by_reason.get("unreadable_object", 0),
                    f"{self.objects.unreadable} unreadable objects but "
                    f"{self.quarantine.by_reason.get('unreadable_object', 0)} quarantined",
                ),
            )
            if wrong
        ]
        if failures:
            raise ConservationError(f"partition {self.partition}: {'; '.join(failures)}")


def read_manifest(lake: Store, partition: date) -> Manifest | None:
    """The manifest of the last committed run of ``partition``, or None where it never ran."""
    path = manifest_path(partition)
    data = lake.get_if_exists(path)
    if data is None:
        return None
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _unreadable(lake, path, error) from error
    if manifest.partition != partition:
        raise _unreadable(lake, path, f"it is that of partition {manifest.partition}")
    return manifest


def _unreadable(lake: Store, path: str, problem: object) -> StoreError:
    return StoreError(
        f"manifest {lake.url_of(path)} cannot be read ({problem}): restore it from a backup, or delete it "
        f"together with the partition's files and run the partition again"
    )


def write_manifest(lake: Store, manifest: Manifest) -> None:
    """Write the manifest, which commits the run."""
    lake.put(manifest_path(manifest.partition), msgspec.json.format(msgspec.json.encode(manifest), indent=1))
