"""The history of an entity and the fields of each change; results and files of any size; several callers at once."""

import asyncio
import csv
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_pipeline import AsyncAuditLogClient, AuditLogClient, AuditLogQuery
from audit_pipeline.errors import AuditPipelineError, QueryCancelledError
from audit_pipeline.query import Action, AuditLogItem, CursorError, Difference, HistoryEntry, InvalidQueryError
from audit_pipeline.query import differences as differences_of
from audit_pipeline.query.backends.duckdb import _Reader
from tests.support import query_rows
from tests.support.lake import DAY1, DAY2, DAY3, Lake, Record, entity, event, key, obj
from tests.support.lanes import examples
from tests.support.query_oracle import COLUMN_OF, expected_history, expected_rows, row_of, rows_of, rows_of_records
from tests.support.query_rows import ENTITY_IDS, WEEK, MakeClient, can_be_a_filter, queries, write_day, written

make_client = query_rows.make_client
finished = query_rows.finished

T = TypeVar("T")
SPAN: Final = (WEEK["from_date"], WEEK["to_date"])


def everything(**chosen: Any) -> AuditLogQuery:
    return AuditLogQuery(**WEEK | chosen)


@pytest.fixture(scope="module")
def client(make_client: MakeClient, finished: Lake) -> Iterator[AuditLogClient]:
    with make_client(finished) as opened:
        yield opened


# -- differences


@dataclass(frozen=True)
class Node:
    """A JSON value's text, and of an object its fields."""

    text: str
    fields: dict[str, "Node"] | None = None


LEAVES: Final = (
    "1",
    "1.0",
    "1.10",
    "1.1",
    "1e2",
    '"1"',
    '"é"',
    '"\\u00e9"',
    '""',
    "null",
    "true",
    "[]",
    "[1, 2]",
    "[1,2]",
    '[{"a":1}]',
)
KEYS: Final = ("a", "b", "é", "", "a.b", "$")


@st.composite
def nodes(draw: st.DrawFn, depth: int = 3) -> Node:
    if depth == 0 or draw(st.integers(0, 2)) == 0:
        return Node(draw(st.sampled_from(LEAVES)))
    return draw(objects(depth))


@st.composite
def objects(draw: st.DrawFn, depth: int = 3) -> Node:
    fields = draw(st.dictionaries(st.sampled_from(KEYS), nodes(depth - 1), max_size=4))
    space = draw(st.sampled_from(["", "", " ", "\n  "]))
    members = f",{space}".join(f"{json.dumps(k)}:{space}{node.text}" for k, node in fields.items())
    return Node("{" + space + members + space + "}", fields)


def expected_differences(before: Node | None, after: Node | None, path: tuple[str, ...] = ()) -> list[Difference]:
    if before and after and before.fields is not None and after.fields is not None:
        found = []
        for name in [*after.fields, *(name for name in before.fields if name not in after.fields)]:
            found += expected_differences(before.fields.get(name), after.fields.get(name), (*path, name))
        return found
    texts = before and before.text, after and after.text
    return [Difference(path, *texts)] if texts[0] != texts[1] else []


@examples(150)
@given(objects(), objects() | st.just(None))
def test_differences_are_those_of_the_fields(before: Node, after: Node | None) -> None:
    after = after or before
    assert differences_of(before.text, after.text) == expected_differences(before, after)
    assert differences_of(None, after.text) == expected_differences(Node("{}", {}), after)
    assert differences_of(before.text, None) == expected_differences(before, Node("{}", {}))


