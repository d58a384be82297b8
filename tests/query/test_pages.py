"""Pages of any sizes, forwards and backwards, hold every row exactly once; and which cursors are accepted."""

import base64
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from audit_pipeline import AuditLogClient, AuditLogQuery
from audit_pipeline.query import CursorError, InvalidQueryError, Page, QueryLimits
from tests.support import query_rows
from tests.support.lake import DAY0, DAY1, DAY2, DAY3, DAY4, Lake, Record, entity, event, key
from tests.support.lanes import examples
from tests.support.query_oracle import expected_rows, rows_of, rows_of_records
from tests.support.query_rows import (
    DAYS,
    SOURCES,
    WEEK,
    MakeClient,
    new_lake,
    queries,
    raws,
    some_raw,
    write_day,
    written,
)

make_client = query_rows.make_client
finished = query_rows.finished

ORDERS: Final = ("asc", "desc")
SIZES: Final = st.one_of(st.integers(1, 4), st.integers(1, 60), st.just(1000))


def everything(**chosen: Any) -> AuditLogQuery:
    return AuditLogQuery(**WEEK | chosen)


@pytest.fixture(scope="module")
def client(make_client: MakeClient, finished: Lake) -> Iterator[AuditLogClient]:
    with make_client(finished) as opened:
        yield opened


def walk(client: AuditLogClient, query: AuditLogQuery, direction: str = "next") -> Iterator[Page]:
    """The pages from the query's own on, each by the cursor of the one before it."""
    while True:
        page = client.query(query)
        yield page
        cursor = page.next_cursor if direction == "next" else page.previous_cursor
        if cursor is None:
            return
        query = replace(query, cursor=cursor, direction=direction)


def rows_of_pages(pages: Sequence[Page]) -> list[Record]:
    return [row for page in pages for row in rows_of(page.items)]


def cut(rows: Sequence[Record], size: int) -> list[list[Record]]:
    return [list(rows[start : start + size]) for start in range(0, len(rows), size)] or [[]]


# -- walking


def assert_walks_both_ways(client: AuditLogClient, query: AuditLogQuery, expected: list[Record], back: int) -> None:
    """Forwards by the query's limit, then backwards from the last page by another."""
    forwards = list(walk(client, query))
    assert [rows_of(page.items) for page in forwards] == cut(expected, query.limit)
    assert [page.previous_cursor is None for page in forwards] == [True] + [False] * (len(forwards) - 1)
    if len(forwards) == 1:
        return
    before_last = expected[: len(expected) - len(forwards[-1].items)]
    start = replace(query, cursor=forwards[-1].previous_cursor, direction="previous", limit=back)
    backwards = list(walk(client, start, "previous"))
    assert [rows_of(page.items)[::-1] for page in backwards] == cut(before_last[::-1], back)
    assert None not in [page.next_cursor for page in backwards]


@examples(20)
@given(raws(), st.sampled_from(ORDERS), st.integers(1, 7), st.integers(2, 7))
def test_pages_of_any_size_hold_every_row_of_any_lake_once_in_both_orders_and_directions(
    make_client: MakeClient, raw: dict[str, str], order: str, size: int, back: int
) -> None:
    with new_lake(raw) as lake, make_client(lake) as client:
        query = everything(order=order, limit=size)
        assert_walks_both_ways(client, query, expected_rows(lake.rows(), query), back)


