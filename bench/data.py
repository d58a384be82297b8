"""Makes the raw folder of a case, once, and what is true of it: ``python -m bench.data FOLDER CASE`` (CASE as JSON).

The traffic is the simulator's, with its duplicates and late events, but without malformed events and conflicts: on
broken text DuckDB stops and Spark silently loses rows, so there would be nothing to compare. The engine's extra work
for them is therefore not measured here.

Next to ``raw`` come ``truth.parquet``, one row an entity change as delivered, with the exact texts of Before and After,
and ``facts.json``, written last. They come from a plain reader that shares no code with the kernel.
"""

import json
import shutil
import sys
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from audit_pipeline.simulate import Firehose, Shares, raw_objects
from bench.cases import DAY, Case, Facts

_GROUP_ROWS: Final = 100_000
_GZIP: Final = 31
_TRUTH: Final = pa.schema([(name, pa.string()) for name in ("Id", "EnvelopeId", "Before", "After")])


class _Change(msgspec.Struct):
    before: msgspec.Raw = msgspec.Raw(b"null")
    after: msgspec.Raw = msgspec.Raw(b"null")


class _Detail(msgspec.Struct):
    entities: list[_Change]
    event_id: str | None = None


class _Event(msgspec.Struct):
    id: str
    source: str
    detail: _Detail


def main() -> None:
    folder, case = Path(sys.argv[1]), Case(**json.loads(sys.argv[2]))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    facts = _make(folder, case)
    (folder / "facts.json").write_text(json.dumps(asdict(facts)))


def _make(folder: Path, case: Case) -> Facts:
    decoder = msgspec.json.Decoder(_Event)
    counts = dict.fromkeys(("objects", "events", "rows", "raw_bytes", "text_bytes"), 0)
    seen: set[tuple[str, str]] = set()
    with pq.ParquetWriter(folder / "truth.parquet", _TRUTH, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        for key, data in _objects(case):
            path = folder / "raw" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            text = zlib.decompress(data, _GZIP)
            events = decoder.decode_lines(text)
            for event in events:
                event_id = event.detail.event_id or event.id
                if (event.source, event_id) not in seen:
                    seen.add((event.source, event_id))
                    counts["rows"] += len(event.detail.entities)
                rows += (
                    {"Id": event_id, "EnvelopeId": event.id, "Before": _text(c.before), "After": _text(c.after)}
                    for c in event.detail.entities
                )
            counts["objects"] += 1
            counts["events"] += len(events)
            counts["raw_bytes"] += len(data)
            counts["text_bytes"] += len(text)
            if len(rows) >= _GROUP_ROWS:
                writer.write_table(pa.Table.from_pylist(rows, schema=_TRUTH))
                rows.clear()
        writer.write_table(pa.Table.from_pylist(rows, schema=_TRUTH))
    return Facts(**counts, distinct_events=len(seen))


def _objects(case: Case) -> Iterator[tuple[str, bytes]]:
    firehose = Firehose(
        buffer_seconds=case.buffer_seconds, buffer_bytes=128 << 20, delimiter=b"\n" if case.newline else b""
    )
    shares = Shares(malformed=0, conflict=0)
    return raw_objects(DAY, DAY, events_per_day=case.events, shares=shares, firehose=firehose)


def _text(raw: msgspec.Raw) -> str | None:
    text = bytes(raw).decode()
    return None if text == "null" else text


if __name__ == "__main__":
    main()