@examples(100)
@given(nodes(), st.sampled_from(LEAVES))
def test_what_is_no_object_is_compared_whole(node: Node, leaf: str) -> None:
    changed = [Difference((), node.text, leaf)] if node.text != leaf else []
    assert differences_of(node.text, leaf) == changed
    assert differences_of(leaf, node.text) == [Difference((), d.after, d.before) for d in changed]


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ('{"n":1.10}', '{"n":1.1}', [(("n",), "1.10", "1.1")]),
        ('{"n":1e2}', '{"n":100}', [(("n",), "1e2", "100")]),
        (
            '{"n":12345678901234567890}',
            '{"n":12345678901234567891}',
            [(("n",), "12345678901234567890", "12345678901234567891")],
        ),
        ('{"n":"é"}', '{"n":"\\u00e9"}', [(("n",), '"é"', '"\\u00e9"')]),
        ('{"n":null}', "{}", [(("n",), "null", None)]),
        ("{}", '{"n":null}', [(("n",), None, "null")]),
        ('{"n":null}', '{"n":1}', [(("n",), "null", "1")]),
        ('{"a":{"b":{"c":1,"d":2}}}', '{"a":{"b":{"c":1,"d":3}}}', [(("a", "b", "d"), "2", "3")]),
        ('{"a":{"b":1}}', '{"a":[1]}', [(("a",), '{"b":1}', "[1]")]),
        ('{"a":{ "b" : 1 }}', "{}", [(("a",), '{ "b" : 1 }', None)]),
        ('{"a":[1,2]}', '{"a":[2,1]}', [(("a",), "[1,2]", "[2,1]")]),
        ('{"a":1,"b":2}', '{ "b" : 2,\n "a" : 1 }', []),
        ('{"a.b":1}', '{"a":{"b":1}}', [(("a",), None, '{"b":1}'), (("a.b",), "1", None)]),
        ('{"status":"Pending"}', None, [(("status",), '"Pending"', None)]),
        (None, '{"status":"Pending"}', [(("status",), None, '"Pending"')]),
        (None, None, []),
        (None, "1", [((), None, "1")]),
        ("[1]", None, [((), "[1]", None)]),
        ("1.10", "1.1", [((), "1.10", "1.1")]),
        ('"a"', '{"a":1}', [((), '"a"', '{"a":1}')]),
        (' {"a":1}', '{"a":2}', [(("a",), "1", "2")]),
        ('{"a":1,"a":2}', '{"a":2}', []),
        ('{"\\u0061":1}', '{"a":1}', []),
    ],
)  # fmt: skip
def test_a_difference_names_the_field_and_both_texts(
    before: str | None, after: str | None, found: list[tuple[tuple[str, ...], str | None, str | None]]
) -> None:
    assert [(d.path, d.before, d.after) for d in differences_of(before, after)] == found


@pytest.mark.parametrize("depth", [20, 250, 5000])
def test_deeply_nested_values_differ_somewhere(depth: int) -> None:
    before, after = ('{"a":' * depth + leaf + "}" * depth for leaf in "12")
    (found,) = differences_of(before, after)
    assert set(found.path) <= {"a"}
    assert found.before != found.after


# -- history


def rows_and_kinship(entries: Iterator[HistoryEntry]) -> list[tuple[Record, bool]]:
    return [(row_of(entry.item), entry.is_child) for entry in entries]


@pytest.mark.parametrize("entity_type", ["Order", "OrderItem", "order", "7", "It's", "no such"])
def test_a_history_is_of_the_entity_and_its_children_in_the_order_of_time(
    client: AuditLogClient, finished: Lake, entity_type: str
) -> None:
    found = 0
    for entity_id in filter(can_be_a_filter, dict.fromkeys(ENTITY_IDS)):
        expected = expected_history(finished.rows(), entity_type, entity_id)
        entries = list(client.history(entity_type, entity_id, *SPAN))
        assert rows_and_kinship(iter(entries)) == expected
        for entry in entries:
            assert list(entry.differences) == differences_of(entry.item.before, entry.item.after)
        found += len(entries)
    assert found


def test_a_history_in_some_days_and_sources_has_only_theirs(client: AuditLogClient, finished: Lake) -> None:
    rows = [row for row in finished.rows() if row["dt"] == "2026-05-02" and row["source"] in ("shop", "Shop")]
    expected = expected_history(rows, "Order", "500")
    assert expected
    assert rows_and_kinship(client.history("Order", "500", DAY2, DAY3, sources=["shop", "Shop"])) == expected
    assert list(client.history("Order", "500", DAY2, DAY3, sources=["no.such"])) == []