@examples(25)
@given(st.data())
def test_pages_of_a_filtered_query_hold_every_row_once_in_both_orders_and_directions(
    client: AuditLogClient, finished: Lake, data: st.DataObject
) -> None:
    query = data.draw(queries(finished.rows()))
    expected = expected_rows(finished.rows(), query)
    # not a thousand pages
    smallest = max(1, len(expected) // 12)
    query = replace(query, limit=data.draw(st.integers(smallest, smallest + 20)))
    assert_walks_both_ways(client, query, expected, data.draw(st.integers(smallest, smallest + 20)))


@examples(25)
@given(
    st.data(), st.sampled_from(ORDERS), st.lists(st.tuples(st.sampled_from(["next", "previous"]), SIZES), max_size=8)
)
def test_pages_of_any_sizes_in_any_mixed_directions_lie_where_they_should(
    client: AuditLogClient, finished: Lake, data: st.DataObject, order: str, steps: list[tuple[str, int]]
) -> None:
    query = everything(order=order, sources=data.draw(st.sampled_from([None, ["shop", "Shop", "a"]])))
    expected = expected_rows(finished.rows(), query)
    start, end = 0, min(data.draw(SIZES), len(expected))
    page = client.query(replace(query, limit=end))
    for direction, size in steps:
        cursor = page.next_cursor if direction == "next" else page.previous_cursor
        if cursor is None:
            continue
        page = client.query(replace(query, limit=size, cursor=cursor, direction=direction))
        start, end = (end, min(end + size, len(expected))) if direction == "next" else (max(start - size, 0), start)
        note(f"{direction} by {size}: rows {start} to {end} of {len(expected)}")
        assert rows_of(page.items) == expected[start:end]
        assert (page.previous_cursor is None) == (start == 0)
        assert (page.next_cursor is None) == (end == len(expected))


@pytest.mark.parametrize("order", ORDERS)
def test_pages_of_one_row_hold_every_row_once(make_client: MakeClient, tmp_path_factory: Any, order: str) -> None:
    lake = written(Lake(tmp_path_factory.mktemp("one-by-one")), some_raw(Random(order), 15))
    with make_client(lake) as client:
        query = everything(order=order, limit=1)
        assert_walks_both_ways(client, query, expected_rows(lake.rows(), query), 1)


def test_the_rows_of_one_event_are_paged_though_timestamp_and_id_are_equal(make_client: MakeClient, lake: Lake) -> None:
    """A cursor of Timestamp and Id alone would lose them."""
    written(lake, {key(DAY1): "".join(event("e", *[entity()] * 5, source=s) for s in ("a", "b", "c"))}, [DAY1])
    with make_client(lake) as client:
        for size in range(1, 17):
            pages = list(walk(client, everything(order="asc", limit=size)))
            found = [(item.source, item.entity_index) for page in pages for item in page.items]
            assert found == [(source, index) for source in "abc" for index in range(5)]


@pytest.fixture(scope="module")
def one_moment(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """3,000 rows of one timestamp: 500 Ids, each of two sources, each with three entities."""
    texts = [event(f"e{n}", *[entity()] * 3, source=source) for n in range(500) for source in ("shop", "Shop")]
    return written(Lake(tmp_path_factory.mktemp("moment")), {key(DAY1): "".join(texts)}, [DAY1])


@pytest.mark.parametrize("size", [97, 1000])
@pytest.mark.parametrize("order", ORDERS)
def test_thousands_of_rows_with_one_timestamp_are_paged_exactly_once(
    make_client: MakeClient, one_moment: Lake, order: str, size: int
) -> None:
    query = everything(order=order, limit=size)
    expected = expected_rows(one_moment.rows(), query)
    assert len(expected) == 3000
    with make_client(one_moment) as client:
        assert_walks_both_ways(client, query, expected, size - 3)


@pytest.mark.parametrize("size", [100_000, 250_000])
@pytest.mark.parametrize("letter", ["x", "'", "é", "😀"])
def test_rows_with_ids_as_long_as_an_event_are_paged_as_fast_as_others(
    make_client: MakeClient, lake: Lake, letter: str, size: int
) -> None:
    """An event of EventBridge may have 256 KB and more, and its Id may be most of them."""
    ids = [letter * (size // len(letter.encode())) + str(n) for n in range(3)]
    written(lake, {key(DAY1): "".join(event("", top={"id": json.dumps(i, ensure_ascii=False)}) for i in ids)}, [DAY1])
    with make_client(lake) as client:
        started = time.process_time()
        pages = list(walk(client, everything(order="asc", limit=1)))
        assert [item.id for page in pages for item in page.items] == ids
        assert time.process_time() - started < 5


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_no_cursor_is_given_where_no_row_lies_in_its_direction(make_client: MakeClient, lake: Lake, rows: int) -> None:
    written(lake, {key(DAY1): event("e", *[entity()] * rows)}, [DAY1])
    with make_client(lake) as client:
        first = client.query(everything(limit=2))
        assert (first.previous_cursor is None, first.next_cursor is None) == (True, rows <= 2)
        if first.next_cursor:
            second = client.query(everything(limit=2, cursor=first.next_cursor))
            assert (second.previous_cursor is None, second.next_cursor is None) == (False, True)
            again = client.query(everything(limit=2, cursor=second.previous_cursor, direction="previous"))
            assert again.items == first.items
            assert again.previous_cursor is None


def test_an_empty_lake_is_one_empty_page(make_client: MakeClient, lake: Lake) -> None:
    lake.path.mkdir()
    with make_client(lake) as client:
        page = client.query(everything())
        assert (list(page.items), page.next_cursor, page.previous_cursor) == ([], None, None)


def test_a_cursor_leads_on_when_the_rows_behind_it_are_gone(make_client: MakeClient, lake: Lake) -> None:
    """A run that is repeated may take back what it wrote."""
    written(lake, {key(DAY1): event("e1"), key(DAY2): event("e2", time=f"{DAY2}T10:00:00Z")}, [DAY1, DAY2])
    with make_client(lake) as client:
        cursor = client.query(everything(order="asc", limit=1)).next_cursor
    (lake.raw / key(DAY2)).unlink()
    lake.run(DAY2, accept_vanished_raw=True)
    with make_client(lake) as client:
        page = client.query(everything(order="asc", limit=1, cursor=cursor))
        assert (list(page.items), page.next_cursor) == ([], None)


@examples(12)
@given(raws(max_events=8), st.randoms(use_true_random=False), st.sampled_from(ORDERS), st.integers(1, 5), st.data())
def test_rows_that_appear_between_two_pages_make_no_other_row_vanish_or_come_twice(
    make_client: MakeClient, raw: dict[str, str], random: Random, order: str, size: int, data: st.DataObject
) -> None:
    """Late rows of other partitions, under the dates that are being read, also of sources that were not there."""
    more = {
        key(DAY4, 23, "more"): "".join(
            query_rows.some_event(random, f"late {n}", random.choice([*SOURCES, "new"]), random.choice(DAYS))
            for n in range(5)
        )
    }
    with new_lake(raw, [DAY1, DAY2, DAY3]) as lake:
        query = everything(order=order, limit=size)
        before = expected_rows(lake.rows(), query)
        appear_after, pages = data.draw(st.integers(1, 4)), []
        while not pages or query.cursor:
            if len(pages) == appear_after:
                written(lake, more, [DAY4])
            # a client of its own for each page, as a web server of several processes has
            with make_client(lake) as client:
                pages.append(client.query(query))
            query = replace(query, cursor=pages[-1].next_cursor)
        found, after = rows_of_pages(pages), expected_rows(lake.rows(), query)
        assert [row for row in found if row in before] == before
        assert found == [row for row in after if row in found]


def test_an_open_client_sees_what_a_later_run_has_written(make_client: MakeClient, lake: Lake) -> None:
    """Also a file that has changed under its own name, and a source that was not there."""
    written(lake, {key(DAY1): event("e1")}, [DAY1])
    with make_client(lake) as client:
        assert [item.id for item in client.query(everything()).items] == ["e1"]
        for n in range(2, 5):
            written(lake, {key(DAY1): event(f"e{n}")}, [DAY1])
            assert [item.id for item in client.query(everything()).items] == [f"e{n}"]
        written(lake, {key(DAY1, 11): event("e", source="new")}, [DAY1])
        assert [item.source for item in client.iterate(everything(order="asc"))] == ["new", "shop"]


# -- iterate


@examples(15)
@given(st.data(), st.integers(20, 1000))
def test_iterating_gives_the_rows_of_to_arrow_whatever_the_page_size(
    client: AuditLogClient, finished: Lake, data: st.DataObject, size: int
) -> None:
    query = data.draw(queries(finished.rows(), limit=size))
    found = rows_of(client.iterate(query))
    assert found == rows_of_records(client.to_arrow(query).to_pylist())
    assert found == expected_rows(finished.rows(), query)


def test_iterating_goes_on_from_a_cursor(client: AuditLogClient, finished: Lake) -> None:
    page = client.query(everything(limit=100))
    rest = client.iterate(everything(limit=200, cursor=page.next_cursor))
    assert rows_of([*page.items, *rest]) == expected_rows(finished.rows(), everything())


def test_iterating_backwards_from_a_cursor_goes_row_by_row_to_the_start(client: AuditLogClient, finished: Lake) -> None:
    expected = expected_rows(finished.rows(), everything())
    page = client.query(everything(limit=90, cursor=cursor_of(client, everything())))
    back = client.iterate(everything(limit=2, cursor=page.previous_cursor, direction="previous"))
    assert rows_of(back) == expected[2::-1]


def test_iterating_reads_no_page_before_it_is_wanted(client: AuditLogClient, finished: Lake) -> None:
    items = client.iterate(everything(limit=2))
    assert rows_of([next(items), next(items), next(items)]) == expected_rows(finished.rows(), everything())[:3]


# -- cursors


@pytest.fixture(scope="module")
def signing(make_client: MakeClient, finished: Lake) -> Iterator[AuditLogClient]:
    with make_client(finished, cursor_key="the key of these tests") as opened:
        yield opened


def cursor_of(client: AuditLogClient, query: AuditLogQuery) -> str:
    cursor = client.query(replace(query, limit=3)).next_cursor
    assert cursor is not None
    return cursor


OF_AN_ORDER: Final = AuditLogQuery(**WEEK, entity_id="500", entity_types=["Order"], sources=SOURCES)

OTHER_FILTERS: Final[dict[str, dict[str, Any]]] = {
    "from_date": {"from_date": DAY1},
    "to_date": {"to_date": DAY4},
    "sources": {"sources": SOURCES[:3]},
    "all sources": {"sources": None},
    "entity_id": {"entity_id": "501"},
    "no entity_id": {"entity_id": None},
    "entity_types": {"entity_types": ["Order", "OrderItem"]},
    "include_children": {"include_children": True},
    "actions": {"actions": ["Update"]},
    "actor_name": {"actor_name": "jane@example.com"},
    "actor_types": {"actor_types": ["User"]},
    "correlation_id": {"correlation_id": "c1"},
    "parent_id": {"parent_id": "500"},
    "channel_code": {"channel_code": "WEB"},
    "event_types": {"event_types": ["order.v1"]},
    "accounts": {"accounts": ["111122223333"]},
    "text": {"text": "n"},
    "order": {"order": "asc"},
}


@pytest.mark.parametrize("other", OTHER_FILTERS.values(), ids=OTHER_FILTERS)
@pytest.mark.parametrize("direction", ["next", "previous"])
def test_a_cursor_of_other_filters_is_refused(client: AuditLogClient, other: dict[str, Any], direction: str) -> None:
    cursor = cursor_of(client, OF_AN_ORDER)
    with pytest.raises(CursorError) as refused:
        client.query(replace(OF_AN_ORDER, **other, cursor=cursor, direction=direction))
    assert refused.value.field == "cursor"
    with pytest.raises(CursorError):
        next(client.iterate(replace(OF_AN_ORDER, **other, cursor=cursor)))


@pytest.mark.parametrize("field", ["actor_name", "correlation_id", "parent_id", "channel_code", "text"])
def test_a_cursor_is_bound_to_the_field_of_a_value_not_to_the_value_alone(client: AuditLogClient, field: str) -> None:
    query = everything(**{field: "500"})
    other = next(name for name in ("actor_name", "text") if name != field)
    cursor = cursor_of(client, everything(parent_id="500"))
    if field != "parent_id":
        with pytest.raises(CursorError):
            client.query(replace(query, cursor=cursor))
    with pytest.raises(CursorError):
        client.query(everything(**{other: "500"}, cursor=cursor))


def test_a_list_of_two_values_is_not_one_value_that_looks_like_both(client: AuditLogClient) -> None:
    listed = everything(entity_types=["Order", "OrderItem"])
    for similar in (["Order,OrderItem"], ["Order', 'OrderItem"], ["OrderOrderItem"], ["['Order', 'OrderItem']"]):
        with pytest.raises(CursorError):
            client.query(replace(listed, entity_types=similar, cursor=cursor_of(client, listed)))


def test_the_text_none_is_not_no_filter(client: AuditLogClient) -> None:
    cursor = cursor_of(client, everything())
    for field in ("entity_id", "actor_name", "text"):
        with pytest.raises(CursorError):
            client.query(everything(**{field: "None"}, cursor=cursor))


def test_the_page_size_may_change_and_values_may_be_listed_otherwise(client: AuditLogClient, finished: Lake) -> None:
    expected = expected_rows(finished.rows(), OF_AN_ORDER)
    cursor = cursor_of(client, OF_AN_ORDER)
    for sources in (tuple(reversed(SOURCES)), set(SOURCES), [*SOURCES, *SOURCES]):
        for size in (1, 4, 1000):
            page = client.query(replace(OF_AN_ORDER, sources=sources, limit=size, cursor=cursor))
            assert rows_of(page.items) == expected[3 : 3 + size]


def test_a_cursor_works_at_another_client_of_the_same_settings(
    client: AuditLogClient, make_client: MakeClient, finished: Lake
) -> None:
    cursor = cursor_of(client, everything())
    with make_client(finished) as another:
        assert another.query(everything(cursor=cursor)).items == client.query(everything(cursor=cursor)).items


@pytest.mark.parametrize(
    "cursor", ["x", "None", "=", "====", "AAAA", "A" * 60, "é", "😀", "[]", "..", "gA", "'; DROP TABLE auditlog; --"]
)
def test_a_text_that_never_was_a_cursor_is_refused(
    client: AuditLogClient, signing: AuditLogClient, cursor: str
) -> None:
    for reader in (client, signing):
        with pytest.raises(CursorError):
            reader.query(everything(cursor=cursor))


@examples(150)
@given(st.text(min_size=1, max_size=80) | st.binary(max_size=60).map(lambda b: base64.urlsafe_b64encode(b).decode()))
def test_any_other_text_is_refused_as_a_query_is(client: AuditLogClient, cursor: str) -> None:
    with pytest.raises(InvalidQueryError) as refused:
        client.query(everything(cursor=cursor))
    assert refused.value.field == "cursor"


def test_a_cut_cursor_is_refused(client: AuditLogClient, signing: AuditLogClient) -> None:
    for reader in (client, signing):
        cursor = cursor_of(reader, everything())
        for cut_off in range(1, len(cursor)):
            with pytest.raises(CursorError):
                reader.query(everything(cursor=cursor[:-cut_off]))
            with pytest.raises(CursorError):
                reader.query(everything(cursor=cursor[cut_off:]))


def test_a_cursor_with_anything_added_is_refused(client: AuditLogClient, signing: AuditLogClient) -> None:
    for reader in (client, signing):
        cursor = cursor_of(reader, everything())
        # "=" is base64's padding, and says nothing
        for added in ("A", "AA", "AAAA", "=A", " ", "%", "é", "-"):
            for text in (cursor + added, added + cursor):
                with pytest.raises(InvalidQueryError) as refused:
                    reader.query(everything(cursor=text))
                assert refused.value.field == "cursor"


def test_a_signed_cursor_leads_on_with_its_own_key(signing: AuditLogClient, finished: Lake) -> None:
    pages = list(walk(signing, everything(limit=400)))
    assert rows_of_pages(pages) == expected_rows(finished.rows(), everything())
    assert pages[1].previous_cursor is not None
    back = signing.query(everything(limit=400, cursor=pages[1].previous_cursor, direction="previous"))
    assert back.items == pages[0].items


def test_no_character_of_a_signed_cursor_can_be_changed(signing: AuditLogClient) -> None:
    cursor = cursor_of(signing, everything())
    for at, letter in enumerate(cursor):
        for other in {"A", "B", "_", "9", chr(ord(letter) ^ 1)} - {letter}:
            with pytest.raises(CursorError):
                signing.query(everything(cursor=cursor[:at] + other + cursor[at + 1 :]))


@pytest.mark.parametrize("key", [None, "another key", "the key of these tests "])
def test_a_cursor_signed_with_another_key_or_with_none_is_refused(
    signing: AuditLogClient, make_client: MakeClient, finished: Lake, key: str | None
) -> None:
    with make_client(finished, cursor_key=key) as other:
        with pytest.raises(CursorError):
            signing.query(everything(cursor=cursor_of(other, everything())))
        with pytest.raises(CursorError):
            other.query(everything(cursor=cursor_of(signing, everything())))


def test_a_changed_unsigned_cursor_is_refused_or_leads_to_rows_of_its_own_query(
    client: AuditLogClient, finished: Lake
) -> None:
    """Whoever may run the query may see all its rows: a forged position shows nothing new."""
    expected = expected_rows(finished.rows(), OF_AN_ORDER)
    cursor = cursor_of(client, OF_AN_ORDER)
    taken = 0
    for at, letter in enumerate(cursor):
        for other in {"A", "z", chr(ord(letter) ^ 1)} - {letter}:
            try:
                page = client.query(replace(OF_AN_ORDER, limit=1000, cursor=cursor[:at] + other + cursor[at + 1 :]))
            except CursorError:
                continue
            taken += 1
            found = rows_of(page.items)
            assert found == expected[len(expected) - len(found) :]
    assert taken, "nothing of this test reached the engine"


# An unsigned cursor's parts are known here, to forge some: a text of base64 of a msgpack array that begins with the
# version, then the filters' digest, then Timestamp (ms), Id, source and EntityIndex.


def parts_of(cursor: str) -> list[Any]:
    return msgspec.msgpack.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))


def forged(parts: Sequence[Any]) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(parts)).decode().rstrip("=")


@pytest.mark.parametrize("version", [0, 2, 255, -1, "1", None, 1.5, [1]])
def test_a_cursor_of_another_version_is_refused(client: AuditLogClient, version: object) -> None:
    parts = parts_of(cursor_of(client, everything()))
    assert forged(parts) == cursor_of(client, everything())
    with pytest.raises(CursorError):
        client.query(everything(cursor=forged([version, *parts[1:]])))


FORGED: Final = {
    "timestamp": [-1, 0, 2**31, 2**53, 2**63 - 1, -(2**63), 2**64 - 1, 253402300800000, "0", None, 1.5, True],
    "id": ["", "\0", "'", "x" * 5000, "'" * 2000, "é", "\U0001f600", "\ufffd", None, 7, b"e1", []],
    "source": ["", "'", "x/y", "no.such", "\0", "x" * 5000, None, 7],
    "entity_index": [-1, 0, 2**31 - 1, 2**31, -(2**31) - 1, 2**63 - 1, 2**64 - 1, "0", None, 1.5],
}


@pytest.mark.parametrize("direction", ["next", "previous"])
@pytest.mark.parametrize("part", FORGED)
def test_a_forged_place_is_refused_or_is_a_place(
    client: AuditLogClient, finished: Lake, part: str, direction: str
) -> None:
    expected = expected_rows(finished.rows(), OF_AN_ORDER)
    parts = parts_of(cursor_of(client, OF_AN_ORDER))
    at = len(parts) - 4 + list(FORGED).index(part)
    for value in FORGED[part]:
        cursor = forged([*parts[:at], value, *parts[at + 1 :]])
        try:
            page = client.query(replace(OF_AN_ORDER, limit=1000, cursor=cursor, direction=direction))
        except CursorError:
            continue
        found = rows_of(page.items)
        assert found == (expected[len(expected) - len(found) :] if direction == "next" else expected[: len(found)])


# -- a million


MILLION_DAYS: Final = 7
ROWS_A_DAY: Final = 150_000
#: The middle third of every day has one timestamp.
CROWD: Final = slice(50_000, 100_000)


@pytest.fixture(scope="module")
def millions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, pa.Table]:
    """1,050,000 rows of two sources over seven days, and their keys in ascending order."""
    lake, keys = Lake(tmp_path_factory.mktemp("millions")), []
    random = np.random.default_rng(5)
    for n in range(MILLION_DAYS):
        day = DAY0 + timedelta(days=n)
        midnight = int((datetime(day.year, day.month, day.day) - datetime(1970, 1, 1)).total_seconds() * 1000)
        times = np.sort(random.integers(0, 86_400_000, ROWS_A_DAY))
        times[CROWD] = times[CROWD.start]
        number = random.permutation(ROWS_A_DAY)
        table = pa.table(
            {
                "Id": [f"e{i // 3}" for i in number],
                "Timestamp": pa.array(times + midnight, pa.timestamp("ms")),
                "EntityIndex": pa.array(number % 3, pa.int32()),
                "EntityId": [f"{i % 5000}" for i in number],
                "EntityName": pa.array(["n"] * ROWS_A_DAY),
                "source": np.where(random.integers(0, 2, ROWS_A_DAY) == 0, "shop", "Shop"),
            }
        )
        for source in ("shop", "Shop"):
            write_day(lake, day, source, table.filter(pa.compute.equal(table["source"], source)))
        keys.append(table.select(["Timestamp", "Id", "source", "EntityIndex"]))
    by = [(name, "ascending") for name in ("Timestamp", "Id", "source", "EntityIndex")]
    return lake, pa.concat_tables(keys).sort_by(by)


