"""Conservation in bytes and objects (docs/design.md, "Conservation"): what the manifest counts beside events and rows.

What the check ``readable_share`` makes of it is in ``quality/test_readable_share.py``.

interface: a ``Manifest`` has ``text_bytes`` with ``read`` and ``quarantined``, ``unreadable_bytes``, and ``objects``
with ``read``, ``unreadable``, ``skipped`` and ``strays``; its JSON has them under the same names.
"""

from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from audit_pipeline.errors import ConservationError
from audit_pipeline.store.manifest import read_manifest
from audit_pipeline.store.objects import open_store
from tests.support.formats import OTHER_FORMATS, PACKERS, gzip_members
from tests.support.lake import DAY1, DAY2, DAY3, ENTITY, Lake, entity, event, ids, key, zipped
from tests.support.rules import BOM, lines, objects, read

#: Each test with a lake.
ON_EVERY_ENGINE = True


def size(*texts: str | bytes) -> int:
    return sum(len(text.encode() if isinstance(text, str) else text) for text in texts)


def text_bytes(lake: Lake, partition: date = DAY1) -> tuple[int, int]:
    counted = lake.manifest(partition)["text_bytes"]
    assert set(counted) == {"read", "quarantined"}
    return counted["read"], counted["quarantined"]


# === Bytes of texts =================================================================================================


def test_text_bytes_are_those_of_the_texts_without_what_lies_between(lake: Lake) -> None:
    texts = [event("é", entity(after='"é😀"')), event("b"), event("c")]
    read(lake, zipped(f"{BOM} {texts[0]}\n\n,{texts[1]}\\n\x1e{texts[2]} \n"))
    assert text_bytes(lake) == (size(*texts), 0)


@pytest.mark.parametrize("name", PACKERS)
def test_they_are_counted_decompressed_whatever_the_format(lake: Lake, name: str) -> None:
    texts = [event("a", entity(after='"' + "x" * 10_000 + '"')), "[1]"]
    read(lake, PACKERS[name]("\n".join(texts).encode()))
    assert text_bytes(lake) == (size(*texts), 3)


def test_of_an_array_they_are_those_of_its_items(lake: Lake) -> None:
    items = [event("a"), event("b", time="no")]
    read(lake, f"[ {items[0]} ,\n{items[1]} ]")
    assert text_bytes(lake) == (size(*items), size(items[1]))


QUARANTINED = {
    "not_json": '{"broken":"é',
    "not_object": "[1, 2]",
    "missing_field": event(top={"id": None}),
    "wrong_type": event(top={"id": "7"}),
    "no_entities": event(detail={"entities": "[]"}),
    "bad_time": event(time="é"),
    "time_out_of_range": event(time="2020-01-01T00:00:00Z"),
    "unsafe_source": event(source="/"),
    "no entity of it remains": event("x", "7", entity(parent="8")),
}


@pytest.mark.parametrize("reason", QUARANTINED)
def test_a_text_in_quarantine_counts_whole(lake: Lake, reason: str) -> None:
    good = event("good")
    read(lake, lines(good, QUARANTINED[reason]))
    assert text_bytes(lake) == (size(good, QUARANTINED[reason]), size(QUARANTINED[reason]))


def test_a_lump_of_many_events_counts_by_its_bytes(lake: Lake) -> None:
    good, lump = event("good"), "[1," + ",".join(event(f"e{n}") for n in range(100)) + "]"
    assert read(lake, lines(good, lump))["quarantined"] == 1
    assert text_bytes(lake) == (size(good, lump), size(lump))


def test_an_event_of_which_a_row_remains_is_not_in_quarantine(lake: Lake) -> None:
    text = event("a", ENTITY, "7", "8", "9")
    read(lake, text)
    assert text_bytes(lake) == (size(text), 0)
    assert lake.manifest()["quarantined_records"] == 3