def test_the_history_of_an_order(make_client: MakeClient, lake: Lake) -> None:
    def change(n: int, kind: str, *entities: str, action: str) -> str:
        detail = {"entity_type": f'"{kind}"', "action": f'"{action}"'}
        return event(f"e{n}", *entities, time=f"2026-05-0{n}T10:00:00Z", source=f"s{n}", detail=detail)

    def order(**fields: str) -> str:
        return entity(entity='{"id":500,"name":"Order #500"}', **fields)

    item = entity(
        entity='{"id":"1001","name":"Item"}',
        parent='{"id":"500","type":"Order"}',
        before='{"quantity":"2","price":1.10}',
        after='{"quantity":"5","price":1.1,"note":null}',
    )
    raw = {
        key(DAY3): change(3, "Order", order(before='{"status":"Paid"}'), action="Delete"),
        key(DAY2): change(2, "OrderItem", item, action="Update"),
        key(DAY1): change(1, "Order", order(after='{"status":"Paid"}'), action="Create"),
    }
    written(lake, raw, [DAY1, DAY2, DAY3])
    with make_client(lake) as client:
        created, changed, deleted = client.history("Order", "500", *SPAN)
    assert [(e.item.action, e.is_child) for e in (created, changed, deleted)] == [
        (Action.CREATE, False),
        (Action.UPDATE, True),
        (Action.DELETE, False),
    ]
    assert list(created.differences) == [Difference(("status",), None, '"Paid"')]
    assert list(changed.differences) == [
        Difference(("quantity",), '"2"', '"5"'),
        Difference(("price",), "1.10", "1.1"),
        Difference(("note",), None, "null"),
    ]
    assert list(deleted.differences) == [Difference(("status",), '"Paid"', None)]


def test_an_entity_that_is_its_own_parent_is_told_once_and_as_itself(make_client: MakeClient, lake: Lake) -> None:
    own = entity(entity='{"id":"500","name":"n"}', parent='{"id":"500","type":"Order"}')
    written(lake, {key(DAY1): event("e", own, detail={"entity_type": '"Order"'})}, [DAY1])
    with make_client(lake) as client:
        assert [entry.is_child for entry in client.history("Order", "500", *SPAN)] == [False]
        query = everything(entity_id="500", include_children=True)
        assert len(client.query(query).items) == len(client.to_arrow(query)) == 1


def test_a_long_history_is_told_to_its_end(make_client: MakeClient, lake: Lake) -> None:
    """Longer than any page."""
    texts = [
        event(f"e{n}", *[entity(entity='{"id":"500","name":"n"}')] * 4, detail={"entity_type": '"Order"'})
        for n in range(600)
    ]
    written(lake, {key(DAY1): "".join(texts)}, [DAY1])
    with make_client(lake) as client:
        assert rows_and_kinship(client.history("Order", "500", *SPAN)) == expected_history(lake.rows(), "Order", "500")


@pytest.mark.parametrize(
    ("given_values", "field"),
    [
        (("", "500", *SPAN), "entity_types"),
        (("Order", "", *SPAN), "entity_id"),
        (("Order", "a\0", *SPAN), "entity_id"),
        (("Order", "500", DAY2, DAY1), "to_date"),
        (("Order", "500", "2026-05-01", DAY2), "from_date"),
        (("Order", "500", *SPAN, []), "sources"),
        (("Order", "500", *SPAN, "shop"), "sources"),
    ],
)
def test_a_history_that_breaks_a_rule_is_refused_by_name(
    client: AuditLogClient, given_values: tuple[Any, ...], field: str
) -> None:
    with pytest.raises(InvalidQueryError) as refused:
        list(client.history(*given_values))
    assert refused.value.field == field


# -- results whole


