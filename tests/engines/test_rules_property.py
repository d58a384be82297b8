"""The rules over generated raw objects: the product against known answers, and against the oracle.

The known answers come from the generator itself (``event_texts``), so the oracle is held to them as well.
"""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from tempfile import mkdtemp

from hypothesis import given, note
from hypothesis import strategies as st

from tests.support.event_texts import (
    DAYS,
    ORDERS,
    EventText,
    any_object,
    copied_deliveries,
    deliveries,
    events,
    joined,
    packed,
    refused_events,
)
from tests.support.lake import DAY1, FIRST, Lake, Record, counts_of, key
from tests.support.lanes import examples
from tests.support.oracle import Oracle, record_order, row_order


@contextmanager
def new_lake(raw: Mapping[str, bytes], **given: object) -> Iterator[Lake]:
    """A lake of one example. Not the fixture: hypothesis runs many examples inside one test."""
    root = Path(mkdtemp(prefix="audit-rules-"))
    try:
        lake = Lake(root, **given)
        for raw_key, data in raw.items():
            lake.write(raw_key, data)
        yield lake
    finally:
        shutil.rmtree(root)


def table(lake: Lake, owner: date | None = None) -> list[Record]:
    return [{name: value for name, value in row.items() if name != "owner"} for row in lake.rows(owner)]


def records(lake: Lake, partition: date) -> list[Record]:
    found = [{name: value for name, value in r.items() if name != "Message"} for r in lake.quarantine(partition)]
    return sorted(found, key=record_order)


def without_separators(text: str) -> str:
    return re.sub(r"[ \t\r\n,\x1e\ufeff]|\\[nr]", "", text)


def known_rows(known: Sequence[EventText]) -> list[Record]:
    return sorted((row for event in known for row in event.rows), key=row_order)


def distinct_events(**chosen: object) -> st.SearchStrategy[list[EventText]]:
    return st.integers(1, 5).flatmap(lambda n: st.tuples(*(events(f"e{i}", **chosen) for i in range(n)))).map(list)


@st.composite
def one_object(draw: st.DrawFn, **chosen: object) -> tuple[list[EventText], bytes]:
    known = draw(distinct_events(**chosen))
    return known, draw(packed(draw(joined([event.text for event in known]))))


# --- against known answers ------------------------------------------------------------------------------------------


@examples(50)
@given(one_object())
def test_sound_events_become_exactly_their_rows_however_they_are_written_and_packed(
    example: tuple[list[EventText], bytes],
) -> None:
    known, data = example
    with new_lake({key(DAY1): data}) as lake:
        lake.run()
        assert sorted(table(lake), key=row_order) == known_rows(known)
        assert lake.quarantine() == []
        assert lake.manifest()["events"]["kept"] == len(known)


@examples(30)
@given(one_object(bad_changes=True))
def test_bad_entities_are_quarantined_and_their_siblings_become_rows(example: tuple[list[EventText], bytes]) -> None:
    known, data = example
    with new_lake({key(DAY1): data}) as lake:
        lake.run()
        assert sorted(table(lake), key=row_order) == known_rows(known)
        found = sorted((r["EventId"], r["EntityIndex"], r["Reason"], r["Raw"].decode()) for r in lake.quarantine())
        assert found == sorted((event.event_id, *bad) for event in known for bad in event.bad)
        assert lake.manifest()["events"]["kept"] == sum(bool(event.rows) for event in known)


@examples(50)
@given(one_object(bad_changes=True))
def test_the_oracle_gives_the_known_answers(example: tuple[list[EventText], bytes]) -> None:
    known, data = example
    outcome = Oracle({key(DAY1): data}, FIRST).run(DAY1)
    assert outcome.rows == known_rows(known)
    found = sorted((r["EventId"], r["EntityIndex"], r["Reason"], r["Raw"].decode()) for r in outcome.quarantine)
    assert found == sorted((event.event_id, *bad) for event in known for bad in event.bad)


@examples(30)
@given(distinct_events(), st.data())
def test_a_cut_text_on_a_line_of_its_own_costs_no_other_event(known: list[EventText], data: st.DataObject) -> None:
    parts: list[str] = []
    cuts = []
    for event in known:
        cut = event.text[: data.draw(st.integers(1, len(event.text) - 1))].rstrip(" \t\r\n")
        cuts.append(cut)
        parts += [event.text, cut]
    with new_lake({key(DAY1): data.draw(packed("\n".join(parts).encode()))}) as lake:
        lake.run()
        assert sorted(table(lake), key=row_order) == known_rows(known)
        # a value inside a cut text may look like an event, so that there are several records; no byte is lost, though
        found = "".join(record["Raw"].decode() for record in lake.quarantine())
        assert without_separators(found) == without_separators("".join(cuts))


# --- against the oracle ---------------------------------------------------------------------------------------------


def assert_as_the_oracle(lake: Lake, oracle: Oracle, partition: date) -> None:
    expected = oracle.run(partition)
    lake.run(partition)
    rows = table(lake, partition)
    assert sorted(rows, key=row_order) == expected.rows
    assert records(lake, partition) == expected.quarantine
    assert counts_of(lake.manifest(partition)) == expected.counts


@st.composite
def broken_objects(draw: st.DrawFn) -> bytes:
    texts = [event.text for event in draw(distinct_events(bad_changes=True))]
    texts += draw(st.lists(refused_events(DAYS), max_size=2))
    return draw(any_object(draw(st.permutations(texts))))


@examples(50)
@given(broken_objects())
def test_one_damaged_object_gives_what_the_oracle_gives(data: bytes) -> None:
    raw = {key(DAY1): data}
    with new_lake(raw) as lake:
        assert_as_the_oracle(lake, Oracle(raw, FIRST), DAY1)


def assert_runs_as_the_oracle(raw: dict[str, bytes], grace: int, order: Sequence[date], engine: str = "local") -> None:
    note(f"raw: {raw}")
    oracle = Oracle(raw, FIRST, grace)
    with new_lake(raw, grace=grace, settings={"engine": engine}) as lake:
        for partition in order:
            assert_as_the_oracle(lake, oracle, partition)


@examples(40)
@given(deliveries(), st.integers(0, 2), ORDERS)
def test_damaged_days_give_what_the_oracle_gives_in_any_order(
    raw: dict[str, bytes], grace: int, order: Sequence[date]
) -> None:
    assert_runs_as_the_oracle(raw, grace, order)


@examples(50)
@given(copied_deliveries(conflicts=True), st.integers(0, 2), ORDERS)
def test_copies_over_hours_and_days_give_what_the_oracle_gives_in_any_order(
    raw: dict[str, bytes], grace: int, order: Sequence[date]
) -> None:
    assert_runs_as_the_oracle(raw, grace, order)


@examples(30)
@given(copied_deliveries(conflicts=False), st.permutations(DAYS))
def test_the_table_does_not_depend_on_the_order_of_the_runs(raw: dict[str, bytes], order: Sequence[date]) -> None:
    def rows_after(partitions: Sequence[date]) -> list[Record]:
        with new_lake(raw) as lake:
            for partition in partitions:
                lake.run(partition)
            return sorted(table(lake), key=row_order)

    assert rows_after(order) == rows_after(DAYS)