def test_a_duplicate_is_read_and_a_conflict_is_in_quarantine(lake: Lake) -> None:
    first, same, other = event("a", ENTITY), event("a", ENTITY), event("a", entity(after="1"))
    read(lake, lines(first, same, other))
    assert text_bytes(lake) == (size(first, same, other), size(other))


def test_a_conflict_with_another_partitions_event_counts_too(lake: Lake) -> None:
    texts = {DAY1: event("a", entity(after="1")), DAY3: event("a", entity(after="2"))}
    for day, text in texts.items():
        lake.write(key(day), text)
        lake.run(day)
    assert text_bytes(lake, DAY1) == (size(texts[DAY1]), 0)
    assert text_bytes(lake, DAY3) == (size(texts[DAY3]), size(texts[DAY3]))


def test_only_texts_that_the_run_owns_are_counted_and_each_by_one_run(lake: Lake) -> None:
    own = event("own", time="2026-05-02T12:00:00Z")
    early = event("early", time="2026-05-01T23:00:00Z")
    broken, late = "{broken", event("late", time="2026-05-01T10:00:00Z")
    lake.write(key(DAY2, 0), lines(early, broken))
    lake.write(key(DAY2, 12), lines(own, late))
    for day in (DAY1, DAY2):
        lake.run(day)
    assert lake.manifest(DAY1)["events"]["deferred"] == 1  # the broken one
    assert text_bytes(lake, DAY1) == (size(early), 0)
    assert text_bytes(lake, DAY2) == (size(own, late, broken), size(broken))


def test_what_white_space_stands_around_a_broken_text_is_not_counted(lake: Lake) -> None:
    read(lake, f" \n{{broken \n\r\n\t{event('a')}{{again\n\n")
    assert text_bytes(lake) == (size("{broken", event("a"), "{again"), size("{broken", "{again"))


def test_a_day_without_texts_counts_none(lake: Lake) -> None:
    lake.run()
    assert text_bytes(lake) == (0, 0)
    assert lake.manifest()["unreadable_bytes"] == 0
    assert lake.manifest()["objects"] == objects()


# === Unreadable objects =============================================================================================


def corrupt(text: str) -> bytes:
    member = bytearray(zipped(text))
    member[-8] ^= 1  # its checksum
    return bytes(member)


def test_unreadable_bytes_are_those_of_the_objects_as_delivered(lake: Lake) -> None:
    bad = [corrupt(event("x" * 5_000)), OTHER_FORMATS["Parquet"], OTHER_FORMATS["UTF-16"]]
    for number, data in enumerate(bad):
        lake.write(key(DAY1, 1, f"{number}"), data)
    lake.write(key(DAY1, 2), zipped(event("good")))
    lake.run()
    assert lake.manifest()["objects"] == objects(4, unreadable=3)
    assert lake.manifest()["unreadable_bytes"] == size(*bad)
    assert text_bytes(lake) == (size(event("good")), 0)


def test_of_a_cut_object_the_texts_that_are_used_count_and_the_whole_object_too(lake: Lake) -> None:
    data = gzip_members([event("a").encode(), event("b").encode()])[:-9]
    read(lake, data)
    used = ids(lake.rows())
    assert used in (["a"], ["a", "b"])
    assert text_bytes(lake) == (size(*(event(name) for name in used)), 0)
    assert lake.manifest()["unreadable_bytes"] == len(data)


def test_the_text_that_a_cut_stream_cuts_off_is_no_text(lake: Lake) -> None:
    text = event("a") + "\n" + event("b")
    data = zipped(text[: len(event("a")) + 40])[:-4]
    read(lake, data)
    assert ids(lake.rows()) == ["a"]
    assert text_bytes(lake) == (size(event("a")), 0)
    assert lake.manifest()["unreadable_bytes"] == len(data)