@examples(15)
@given(st.data())
def test_arrow_pandas_and_polars_hold_all_rows_in_order(
    client: AuditLogClient, finished: Lake, data: st.DataObject
) -> None:
    query = data.draw(queries(finished.rows(), limit=2))
    expected = expected_rows(finished.rows(), query)
    table = client.to_arrow(query)
    assert table.column_names == list(COLUMN_OF.values())
    assert rows_of_records(table.to_pylist()) == expected
    assert rows_of_records(client.to_polars(query).to_dicts()) == expected
    frame = client.to_pandas(query)
    assert rows_of_records(frame.astype(object).where(frame.notna(), None).to_dict("records")) == expected


def test_results_have_the_tables_types(client: AuditLogClient) -> None:
    empty, full = (client.to_arrow(everything(entity_types=[kind])) for kind in ("no such", "Order"))
    assert (len(empty), len(full) > 0) == (0, True)
    assert empty.schema == full.schema
    assert pa.types.is_timestamp(full.schema.field("Timestamp").type)
    assert full.schema.field("Timestamp").type.unit == "ms"
    assert full.schema.field("EntityIndex").type == pa.int32()
    texts = set(COLUMN_OF.values()) - {"Timestamp", "EntityIndex"}
    assert all(full.schema.field(name).type in (pa.string(), pa.large_string()) for name in texts)
    assert isinstance(client.to_pandas(everything()), pd.DataFrame)
    assert isinstance(client.to_polars(everything()), pl.DataFrame)


def test_limit_and_cursor_do_not_cut_a_whole_result(client: AuditLogClient, finished: Lake, tmp_path: Path) -> None:
    expected = expected_rows(finished.rows(), everything())
    cursor = client.query(everything(limit=5)).next_cursor
    query = everything(limit=5, cursor=cursor)
    assert rows_of_records(client.to_arrow(query).to_pylist()) == expected
    assert client.export(query, tmp_path / "x.csv", "csv") == len(expected)


# -- files


def read_csv(path: Path) -> list[Record]:
    """NULL is an empty field, an empty text is a quoted one."""
    options = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(COLUMN_OF.values(), pa.string()) | {"EntityIndex": pa.int32()},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    parse = pa.csv.ParseOptions(newlines_in_values=True)
    rows = pa.csv.read_csv(path, parse_options=parse, convert_options=options).to_pylist()
    return rows_of_records(row | {"Timestamp": datetime.fromisoformat(row["Timestamp"])} for row in rows)


def read_jsonl(path: Path) -> list[Record]:
    rows = [json.loads(line) for line in path.read_bytes().split(b"\n") if line]
    return rows_of_records(row | {"Timestamp": datetime.fromisoformat(row["Timestamp"])} for row in rows)


def read_parquet(path: Path) -> list[Record]:
    return rows_of_records(pq.ParquetFile(path).read().to_pylist())


READERS: Final[dict[str, Callable[[Path], list[Record]]]] = {
    "csv": read_csv,
    "jsonl": read_jsonl,
    "parquet": read_parquet,
}
FORMATS: Final = pytest.mark.parametrize("form", READERS)


@FORMATS
@examples(10)
@given(data=st.data())
def test_an_exported_file_gives_back_the_exact_rows(
    client: AuditLogClient,
    finished: Lake,
    tmp_path_factory: pytest.TempPathFactory,
    form: Any,
    data: st.DataObject,
) -> None:
    query = data.draw(queries(finished.rows()))
    expected = expected_rows(finished.rows(), query)
    path = tmp_path_factory.mktemp("export") / "found"
    assert client.export(query, path, form) == len(expected)
    assert READERS[form](path) == expected


@FORMATS
def test_all_nasty_texts_come_back_from_a_file(
    client: AuditLogClient, finished: Lake, tmp_path: Path, form: Any
) -> None:
    for order in ("asc", "desc"):
        query = everything(order=order)
        assert client.export(query, str(tmp_path / "x"), form) == len(finished.rows())
        assert READERS[form](tmp_path / "x") == expected_rows(finished.rows(), query)


