"""The worked examples in ``data/examples``: what the design makes of three days, by an independent program."""

import base64
import json
from collections import Counter
from datetime import date
from itertools import permutations

import pytest

from tests.support.lake import FIRST, Lake, Record, counts_of
from tests.support.oracle import Oracle, record_order, row_order
from tests.support.paths import EXAMPLES

#: Each test with a lake.
ON_EVERY_ENGINE = True

PARTITIONS = (date(2026, 5, 1), date(2026, 5, 2), date(2026, 5, 3))
RAW = {p.relative_to(EXAMPLES / "raw").as_posix(): p.read_bytes() for p in (EXAMPLES / "raw").rglob("*") if p.is_file()}


def lines(name: str, partition: date) -> list[Record]:
    read = [json.loads(line) for line in (EXAMPLES / f"{name}.jsonl").read_text().splitlines()]
    return [{k: v for k, v in r.items() if k != "partition"} for r in read if r["partition"] == str(partition)]


def expected_quarantine(partition: date) -> list[Record]:
    """As ``quarantine.jsonl`` has it: Raw as bytes, of an unreadable object those of the object itself."""
    records = lines("quarantine", partition)
    for record in records:
        record.setdefault("EntityIndex", None)
        record["Raw"] = base64.b64decode(record["Raw"]) if record["Raw"] is not None else RAW[record["RawKey"]]
    return sorted(records, key=record_order)


def comparable(records: list[Record]) -> list[Record]:
    """Quarantine records without the columns that the examples do not give."""
    names = ("Reason", "RawKey", "Offset", "EntityIndex", "Raw")
    return sorted(({name: record[name] for name in names} for record in records), key=record_order)


def expected_counts(partition: date) -> Record:
    (counts,) = lines("counts", partition)
    return counts.pop("events") | counts


def filled(lake: Lake) -> Lake:
    for raw_key, data in RAW.items():
        lake.write(raw_key, data)
    return lake


def test_the_oracle_makes_of_the_examples_what_they_say() -> None:
    oracle = Oracle(RAW, FIRST)
    for partition in PARTITIONS:
        outcome = oracle.run(partition)
        assert outcome.rows == lines("rows", partition)
        assert comparable(outcome.quarantine) == expected_quarantine(partition)
        assert outcome.counts | expected_counts(partition) == outcome.counts


@pytest.mark.parametrize("settings", [{}, {"workers": 2, "memory_mb": 256}], ids=["one process", "two workers"])
def test_the_product_makes_of_the_examples_what_they_say(lake: Lake, settings: Record) -> None:
    filled(lake)
    for partition in PARTITIONS:
        lake.run(partition, **settings)
        rows = [{k: v for k, v in row.items() if k != "owner"} for row in lake.rows(partition)]
        assert sorted(rows, key=row_order) == sorted(lines("rows", partition), key=row_order)
        assert comparable(lake.quarantine(partition)) == expected_quarantine(partition)
        counts = counts_of(lake.manifest(partition))
        assert counts | expected_counts(partition) == counts


@pytest.mark.parametrize("order", [*permutations(PARTITIONS)][1:], ids=lambda o: "-".join(str(p.day) for p in o))
def test_in_every_order_each_event_of_the_examples_stands_once_in_the_table(
    lake: Lake, order: tuple[date, ...]
) -> None:
    filled(lake)
    for partition in order:
        lake.run(partition)
    expected = [(r["dt"], r["source"], r["Id"], r["EntityIndex"]) for p in PARTITIONS for r in lines("rows", p)]
    found = Counter((r["dt"], r["source"], r["Id"], r["EntityIndex"]) for r in lake.rows())
    assert found == Counter(expected)
    assert max(found.values()) == 1
