"""A run keeps to its memory whatever the size of the day, and how much it has changes nothing in what it writes."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from audit_pipeline.engines import decoding, local, spill
from audit_pipeline.engines.decoding import SpillingDecoder
from audit_pipeline.simulate import Firehose, Shares, simulate
from audit_pipeline.store.objects import open_store
from audit_pipeline.transform import merge
from audit_pipeline.transform.decode import decode
from audit_pipeline.transform.decoded import Decoded, RawObject
from audit_pipeline.transform.ownership import Scope
from tests.support.lake import DAY1, Lake, Record, event, key
from tests.support.paths import SUPPORT

pytestmark = pytest.mark.slow

MB = 1 << 20


@dataclass(frozen=True)
class Run:
    """A run in a process of its own; ``peak`` is the most memory (bytes) that it and its workers had together."""

    hashes: dict[str, str]
    events: dict[str, int]
    peak: int
    most_processes: int


def run_apart(lake: Lake, name: str, *, memory_mb: int, workers: int) -> Run:
    apart = Lake(lake.root / name)
    settings = {
        "raw_url": str(lake.raw),
        "lake_url": str(apart.path),
        "start_date": str(DAY1),
        "memory_mb": memory_mb,
        "workers": workers,
        "scratch_dir": str(lake.root / f"{name}-scratch"),
    }
    program = str(SUPPORT / "memory_child.py")
    child = subprocess.Popen([sys.executable, program, json.dumps(settings), str(DAY1), str(MB)])
    peak, most = 0, 0
    try:
        while child.poll() is None:
            sizes = list(own_memory(psutil.Process(child.pid)))
            peak, most = max(peak, sum(sizes)), max(most, len(sizes))
            time.sleep(0.03)
    finally:
        child.kill()
    assert child.returncode == 0
    manifest = apart.manifest()
    hashes = {output["path"]: output["sha256"] for output in manifest["outputs"]}
    assert not any((lake.root / f"{name}-scratch" / "audit-pipeline-scratch").iterdir())
    return Run(hashes, manifest["events"], peak, most)


def own_memory(process: psutil.Process) -> Iterator[int]:
    """Bytes of a process and of each of its children, without mapped files: the system may drop those at any time."""
    try:
        for one in (process, *process.children(recursive=True)):
            memory = one.memory_info()
            yield memory.rss - memory.shared
    except psutil.NoSuchProcess:
        return


def write_large_day(lake: Lake, megabytes: int, *, event_bytes: int = 4000, one_time: bool = False) -> int:
    """Objects of 5 MB as Firehose writes them, without gzip; how many events they hold."""
    count = 0
    for number in range(megabytes // 5):
        random_bytes = random.Random(number)
        events = []
        for _ in range(5 * MB // event_bytes):
            seconds = 0 if one_time else number * 86_400 * 5 // megabytes + random_bytes.randrange(60)
            clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
            change = (
                f'{{"entity":{{"id":"{count}","name":"n"}},"after":"{random_bytes.randbytes(event_bytes // 2).hex()}"}}'
            )
            events.append(event(f"e{random_bytes.getrandbits(64):016x}", change, time=f"{DAY1}T{clock}Z"))
            count += 1
        lake.write(key(DAY1, number * 24 * 5 // megabytes, f"{number:05}"), "".join(events))
    return count


def test_a_day_larger_than_its_memory_is_written_in_the_same_bytes_as_with_plenty_of_it(lake: Lake) -> None:
    count = write_large_day(lake, 350)
    tight = run_apart(lake, "tight", memory_mb=256, workers=1)
    print(f"peak {tight.peak >> 20} MiB of 256")
    assert tight.events["kept"] == count
    assert tight.peak < 2 * 256 * MB
    plenty = run_apart(lake, "plenty", memory_mb=2048, workers=2)
    print(f"peak {plenty.peak >> 20} MiB of 2048 in {plenty.most_processes} processes")
    assert plenty.most_processes >= 3
    assert plenty.peak < 2048 * MB
    assert plenty.hashes == tight.hashes
    assert plenty.events == tight.events


def test_a_large_day_on_which_all_events_share_one_time_keeps_to_its_memory_too(lake: Lake) -> None:
    count = write_large_day(lake, 300, one_time=True)
    tight = run_apart(lake, "tight", memory_mb=256, workers=1)
    print(f"peak {tight.peak >> 20} MiB of 256")
    assert tight.events["kept"] == count
    assert tight.peak < 3 * 256 * MB


def test_a_day_of_large_events_keeps_to_its_memory_too(lake: Lake) -> None:
    count = write_large_day(lake, 400, event_bytes=80_000)
    tight = run_apart(lake, "tight", memory_mb=256, workers=1)
    print(f"peak {tight.peak >> 20} MiB of 256")
    assert tight.events["kept"] == count
    assert tight.peak < 3 * 256 * MB


def test_one_object_of_two_hundred_thousand_events_is_written_whole(lake: Lake) -> None:
    lake.write(key(DAY1), "".join(event(f"e{n}") for n in range(200_000)))
    run = run_apart(lake, "one", memory_mb=256, workers=2)
    print(f"peak {run.peak >> 20} MiB of 256")
    assert run.events["kept"] == 200_000
    assert run.peak < 2 * 256 * MB


def test_one_event_of_fifty_megabytes_is_written_as_it_is(lake: Lake) -> None:
    before = '{"a":"' + random.Random(1).randbytes(25 * MB).hex() + '","b":1.10}'
    large = event("large", f'{{"entity":{{"id":"1","name":"n"}},"before":{before}}}')
    lake.write(key(DAY1), event("e1") + large + event("e2"))
    run = run_apart(lake, "large", memory_mb=256, workers=1)
    print(f"peak {run.peak >> 20} MiB of 256 and an object of 50")
    (path,) = run.hashes
    rows = pq.ParquetFile(lake.root / "large" / "lake" / path).read(["Id", "Before"]).to_pylist()
    assert [row["Id"] for row in rows] == ["e1", "e2", "large"]
    assert rows[2]["Before"] == before
    assert run.peak < 2 * 256 * MB + 2 * len(before)


# -- the same bytes however the work is cut


@pytest.fixture
def busy_day(lake: Lake) -> Lake:
    """Much of everything that batches have to be merged for: copies, conflicts, late and broken events."""
    simulate(
        open_store(str(lake.raw)),
        DAY1,
        DAY1,
        events_per_day=5000,
        shares=Shares(duplicate=0.2, late=0.1, malformed=0.02, conflict=0.02),
        firehose=Firehose(buffer_seconds=300),
    )
    same = [event(f"same-{n % 700}", time="2026-05-01T10:00:00Z", source="myapp.same") for n in range(2000)]
    for number in range(4):
        lake.write(key(DAY1, 10, f"same-{number}"), "".join(same[number::4]))
    return lake


def files_of(lake: Lake) -> dict[str, bytes]:
    return lake.files("auditlog_parquet") | lake.files("auditlog_quarantine")


def counts(lake: Lake) -> Record:
    return {name: lake.manifest()[name] for name in ("events", "rows", "late_rows", "quarantine", "outputs")}


def one_batch_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_by_one(objects: Iterable[RawObject], scope: Scope, _batch_bytes: int) -> Iterator[Decoded]:
        return (decode([one], scope) for one in objects)

    monkeypatch.setattr(decoding, "decode_batches", one_by_one)


def batches_of_ten_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "_BATCH_ROWS", 10)
    monkeypatch.setattr(merge, "_BLOCK_ROWS", 16)


def little_memory_for_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    write_partitions = local.write_partitions

    def with_little(*given: Any, **options: Any) -> Any:
        return write_partitions(*given, **options | {"key_memory": 100_000})

    monkeypatch.setattr(local, "write_partitions", with_little)


CUTS = {
    "a run of spilled rows for every object": [one_batch_an_object],
    "batches of ten rows": [batches_of_ten_rows],
    "keys in many groups": [little_memory_for_keys],
    "all of these": [one_batch_an_object, batches_of_ten_rows, little_memory_for_keys],
}


@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
def test_a_run_writes_the_same_bytes_with(cuts: list[Any], busy_day: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    busy_day.run()
    whole, counted = files_of(busy_day), counts(busy_day)
    assert counted["events"]["duplicate"] > 1300
    assert counted["quarantine"]["by_reason"]["conflicting_duplicate"] > 50
    for cut in cuts:
        cut(monkeypatch)
    runs: list[int] = []
    decode_inputs = SpillingDecoder.decode

    def counting(*given: Any) -> Any:
        for objects, spilled in decode_inputs(*given):
            runs.append(len(spilled.runs))
            yield objects, spilled

    monkeypatch.setattr(SpillingDecoder, "decode", counting)
    busy_day.run()
    assert files_of(busy_day) == whole
    assert counts(busy_day) == counted
    assert sum(runs) > 250 if one_batch_an_object in cuts else sum(runs) == 1


@pytest.mark.parametrize("workers", [2, 3])
def test_a_run_writes_the_same_bytes_with_worker_processes(workers: int, busy_day: Lake) -> None:
    busy_day.run()
    apart = run_apart(busy_day, "apart", memory_mb=1024, workers=workers)
    assert apart.most_processes > workers
    assert apart.hashes == {output["path"]: output["sha256"] for output in busy_day.manifest()["outputs"]}
    assert apart.events == busy_day.manifest()["events"]


def test_a_day_on_which_all_events_share_one_time_is_sorted_by_id_and_holds_each_once(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"{n:05}" for n in range(6000)]
    random.Random(1).shuffle(ids)
    for number in range(10):
        some = [*ids[number::10], *ids[:50]]
        lake.write(key(DAY1, number), "".join(event(one) for one in some))
    lake.run()
    whole = files_of(lake)
    assert [row["Id"] for row in lake.rows()] == sorted(ids)
    assert lake.manifest()["events"] == {
        "read": 6500,
        "kept": 6000,
        "duplicate": 500,
        "deferred": 0,
        "quarantined": 0,
    }
    for cut in (one_batch_an_object, batches_of_ten_rows):
        cut(monkeypatch)
    lake.run()
    assert files_of(lake) == whole