@pytest.mark.slow
@pytest.mark.parametrize("order", ORDERS)
def test_a_million_rows_are_walked_exactly_once(
    make_client: MakeClient, millions: tuple[Lake, pa.Table], order: str
) -> None:
    lake, keys = millions
    expected = keys.to_pydict()
    if order == "desc":
        expected = {name: values[::-1] for name, values in expected.items()}
    query = everything(order=order, limit=50_000)
    with make_client(lake, limits=QueryLimits(max_limit=50_000)) as client:
        pages = list(walk(client, query))
        items = [item for page in pages for item in page.items]
        assert len(items) == MILLION_DAYS * ROWS_A_DAY
        assert [item.id for item in items] == expected["Id"]
        assert [item.source for item in items] == expected["source"]
        assert [item.entity_index for item in items] == expected["EntityIndex"]
        assert all(
            a.timestamp <= b.timestamp if order == "asc" else a.timestamp >= b.timestamp for a, b in pairwise(items)
        )
        # small pages from places all over the walk, both ways
        for n, page in enumerate(pages[:-1], 1):
            here = replace(query, cursor=page.next_cursor, limit=100)
            ahead = client.query(here)
            assert list(ahead.items) == items[n * 50_000 :][:100]
            behind = client.query(replace(here, cursor=ahead.previous_cursor, direction="previous"))
            assert list(behind.items) == items[n * 50_000 - 100 : n * 50_000]