@FORMATS
def test_null_and_the_empty_text_are_told_apart(make_client: MakeClient, lake: Lake, tmp_path: Path, form: Any) -> None:
    empty = entity(entity='{"id":"1","name":""}', before='""', channel_code='""', parent=obj({"id": '""'}))
    written(lake, {key(DAY1): event("e", empty, entity(), detail={"action": '""'})}, [DAY1])
    with make_client(lake) as client:
        client.export(everything(order="asc"), tmp_path / "x", form)
    first, second = READERS[form](tmp_path / "x")
    assert [first[n] for n in ("EntityName", "ChannelCode", "EntityParentId", "Action", "Before")] == [
        "",
        "",
        "",
        "",
        '""',
    ]
    assert [second[n] for n in ("ChannelCode", "EntityParentId", "Before", "After")] == [None] * 4


def test_a_csv_file_is_read_by_pythons_own_reader(client: AuditLogClient, finished: Lake, tmp_path: Path) -> None:
    client.export(everything(), tmp_path / "x.csv", "csv")
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == list(COLUMN_OF.values())
    expected = expected_rows(finished.rows(), everything())
    texts = [name for name in header if name not in ("Timestamp", "EntityIndex")]
    assert [[row[header.index(n)] for n in texts] for row in rows] == [
        [row[n] or "" for n in texts] for row in expected
    ]


def test_a_json_line_is_one_line_of_utf8(client: AuditLogClient, finished: Lake, tmp_path: Path) -> None:
    client.export(everything(), tmp_path / "x.jsonl", "jsonl")
    text = (tmp_path / "x.jsonl").read_text("utf-8")
    assert text.endswith("\n")
    assert text.count("\n") == len(finished.rows())


@FORMATS
def test_no_rows_make_a_file_without_rows(client: AuditLogClient, tmp_path: Path, form: Any) -> None:
    assert client.export(everything(entity_id="no such"), tmp_path / "x", form) == 0
    assert READERS[form](tmp_path / "x") == []
    if form == "csv":
        assert (tmp_path / "x").read_text().count("\n") == 1


