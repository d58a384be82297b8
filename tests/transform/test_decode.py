"""The kernel by itself: what it leans on in msgspec, and that its fast and its exact path say the same."""

import sys
from datetime import date
from itertools import cycle, islice

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_pipeline.simulate import Shares, raw_objects
from audit_pipeline.transform.decode import decode, find_documents
from audit_pipeline.transform.decoded import Decoded, RawObject
from audit_pipeline.transform.fast import FastReader
from audit_pipeline.transform.ownership import Scope
from tests.support.event_texts import deliveries
from tests.support.lake import DAY1, ENTITY, entity, event, key

SCOPE = Scope(DAY1, 1, DAY1)


def decoded(*data: bytes | str, scope: Scope = SCOPE) -> Decoded:
    encoded = [d.encode() if isinstance(d, str) else d for d in data]
    return decode((RawObject(key(DAY1, name=f"{n:05}"), n, d) for n, d in enumerate(encoded, 1)), scope)


def exactly(monkeypatch: pytest.MonkeyPatch, *data: bytes | str, scope: Scope = SCOPE) -> Decoded:
    with monkeypatch.context() as patched:
        patched.setattr(FastReader, "read", lambda reader, window: None)
        return decoded(*data, scope=scope)


def in_order(rows: pa.Table) -> list[dict[str, object]]:
    return rows.sort_by([("sequence", "ascending"), ("EntityIndex", "ascending")]).to_pylist()


def assert_same(one: Decoded, other: Decoded) -> None:
    assert in_order(one.rows) == in_order(other.rows)
    assert one.rejected.to_pylist() == other.rejected.to_pylist()
    assert one.counts == other.counts


def depth(levels: int) -> str:
    """An event with this many levels of nesting in all; its Before lies at the sixth."""
    return event("e1", entity(before="[" * (levels - 4) + "]" * (levels - 4)))


def at_stack_depth(frames: int, data: str) -> Decoded:
    return decoded(data) if frames == 0 else at_stack_depth(frames - 1, data)


@given(st.data())
def test_the_fast_and_the_exact_path_give_the_same_for_any_text(data: st.DataObject) -> None:
    raw = data.draw(deliveries())
    objects = [raw[name] for name in sorted(raw)]
    with pytest.MonkeyPatch.context() as patched:
        assert_same(decoded(*objects), exactly(patched, *objects))


def test_the_fast_and_the_exact_path_give_the_same_for_a_day_of_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    day = date(2026, 5, 3)
    shares = Shares(malformed=0.05, late=0.05, missing=0.5)
    objects = [data for _, data in raw_objects(day, day, events_per_day=2_000, since=DAY1, shares=shares)]
    scope = Scope(DAY1, 1, DAY1)
    assert_same(decoded(*objects, scope=scope), exactly(monkeypatch, *objects, scope=scope))


#: By the place that an unknown member is in. Its name is as close to msgspec's message about it as a name can be.
ODD = '"` - at `$[0].detail.actor`"'
UNKNOWN = {
    "detail": event(detail={"x": "1"}),
    "actor": event(detail={"actor": f'{{"name":"a",{ODD}:1}}'}),
    "change": event("a", ENTITY, entity(x="1")),
    "entity": event("a", entity(entity=f'{{"id":"1","name":"n",{ODD}:[1,{{}}]}}')),
    "parent": event("a", ENTITY, entity(parent=f'{{{ODD}:"x"}}')),
}


@pytest.mark.parametrize("text", [*UNKNOWN.values(), "\n".join(UNKNOWN.values())], ids=[*UNKNOWN, "all"])
def test_the_fast_path_reads_unknown_members_in_every_place(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert FastReader().read(text.encode()) is not None
    assert_same(decoded(text), exactly(monkeypatch, text))


@pytest.mark.parametrize("separator", ["", "\n", " \n\t"])
def test_an_object_of_many_windows_loses_nothing_at_their_edges(separator: str) -> None:
    tricky = entity(before='{"a":"}{\\"b\\":1}","c":"}{"}', after='"}\\n{"')
    kinds = cycle([entity(before='"' + "x" * 700 + '"'), tricky])
    events = [event(f"e{n}", change) for n, change in enumerate(islice(kinds, 5_000))]
    found = decoded(separator.join(events))
    assert found.counts.read == len(events)
    assert [row["Id"] for row in in_order(found.rows)] == [f"e{n}" for n in range(len(events))]


def test_a_broken_text_in_a_large_object_leaves_all_others_as_they_are() -> None:
    events = [event(f"e{n}", entity(before='"' + "x" * 700 + '"')) for n in range(3_000)]
    broken = [*events[:1_500], events[1_500][:400], *events[1_501:]]
    found = decoded("\n".join(broken))
    assert found.counts.read == 3_000
    assert found.counts.quarantined == 1
    assert found.rejected["Raw"].to_pylist() == [events[1_500][:400].encode()]
    assert found.rejected["Offset"].to_pylist() == [len("\n".join(events[:1_500])) + 1]


@pytest.mark.parametrize("frames", [0, 100, 400])
def test_how_deep_a_text_may_nest_does_not_depend_on_who_calls(frames: int) -> None:
    assert at_stack_depth(frames, depth(1000)).counts.quarantined == 0
    assert at_stack_depth(frames, depth(1001)).rejected["Reason"].to_pylist() == ["not_json"]


def test_decoding_leaves_the_recursion_limit_as_it_was() -> None:
    before = sys.getrecursionlimit()
    decoded(depth(1001))
    assert sys.getrecursionlimit() == before


@pytest.mark.parametrize(
    "text", ["garbage\ufeff" + event(), "\ufeff garbage\n\ufeff" + event(), event() + "garbage \ufeff"]
)
def test_a_byte_order_mark_beside_broken_text_is_white_space(text: str) -> None:
    found = decoded(text.replace("{}", event()))
    assert found.rejected["Raw"].to_pylist() == [b"garbage"]
    assert len(found.rows) == 1


def test_a_document_is_found_again_by_its_number() -> None:
    events = [event(f"e{n}") for n in range(5)]
    data = "\n".join(events).encode()
    assert list(find_documents(data, {1, 3}, len(data))) == [
        (n, data.index(events[n].encode()), events[n].encode()) for n in (1, 3)
    ]