def test_an_unreadable_object_in_the_grace_hours_counts_on_its_own_day(lake: Lake) -> None:
    data = corrupt(event("a", time="2026-05-01T23:59:00Z"))
    lake.write(key(DAY2, 0), data)
    for day in (DAY1, DAY2):
        lake.run(day)
    assert lake.manifest(DAY1)["objects"] == objects(1)
    assert lake.manifest(DAY1)["unreadable_bytes"] == 0
    assert lake.manifest(DAY2)["objects"] == objects(1, unreadable=1)
    assert lake.manifest(DAY2)["unreadable_bytes"] == len(data)


# === Names that are skipped, and strays =============================================================================


def test_skipped_names_and_strays_are_counted_and_are_no_inputs(lake: Lake) -> None:
    lake.write(key(DAY1, 10, "a"), event("a"))
    for name in ("_SUCCESS", ".DS_Store", "._a", "_temporary/0/b"):
        lake.write(key(DAY1, 10, name), event("no"))
    lake.write("year=2026/month=05/day=01/replayed", event("no"))
    lake.write("year=2026/month=05/day=01/hour=5/a", event("no"))
    lake.run()
    assert lake.manifest()["objects"] == objects(1, skipped=4, strays=2)
    assert [given["key"] for given in lake.manifest()["inputs"]] == [key(DAY1, 10, "a")]
    assert lake.manifest()["events"]["read"] == 1
    assert text_bytes(lake) == (size(event("a")), 0)
    assert ids(lake.rows()) == ["a"]


# === A run that cannot show this fails ==============================================================================


@pytest.mark.parametrize("wrong", ["more bytes in quarantine than read", "unreadable bytes without an object"])
def test_counts_in_bytes_that_cannot_be_are_no_conservation(lake: Lake, wrong: str) -> None:
    lake.write(key(DAY1), event("a") + "{broken")
    manifest: Any = lake.run()
    manifest.check_conservation()
    if wrong == "more bytes in quarantine than read":
        counted = msgspec.structs.replace(manifest.text_bytes, quarantined=manifest.text_bytes.read + 1)
        changed = msgspec.structs.replace(manifest, text_bytes=counted)
    else:
        changed = msgspec.structs.replace(manifest, unreadable_bytes=1)
    with pytest.raises(ConservationError):
        changed.check_conservation()


def test_the_counts_do_not_depend_on_workers_and_memory(tmp_path: Path) -> None:
    found = []
    for number, given in enumerate(({"workers": 1}, {"workers": 2, "memory_mb": 256})):
        lake = Lake(tmp_path / str(number))
        for part in range(30):
            texts = [event(f"e{n}", time=f"2026-05-0{1 + n % 2}T10:00:{n % 60:02}Z") for n in range(part, part + 20)]
            lake.write(key(DAY1, part % 24, f"{part:02}"), zipped(",".join(texts) + "{broken"))
        lake.write(key(DAY1, 3, "zz"), OTHER_FORMATS["ORC"])
        lake.write(key(DAY1, 3, "_SUCCESS"), b"")
        lake.run(**given)
        manifest = lake.manifest()
        found.append([manifest[name] for name in ("objects", "text_bytes", "unreadable_bytes", "events")])
    assert found[0] == found[1]
    assert found[0][0] == objects(31, unreadable=1, skipped=1)
    assert found[0][1]["quarantined"] == 30 * len("{broken")


def test_a_manifest_from_before_these_counts_is_read(lake: Lake) -> None:
    """A lake that stands goes on: what was not counted then is not known, and is no error."""
    read(lake, event("a"))
    path = lake.path / f"auditlog_manifest/{DAY1}.json"
    written = lake.manifest()
    for name in ("text_bytes", "unreadable_bytes"):
        del written[name]
    for name in ("skipped", "strays"):
        del written["objects"][name]
    path.write_bytes(msgspec.json.encode(written))
    manifest = read_manifest(open_store(str(lake.path)), DAY1)
    assert manifest is not None
    assert (manifest.events.read, manifest.objects.read) == (1, 1)
    manifest.check_conservation()
    lake.run()
    assert text_bytes(lake) == (size(event("a")), 0)