@FORMATS
def test_a_file_appears_whole_or_not_at_all(client: AuditLogClient, tmp_path: Path, form: Any) -> None:
    (tmp_path / "x").write_text("an earlier export")
    with pytest.raises(InvalidQueryError):
        client.export(everything(entity_id=""), tmp_path / "x", form)
    assert (tmp_path / "x").read_text() == "an earlier export"
    client.export(everything(limit=1), tmp_path / "x", form)
    assert READERS[form](tmp_path / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_an_unknown_format_is_refused(client: AuditLogClient, tmp_path: Path) -> None:
    for form in ("xlsx", "CSV", "", None, "json"):
        with pytest.raises(ValueError, match="format"):
            client.export(everything(), tmp_path / "x", form)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


# -- the async twin


def with_async_client(make_client: MakeClient, lake: Lake, use: Callable[[AsyncAuditLogClient], Awaitable[T]]) -> T:
    async def main() -> T:
        async with make_client(lake, kind=AsyncAuditLogClient) as client:
            return await use(client)

    return asyncio.run(asyncio.wait_for(main(), 60))


def test_the_async_twin_gives_what_the_client_gives(
    make_client: MakeClient, client: AuditLogClient, finished: Lake, tmp_path: Path
) -> None:
    query = everything(entity_id="500", include_children=True, limit=20)

    async def use(twin: AsyncAuditLogClient) -> None:
        page, expected = await twin.query(query), client.query(query)
        assert (page.items, page.next_cursor) == (expected.items, expected.next_cursor)
        following = replace(query, cursor=page.next_cursor)
        assert (await twin.query(following)).items == client.query(following).items
        assert [item async for item in twin.iterate(query)] == list(client.iterate(query))
        assert [e async for e in twin.history("Order", "500", *SPAN)] == list(client.history("Order", "500", *SPAN))
        assert await twin.to_arrow(query) == client.to_arrow(query)
        assert (await twin.to_pandas(query)).equals(client.to_pandas(query))
        assert (await twin.to_polars(query)).equals(client.to_polars(query))
        for form in READERS:
            assert await twin.export(query, tmp_path / "async", form) == client.export(query, tmp_path / "sync", form)
            assert (tmp_path / "async").read_bytes() == (tmp_path / "sync").read_bytes()
        with pytest.raises(InvalidQueryError, match="limit"):
            await twin.query(replace(query, limit=0))
        with pytest.raises(CursorError):
            await twin.query(replace(query, cursor="x"))

    with_async_client(make_client, finished, use)


def test_many_async_queries_at_once_each_get_their_own_rows(make_client: MakeClient, finished: Lake) -> None:
    queries_at_once = [
        everything(actor_name=a, order=o, limit=1000)
        for a in ("jane@example.com", "O'Brien", "%", "7")
        for o in ("asc", "desc")
    ] * 3

    async def use(twin: AsyncAuditLogClient) -> list[list[AuditLogItem]]:
        return [list(page.items) for page in await asyncio.gather(*(twin.query(query) for query in queries_at_once))]

    found = with_async_client(make_client, finished, use)
    assert [rows_of(items) for items in found] == [expected_rows(finished.rows(), query) for query in queries_at_once]


def test_the_event_loop_goes_on_while_a_query_runs(make_client: MakeClient, finished: Lake) -> None:
    async def use(twin: AsyncAuditLogClient) -> int:
        turns, query = 0, asyncio.ensure_future(twin.to_arrow(everything()))
        while not query.done():
            turns += 1
            await asyncio.sleep(0.001)
        return turns

    assert with_async_client(make_client, finished, use) > 1


def test_an_async_iteration_can_be_left_at_any_time(make_client: MakeClient, finished: Lake) -> None:
    async def use(twin: AsyncAuditLogClient) -> int:
        async for _ in twin.iterate(everything(limit=10)):
            break
        async for _ in twin.history("Order", "500", *SPAN):
            break
        return len((await twin.query(everything(limit=7))).items)

    assert with_async_client(make_client, finished, use) == 7


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """300,000 rows, over which a text search takes long enough to be cancelled."""
    lake, count = Lake(tmp_path_factory.mktemp("large")), 300_000
    start = int(datetime(DAY1.year, DAY1.month, DAY1.day, tzinfo=UTC).timestamp() * 1000)
    rows = pa.table(
        {
            "Id": [f"e{n:07}" for n in range(count)],
            "Timestamp": pa.array(range(start, start + count), pa.timestamp("ms")),
            "EntityId": pa.array(["500"] * count),
            "EntityName": pa.array([f"a name of some length, number {n}" for n in range(count)]),
            "EntityIndex": pa.array([0] * count, pa.int32()),
        }
    )
    write_day(lake, DAY1, "shop", rows)
    return lake


def test_cancelled_queries_end_at_once_and_leave_the_client_in_order(make_client: MakeClient, large: Lake) -> None:
    async def use(twin: AsyncAuditLogClient) -> float:
        await twin.query(everything(limit=1))
        for delay in (0, 0.001, 0.02, 0.05):
            running = [asyncio.ensure_future(twin.query(everything(text="z" * n))) for n in (1, 2, 3)]
            running.append(asyncio.ensure_future(twin.to_arrow(everything())))
            await asyncio.sleep(delay)
            for task in running:
                task.cancel()
            ended = await asyncio.gather(*running, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) or not isinstance(end, BaseException) for end in ended)
        assert [item.id for item in (await twin.query(everything(limit=1))).items] == ["e0299999"]
        return time.monotonic()

    started = time.monotonic()
    assert with_async_client(make_client, large, use) - started < 20
    assert time.monotonic() - started < 30, "closing waits for what was cancelled"


def test_a_time_out_is_one(make_client: MakeClient, large: Lake) -> None:
    async def use(twin: AsyncAuditLogClient) -> int:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(twin.to_arrow(everything()), 0.005)
        return len((await twin.query(everything(limit=3))).items)

    assert with_async_client(make_client, large, use) == 3


# -- threads


