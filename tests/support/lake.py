"""A raw store and a lake in a folder, as the tests write, run and read them."""

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from audit_pipeline.engines import run_partition
from audit_pipeline.settings import Settings
from audit_pipeline.store.manifest import (
    EventCounts,
    Manifest,
    ObjectCounts,
    OutputFile,
    QuarantineFile,
    write_manifest,
)
from audit_pipeline.store.objects import open_store

Record = dict[str, Any]

DAY0, DAY1, DAY2, DAY3, DAY4, DAY5 = (date(2026, 4, 30), *(date(2026, 5, d) for d in range(1, 6)))
#: The first partition of the lakes that tests make.
FIRST = DAY1

ENTITY = '{"entity":{"id":"1","name":"n"}}'


def obj(fields: Mapping[str, str | None]) -> str:
    """A JSON object of value *texts*; a field that is None is left out."""
    return "{" + ",".join(f"{json.dumps(k)}:{v}" for k, v in fields.items() if v is not None) + "}"


def event(
    event_id: str = "e1",
    *entities: str,
    time: str = "2026-05-01T10:00:00Z",
    source: str = "shop",
    top: Mapping[str, str | None] | None = None,
    detail: Mapping[str, str | None] | None = None,
) -> str:
    """An event's text. ``top`` and ``detail`` override fields by value text; None leaves a field out."""
    inner = {"entities": f"[{','.join(entities or (ENTITY,))}]"} | dict(detail or {})
    outer = {"id": json.dumps(event_id), "source": json.dumps(source), "time": json.dumps(time), "detail": obj(inner)}
    return obj(outer | dict(top or {}))


def entity(**fields: str) -> str:
    """An entity change of value texts, with a sound ``entity`` unless one is given."""
    return obj({"entity": '{"id":"1","name":"n"}'} | fields)


def key(day: date, hour: int = 10, name: str = "a") -> str:
    return f"year={day:%Y}/month={day:%m}/day={day:%d}/hour={hour:02}/{name}"


def encode(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def zipped(text: str | bytes) -> bytes:
    return gzip.compress(encode(text), mtime=0)


@dataclass
class Lake:
    """One raw store and one lake under ``root``."""

    root: Path
    first: date = FIRST
    grace: int = 1
    settings: Record = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.raw.mkdir(parents=True, exist_ok=True)

    @property
    def raw(self) -> Path:
        return self.root / "raw"

    @property
    def path(self) -> Path:
        return self.root / "lake"

    def write(self, raw_key: str, data: str | bytes) -> None:
        path = self.raw / raw_key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(data))

    def run(self, partition: date = FIRST, *, accept_vanished_raw: bool = False, **changed: Any) -> Manifest:
        given = {"start_date": self.first, "grace_hours": self.grace, "workers": 1} | self.settings | changed
        settings = Settings(raw_url=str(self.raw), lake_url=str(self.path), **given)
        return run_partition(settings, partition, accept_vanished_raw=accept_vanished_raw)

    def files(self, folder: str = "auditlog_parquet") -> dict[str, bytes]:
        """The files under a folder of the lake, by path relative to the lake."""
        found = sorted(p for p in (self.path / folder).rglob("*") if p.is_file())
        return {p.relative_to(self.path).as_posix(): p.read_bytes() for p in found}

    def rows(self, owner: date | None = None) -> list[Record]:
        """The rows of the table, in the order of its files, with ``dt``, ``source`` and the owning ``partition``."""
        return [row for path in self.files() for row in self.rows_of(path) if owner in (None, row["owner"])]

    def rows_of(self, path: str) -> list[Record]:
        _, dt, source, name = path.split("/")
        of_partition = {
            "dt": dt.removeprefix("dt="),
            "source": source.removeprefix("source="),
            "owner": date.fromisoformat(name[:10]),
        }
        rows = pq.ParquetFile(self.path / path).read().to_pylist()
        return [row | {"Timestamp": iso(row["Timestamp"])} | of_partition for row in rows]

    def quarantine(self, partition: date = FIRST) -> list[Record]:
        path = self.path / f"auditlog_quarantine/dt={partition}/{partition}.parquet"
        return pq.ParquetFile(path).read().to_pylist() if path.exists() else []

    def manifest(self, partition: date = FIRST) -> Record:
        return json.loads((self.path / f"auditlog_manifest/{partition}.json").read_bytes())


def publish(lake: Lake, partition: date) -> None:
    """A manifest that names the files of the partition as they lie there, without a run."""
    paths = [path for path in lake.files() if path.rsplit("/", 1)[-1].startswith(str(partition))]
    moment = datetime.combine(partition, time(), UTC)
    outputs = []
    for path in paths:
        _, dt, source, _ = path.split("/")
        size, rows = (lake.path / path).stat().st_size, pq.read_metadata(lake.path / path).num_rows
        day = date.fromisoformat(dt.removeprefix("dt="))
        outputs.append(OutputFile(path, day, source.removeprefix("source="), rows, size, "", moment, moment))
    count = sum(output.rows for output in outputs)
    manifest = Manifest(
        partition=partition,
        run_id="test",
        code_version="test",
        engine="test",
        started_at=moment,
        finished_at=moment,
        grace_hours=lake.grace,
        inputs=[],
        objects=ObjectCounts(),
        events=EventCounts(read=count, kept=count),
        rows=count,
        late_rows=sum(output.rows for output in outputs if output.dt != partition),
        quarantined_records=0,
        outputs=outputs,
        quarantine=QuarantineFile(None, 0, {}),
    )
    write_manifest(open_store(str(lake.path)), manifest)


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds") + "Z"


def ids(rows: Iterable[Record]) -> list[str]:
    return [row["Id"] for row in rows]


def reasons(records: Iterable[Record]) -> list[str]:
    return [record["Reason"] for record in records]


def counts_of(manifest: Record) -> Record:
    """What a manifest counts, flat: the form in which the oracle counts."""
    return manifest["events"] | {
        "rows": manifest["rows"],
        "late_rows": manifest["late_rows"],
        "quarantined_records": manifest["quarantined_records"],
        "objects": manifest["objects"]["read"],
        "unreadable": manifest["objects"]["unreadable"],
        "skipped": manifest["objects"]["skipped"],
        "strays": manifest["objects"]["strays"],
        "text_bytes_read": manifest["text_bytes"]["read"],
        "text_bytes_quarantined": manifest["text_bytes"]["quarantined"],
        "unreadable_bytes": manifest["unreadable_bytes"],
    }