def test_threads_share_a_client(client: AuditLogClient, finished: Lake) -> None:
    queries_at_once = [
        everything(order=order, sources=[source], limit=100)
        for order in ("asc", "desc")
        for source in query_rows.SOURCES[:4]
    ] * 2
    start = threading.Barrier(4)

    def walk(query: AuditLogQuery) -> list[Record]:
        start.wait(60)
        return rows_of(client.iterate(query))

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(walk, queries_at_once))
    assert found == [expected_rows(finished.rows(), query) for query in queries_at_once]


def test_two_iterations_of_one_client_do_not_disturb_each_other(client: AuditLogClient, finished: Lake) -> None:
    first, second = (client.iterate(everything(order=order, limit=100)) for order in ("asc", "desc"))
    pairs = list(zip(first, second, strict=True))
    assert rows_of(a for a, _ in pairs) == expected_rows(finished.rows(), everything(order="asc"))
    assert rows_of(b for _, b in pairs) == expected_rows(finished.rows(), everything())


def test_a_client_can_be_closed_twice_and_then_answers_no_more(
    make_client: MakeClient, finished: Lake, tmp_path: Path
) -> None:
    with make_client(finished) as client:
        client.query(everything(limit=1))
    client.close()
    for call in (
        client.query,
        client.to_arrow,
        lambda query: list(client.iterate(query)),
        lambda query: list(client.history("Order", "500", query.from_date, query.to_date)),
        lambda query: client.export(query, tmp_path / "x", "csv"),
    ):
        with pytest.raises(AuditPipelineError):
            call(everything(limit=1))


def test_a_page_and_a_result_span_at_most_a_week(client: AuditLogClient, tmp_path: Path) -> None:
    month = everything(to_date=WEEK["from_date"] + timedelta(days=31))
    for call in (
        client.query,
        client.to_arrow,
        lambda q: client.export(q, tmp_path / "x", "csv"),
        lambda q: list(client.iterate(q)),
    ):
        with pytest.raises(InvalidQueryError):
            call(month)
    assert list(tmp_path.iterdir()) == []


def test_a_walk_that_is_cancelled_between_two_pages_ends_there(client: AuditLogClient) -> None:
    cancelled = threading.Event()
    items = client.iterate(everything(limit=2), cancelled=cancelled)
    assert [next(items), next(items)]
    cancelled.set()
    with pytest.raises(QueryCancelledError):
        next(items)


def test_a_history_that_is_cancelled_gives_nothing_more(client: AuditLogClient) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(QueryCancelledError):
        next(client.history("Order", "500", WEEK["from_date"], WEEK["to_date"], cancelled=cancelled))


@pytest.mark.parametrize("method", ["query", "to_arrow", "to_pandas", "to_polars"])
def test_what_is_cancelled_before_it_begins_gives_nothing(client: AuditLogClient, method: str) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(QueryCancelledError):
        getattr(client, method)(everything(), cancelled=cancelled)


@pytest.mark.parametrize("method", ["query", "to_arrow", "to_pandas", "to_polars", "export"])
def test_a_cancelled_task_cancels_the_work_in_its_thread(
    make_client: MakeClient, finished: Lake, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    ended: list[bool] = []

    def work_until_cancelled(*_: Any, cancelled: threading.Event) -> None:
        ended.append(cancelled.wait(10))

    monkeypatch.setattr(AuditLogClient, method, work_until_cancelled)

    async def use(twin: AsyncAuditLogClient) -> None:
        more = ("found", "csv") if method == "export" else ()
        task = asyncio.ensure_future(getattr(twin, method)(everything(), *more))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with_async_client(make_client, finished, use)
    assert ended == [True]


@FORMATS
def test_an_export_that_is_cancelled_between_two_days_leaves_no_file(
    client: AuditLogClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Any
) -> None:
    cancelled = threading.Event()
    stream = _Reader.stream

    def first_day_only(*given: Any) -> Iterator[pa.RecordBatch]:
        yield from stream(*given)
        cancelled.set()

    monkeypatch.setattr(_Reader, "stream", first_day_only)
    with pytest.raises(QueryCancelledError):
        client.export(everything(), tmp_path / "found", form, cancelled=cancelled)
    assert not list(tmp_path.iterdir())
