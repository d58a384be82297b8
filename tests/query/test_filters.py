"""The rows that each filter matches, alone and with the others; what a query may not contain; and what an item is."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_pipeline import AuditLogClient, AuditLogQuery
from audit_pipeline.errors import AuditPipelineError
from audit_pipeline.query import Action, ActorType, InvalidQueryError, Order, PageDirection, QueryLimits
from tests.support import query_rows
from tests.support.lake import DAY0, DAY1, DAY2, DAY3, DAY4, DAY5, Lake, entity, event, key, obj
from tests.support.lanes import examples
from tests.support.query_oracle import expected_rows, row_of, rows_of
from tests.support.query_rows import WEEK, MakeClient, new_lake, queries, raws, written

make_client = query_rows.make_client
finished = query_rows.finished


@pytest.fixture(scope="module")
def client(make_client: MakeClient, finished: Lake) -> Iterator[AuditLogClient]:
    with make_client(finished) as opened:
        yield opened


# -- against the oracle


@examples(120)
@given(st.data())
def test_any_filters_together_match_the_rows_of_the_oracle(
    client: AuditLogClient, finished: Lake, data: st.DataObject
) -> None:
    query = data.draw(queries(finished.rows()))
    expected = expected_rows(finished.rows(), query)
    page = client.query(query)
    assert rows_of(page.items) == expected[:1000]
    assert (page.next_cursor is None) == (len(expected) <= 1000)


@examples(15)
@given(raws(), st.data())
def test_filters_match_the_rows_of_the_oracle_in_any_lake(
    make_client: MakeClient, raw: dict[str, str], data: st.DataObject
) -> None:
    with new_lake(raw) as lake, make_client(lake) as client:
        rows = lake.rows()
        for query in data.draw(st.lists(queries(rows), min_size=1, max_size=4)):
            assert rows_of(client.query(query).items) == expected_rows(rows, query)


COLUMNS: Final = {
    "entity_id": "EntityId",
    "entity_types": "EntityType",
    "actions": "Action",
    "actor_name": "ActorName",
    "actor_types": "ActorType",
    "correlation_id": "CorrelationId",
    "parent_id": "EntityParentId",
    "channel_code": "ChannelCode",
    "event_types": "EventType",
    "accounts": "Account",
    "sources": "source",
}
LISTS: Final = ("entity_types", "actions", "actor_types", "event_types", "accounts", "sources")


@pytest.mark.parametrize("name", COLUMNS)
def test_a_filter_alone_finds_each_value_that_its_column_holds(
    client: AuditLogClient, finished: Lake, name: str
) -> None:
    rows = finished.rows()
    values = {row[COLUMNS[name]] for row in rows}
    allowed = sorted(value for value in values if query_rows.can_be_a_filter(value))
    assert len(allowed) > 1
    for value in allowed:
        query = AuditLogQuery(**WEEK, limit=1000, **{name: [value] if name in LISTS else value})
        found = rows_of(client.query(query).items)
        assert found == expected_rows(rows, query)
        assert found
        assert {row[COLUMNS[name]] for row in found} == {value}


# -- rows of named examples


def order_event(event_id: str, *entities: str, kind: str | None = '"Order"', **detail: str) -> str:
    chosen = {"entity_type": kind, "action": '"Update"'} | detail
    return event(event_id, *entities, detail=chosen)


def of(entity_id: str, parent: str | None = None, **fields: str) -> str:
    about = {"entity": obj({"id": f'"{entity_id}"', "name": f'"name of {entity_id}"'})}
    return entity(**about | ({"parent": parent} if parent else {}) | fields)


def parent(entity_id: str, kind: str | None = None) -> str:
    return obj({"id": f'"{entity_id}"', "type": kind and f'"{kind}"'})


FAMILY: Final = "".join(
    [
        order_event("the order", of("500")),
        order_event("an invoice of the same number", of("500"), kind='"Invoice"'),
        order_event("untyped of the same number", of("500"), kind=None),
        order_event("another order", of("501")),
        order_event("an item", of("1001", parent("500", "Order")), kind='"OrderItem"'),
        order_event("an item of an untyped parent", of("1002", parent("500")), kind='"OrderItem"'),
        order_event("an item of an invoice", of("1003", parent("500", "Invoice")), kind='"InvoiceItem"'),
        order_event("an item of another order", of("1004", parent("501", "Order")), kind='"OrderItem"'),
        order_event("an untyped item", of("1005", parent("500", "Order")), kind=None),
        order_event("a part of an item", of("9", parent("1001", "OrderItem")), kind='"Part"'),
        order_event("an order split from it", of("502", parent("500", "Order"))),
        order_event("a deletion of an item", of("1001", parent("500", "Order")), kind='"OrderItem"', action='"Delete"'),
        event("an item elsewhere", of("1001", parent("500", "Order")), source="stock"),
    ]
)
ITEMS: Final = {
    "an item",
    "an item of an untyped parent",
    "an untyped item",
    "an order split from it",
    "a deletion of an item",
    "an item elsewhere",
}


@pytest.fixture(scope="module")
def family(make_client: MakeClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditLogClient]:
    with make_client(written(Lake(tmp_path_factory.mktemp("family")), {key(DAY1): FAMILY}, [DAY1])) as opened:
        yield opened


def ids(client: AuditLogClient, **filters: Any) -> set[str]:
    found = [item.id for item in client.query(AuditLogQuery(**WEEK | filters)).items]
    assert len(set(found)) == len(found)
    return set(found)


def test_children_are_kept_whatever_their_own_type(family: AuditLogClient) -> None:
    """A filter of the type Order does not remove the OrderItems of an order."""
    assert ids(family, entity_id="500", entity_types=["Order"], include_children=True) == {"the order"} | ITEMS


def test_an_entity_of_another_type_with_the_same_id_is_not_meant(family: AuditLogClient) -> None:
    assert ids(family, entity_id="500", entity_types=["Order"]) == {"the order"}
    assert ids(family, entity_id="500", entity_types=["Invoice"]) == {"an invoice of the same number"}


def test_children_of_another_type_with_the_same_id_are_not_meant(family: AuditLogClient) -> None:
    found = ids(family, entity_id="500", entity_types=["Invoice"], include_children=True)
    assert found == {"an invoice of the same number", "an item of an invoice", "an item of an untyped parent"}


def test_without_types_an_id_means_all_entities_and_children_of_it(family: AuditLogClient) -> None:
    alone = {"the order", "an invoice of the same number", "untyped of the same number"}
    assert ids(family, entity_id="500") == alone
    assert ids(family, entity_id="500", include_children=True) == alone | ITEMS | {"an item of an invoice"}


def test_children_are_found_in_all_sources_and_only_in_those_requested(family: AuditLogClient) -> None:
    of_order = {"entity_id": "500", "entity_types": ["Order"], "include_children": True}
    assert ids(family, **of_order, sources=["stock"]) == {"an item elsewhere"}
    assert ids(family, **of_order, sources=["shop"]) == {"the order"} | ITEMS - {"an item elsewhere"}


def test_children_of_children_are_not_meant(family: AuditLogClient) -> None:
    assert "a part of an item" not in ids(family, entity_id="500", include_children=True)
    assert "a part of an item" in ids(family, entity_id="1001", include_children=True)


def test_the_other_filters_hold_for_children_too(family: AuditLogClient) -> None:
    of_order = {"entity_id": "500", "entity_types": ["Order"], "include_children": True}
    assert ids(family, **of_order, actions=["Delete"]) == {"a deletion of an item"}
    assert ids(family, **of_order, text="name of 1002") == {"an item of an untyped parent"}
    assert ids(family, **of_order, parent_id="500") == ITEMS
    assert ids(family, **of_order, parent_id="501") == set()


def test_types_without_an_id_mean_the_rows_own_type(family: AuditLogClient) -> None:
    assert ids(family, entity_types=["Order"]) == {"the order", "another order", "an order split from it"}
    assert ids(family, entity_types=["InvoiceItem", "Part"]) == {"an item of an invoice", "a part of an item"}


def test_a_parent_is_found_by_its_id(family: AuditLogClient) -> None:
    assert ids(family, parent_id="501") == {"an item of another order"}
    assert ids(family, parent_id="500", entity_types=["OrderItem"]) == {
        "an item",
        "an item of an untyped parent",
        "a deletion of an item",
    }


def test_a_part_of_an_id_or_another_case_of_it_is_not_the_id(family: AuditLogClient) -> None:
    for entity_id in ("50", "5000", "500 ", " 500", "5__", "50%", "5.0e2", "0500"):
        assert ids(family, entity_id=entity_id, include_children=True) == set()
    assert ids(family, entity_types=["order"]) == set()
    assert ids(family, actions=["update"]) == set()


# -- text


TEXTS: Final = "".join(
    [
        order_event("percent", of("1", before='"100%"')),
        order_event("hundred", of("1", before='"100 percent"')),
        order_event("under", of("1", after='"a_b"')),
        order_event("between", of("1", after='"axb"')),
        order_event("backslash", of("1", before='"a\\\\b"')),
        order_event("escaped", of("1", after='"B\\u00fccher"')),
        order_event("plain", of("1", after='"Bücher"')),
        order_event("emoji", of("1", after='"😀"')),
        order_event("bracket", of("1", after="[1,2]")),
        order_event("brackets", of("1", after="1")),
        order_event("named", entity(entity='{"id":"1","name":"Order #500 100%"}')),
        order_event("parented", of("1", '{"id":"2","name":"only here"}', channel_code='"only here"'), action='"only"'),
    ]
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("100%", {"percent", "named"}),
        ("100", {"percent", "hundred", "named"}),
        ("100_percent", set()),
        ("a_b", {"under"}),
        ("a%b", set()),
        ("a\\b", set()),
        ("a\\\\b", {"backslash"}),
        ("\\\\", {"backslash"}),
        ("\\", {"backslash", "escaped"}),
        ("\\%", set()),
        ("\\_", set()),
        ("Bücher", {"plain"}),
        ("bücher", set()),
        ("Bu\u0308cher", set()),
        ("B\\u00fccher", {"escaped"}),
        ("😀", {"emoji"}),
        ("[1,", {"bracket"}),
        ("[12]", set()),
        ("Order #500", {"named"}),
        ("order #500", set()),
        ('"', {"percent", "hundred", "under", "between", "backslash", "escaped", "plain", "emoji"}),
        ("only", set()),
        (".*", set()),
        (" ", {"hundred", "named", "percent", "under", "between", "backslash", "escaped", "plain", "emoji", "bracket"}
         | {"brackets", "parented"}),
    ],
)  # fmt: skip
def test_a_text_is_a_part_of_the_name_or_of_before_or_after_to_the_letter(
    texts: AuditLogClient, text: str, found: set[str]
) -> None:
    assert ids(texts, text=text) == found


@pytest.fixture(scope="module")
def texts(make_client: MakeClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditLogClient]:
    with make_client(written(Lake(tmp_path_factory.mktemp("texts")), {key(DAY1): TEXTS}, [DAY1])) as opened:
        yield opened


# -- days, sources, lists


def daily(times: dict[str, date]) -> dict[str, str]:
    """Events by their time, each delivered on a day."""
    raw: dict[str, str] = {}
    for time, delivered in times.items():
        raw[key(delivered)] = raw.get(key(delivered), "") + event(time, time=time)
    return raw


def test_a_range_is_half_open(make_client: MakeClient, lake: Lake) -> None:
    edges = {
        "2026-05-01T00:00:00.000Z": DAY1,
        "2026-05-01T23:59:59.999Z": DAY1,
        "2026-05-02T00:00:00.000Z": DAY2,
        "2026-05-02T23:59:59.999Z": DAY2,
        "2026-05-03T00:00:00.000Z": DAY3,
    }
    written(lake, daily(edges), [DAY1, DAY2, DAY3])
    first, last, second, last_of_second, third = edges
    with make_client(lake) as client:
        for from_date, to_date, found in [
            (DAY1, DAY2, {first, last}),
            (DAY2, DAY3, {second, last_of_second}),
            (DAY1, DAY3, {first, last, second, last_of_second}),
            (DAY3, DAY4, {third}),
            (DAY0, DAY1, set()),
            (DAY4, DAY5, set()),
        ]:
            assert ids(client, from_date=from_date, to_date=to_date) == found


def test_a_day_is_the_utc_day_of_the_events_time_not_of_its_delivery(make_client: MakeClient, lake: Lake) -> None:
    late, offset = "2026-05-01T22:00:00Z", "2026-05-02T01:00:00+03:00"
    written(lake, daily({late: DAY3, offset: DAY2}), [DAY1, DAY2, DAY3])
    with make_client(lake) as client:
        assert ids(client, from_date=DAY1, to_date=DAY2) == {late, offset}
        assert ids(client, from_date=DAY2, to_date=DAY4) == set()


def test_seven_days_are_seven(client: AuditLogClient) -> None:
    client.query(AuditLogQuery(from_date=DAY0, to_date=DAY0 + timedelta(days=7)))
    with pytest.raises(InvalidQueryError):
        client.query(AuditLogQuery(from_date=DAY0, to_date=DAY0 + timedelta(days=8)))


def test_days_of_any_age_are_not_an_error(client: AuditLogClient) -> None:
    for day in (date(1, 1, 1), date(1969, 12, 31), date(9999, 12, 30)):
        assert not client.query(AuditLogQuery(from_date=day, to_date=day + timedelta(days=1))).items


def test_no_sources_means_all_and_an_unknown_one_has_no_rows(client: AuditLogClient, finished: Lake) -> None:
    everything = AuditLogQuery(**WEEK, limit=1000)
    assert rows_of(client.query(everything).items) == expected_rows(finished.rows(), everything)
    for sources in (["no.such"], ["SHOP"], ["sho"], ["shop."], ["a" * 248]):
        page = client.query(replace(everything, sources=sources))
        assert (list(page.items), page.next_cursor, page.previous_cursor) == ([], None, None)
    of_shop = rows_of(client.query(replace(everything, sources=["shop"])).items)
    assert of_shop
    assert rows_of(client.query(replace(everything, sources=["no.such", "shop", "shop"])).items) == of_shop


def test_a_list_may_be_any_collection_and_as_long_as_allowed(client: AuditLogClient, finished: Lake) -> None:
    types = ["Order", "OrderItem", *(f"T{n}" for n in range(98))]
    expected = expected_rows(finished.rows(), AuditLogQuery(**WEEK, entity_types=types))
    for listed in (
        types,
        tuple(types),
        set(types),
        frozenset(types),
        dict.fromkeys(types),
        dict.fromkeys(types).keys(),
    ):
        assert rows_of(client.query(AuditLogQuery(**WEEK, entity_types=listed, limit=1000)).items) == expected
    sources = ["shop", *(f"s{n}" for n in range(99))]
    assert client.query(AuditLogQuery(**WEEK, sources=sources)).items


def test_a_null_is_no_value_and_meets_no_filter(make_client: MakeClient, lake: Lake) -> None:
    written(lake, {key(DAY1): event("bare")}, [DAY1])
    with make_client(lake) as client:
        assert ids(client) == {"bare"}
        for name in ("actor_name", "correlation_id", "parent_id", "channel_code"):
            for value in ("null", "NULL", "None"):
                assert ids(client, **{name: value}) == set()
        for name in ("actions", "actor_types", "entity_types", "event_types", "accounts"):
            assert ids(client, **{name: ["null", "None", "NULL"]}) == set()


def test_the_latest_come_first_by_default(make_client: MakeClient, lake: Lake) -> None:
    times = {"2026-05-01T10:00:00Z": DAY1, "2026-05-01T10:00:00.001Z": DAY1, "2026-05-02T09:00:00Z": DAY2}
    written(lake, daily(times), [DAY1, DAY2])
    with make_client(lake) as client:
        for given_order, expected in [
            ({}, [*times][::-1]),
            ({"order": "asc"}, [*times]),
            ({"order": Order.DESCENDING}, [*times][::-1]),
        ]:
            found = client.query(AuditLogQuery(**WEEK, **given_order))
            assert [item.id for item in found.items] == expected


# -- items


def test_an_item_has_the_rows_values_in_their_types(make_client: MakeClient, lake: Lake) -> None:
    whole = event(
        "e1",
        entity(
            entity='{"id":1001,"name":"Order Item #1001"}',
            parent='{"id":"500","name":"Order #500","type":"Order"}',
            before="1.10",
            after='{ "price" : 1.10, "n":1e2, "z":null }',
            channel_code='"WEB"',
            channel_account_code='"Primary"',
        ),
        time="2026-05-01T12:31:01.1239+02:00",
        source="myapp.orderservice",
        detail={
            "entity_type": '"OrderItem"',
            "action": '"Update"',
            "correlation_id": '"c1"',
            "actor": '{"type":1,"name":"jane@example.com"}',
            "context": '{ "ip":"203.0.113.9" }',
            "trace": "[1 ,2]",
        },
        top={"detail-type": '"orderitemupdated.v1"', "account": '"012345678901"', "region": '"eu-west-1"'},
    )
    written(lake, {key(DAY1): whole + event("e0")}, [DAY1])
    with make_client(lake) as client:
        item, bare = client.query(AuditLogQuery(**WEEK)).items
    assert item.timestamp == datetime(2026, 5, 1, 10, 31, 1, 123_000, tzinfo=UTC)
    assert item.timestamp.utcoffset() == timedelta(0)
    assert (item.id, item.source, item.dt, item.entity_index) == ("e1", "myapp.orderservice", date(2026, 5, 1), 0)
    assert type(item.dt) is date
    assert item.before == "1.10"
    assert item.after == '{ "price" : 1.10, "n":1e2, "z":null }'
    assert item.action is Action.UPDATE
    assert item.actor_type is ActorType.USER
    assert (item.entity_id, item.entity_name, item.entity_type) == ("1001", "Order Item #1001", "OrderItem")
    names = ("entity_parent_id", "entity_parent_name", "entity_parent_type", "channel_code", "channel_account_code")
    assert [getattr(item, name) for name in names] == ["500", "Order #500", "Order", "WEB", "Primary"]
    assert (item.actor_name, item.correlation_id) == ("jane@example.com", "c1")
    assert (item.event_type, item.account, item.region) == ("orderitemupdated.v1", "012345678901", "eu-west-1")
    assert (item.context, item.extra) == ('{ "ip":"203.0.113.9" }', '{"detail":{"trace":[1 ,2]}}')
    assert {name for name, value in row_of(bare).items() if value is None} == set(row_of(bare)) - {
        *("Id", "Timestamp", "EntityId", "EntityName", "EntityIndex", "dt", "source")
    }


def test_an_item_cannot_be_changed(client: AuditLogClient) -> None:
    item = client.query(AuditLogQuery(**WEEK, limit=1)).items[0]
    with pytest.raises(AttributeError):
        item.before = "{}"  # type: ignore[misc]


def test_values_that_the_contract_does_not_know_are_kept_and_can_be_queried(
    make_client: MakeClient, lake: Lake
) -> None:
    own = order_event("own", action='"Approve"', actor='{"type":"Robot"}')
    odd = order_event("odd", action='"it\'s"', actor='{"type":7}')
    empty = order_event("empty", action='""', actor='{"type":""}')
    written(lake, {key(DAY1): own + odd + empty}, [DAY1])
    with make_client(lake) as client:
        found = {item.id: item for item in client.query(AuditLogQuery(**WEEK)).items}
        assert [(found[i].action, found[i].actor_type) for i in ("own", "odd", "empty")] == [
            ("Approve", "Robot"),
            ("it's", "7"),
            ("", ""),
        ]
        assert isinstance(found["own"].action, Action)
        assert isinstance(found["own"].actor_type, ActorType)
        assert found["own"].action not in list(Action)
        assert ids(client, actions=[found["own"].action]) == {"own"}
        assert ids(client, actions=["Approve", Action.DELETE], actor_types=[ActorType("Robot")]) == {"own"}
        assert ids(client, actor_types=["7"]) == {"odd"}


def test_an_enum_and_its_text_are_the_same_filter(client: AuditLogClient) -> None:
    by_text = client.query(AuditLogQuery(**WEEK, actions=["Update"], actor_types=["User"], order="asc"))
    by_enum = client.query(
        AuditLogQuery(**WEEK, actions={Action.UPDATE}, actor_types=(ActorType.USER,), order=Order.ASCENDING)
    )
    assert by_text.items
    assert by_text.items == by_enum.items
    assert by_text.next_cursor == by_enum.next_cursor


# -- limits

REFUSED: Final[list[tuple[str, Any]]] = [
    ("from_date", datetime(2026, 5, 1)),
    ("from_date", "2026-05-01"),
    ("from_date", None),
    ("to_date", datetime(2026, 5, 2, tzinfo=UTC)),
    ("to_date", "2026-05-02"),
    ("to_date", DAY0),
    ("to_date", DAY0 - timedelta(days=1)),
    ("to_date", DAY0 + timedelta(days=8)),
    ("to_date", date.max),
    ("limit", 0),
    ("limit", -1),
    ("limit", 1001),
    ("limit", True),
    ("limit", 10.0),
    ("limit", "10"),
    ("limit", "1; DROP TABLE auditlog"),
    ("limit", None),
    ("order", "ASC"),
    ("order", "asc; --"),
    ("order", None),
    ("direction", "back"),
    ("direction", None),
    ("direction", "previous"),
    ("direction", PageDirection.PREVIOUS),
    ("include_children", True),
    ("include_children", 1),
    ("include_children", "yes"),
    ("sources", ["a/b"]),
    ("sources", ["a", "../b"]),
    ("sources", [".a"]),
    ("sources", ["a b"]),
    ("sources", ["a\n"]),
    ("sources", ["é"]),
    ("sources", ["a" * 249]),
    *[
        (name, value)
        for name in ("entity_id", "actor_name", "correlation_id", "parent_id", "channel_code", "text", "cursor")
        for value in ("", "a\0", "a\n", "\x1f", "\x7f", "\x85", "\ud800", 7, b"a", ["a"], True)
    ],
    *[
        (name, "x" * 257)
        for name in ("entity_id", "actor_name", "correlation_id", "parent_id", "channel_code", "text")
    ],
    *[
        (name, value)
        for name in ("sources", "entity_types", "actions", "actor_types", "event_types", "accounts")
        for value in ([], set(), "shop", b"shop", 7, [7], [None], [""], ["a\0"], ["a", "\ud800"], ["x" * 257])
    ],
    *[
        (name, [f"v{n}" for n in range(101)])
        for name in ("sources", "entity_types", "actions", "actor_types", "event_types", "accounts")
    ],
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), REFUSED, ids=lambda v: repr(v)[:30])
def test_what_breaks_a_rule_is_refused_by_its_name(client: AuditLogClient, field: str, value: Any) -> None:
    query = replace(AuditLogQuery(**WEEK), **{field: value})
    for call in (client.query, client.statement, client.to_arrow, lambda q: next(iter(client.iterate(q)), None)):
        with pytest.raises(InvalidQueryError) as refused:
            call(query)
        assert refused.value.field == field
        assert isinstance(refused.value, ValueError)
        assert isinstance(refused.value, AuditPipelineError)
        assert str(refused.value).startswith(field)
        assert len(str(refused.value)) < 1000


def test_what_keeps_the_rules_to_the_last_bit_is_taken(client: AuditLogClient) -> None:
    client.query(AuditLogQuery(**WEEK, limit=1000, text="x" * 256, sources=["a" * 248], entity_types=["😀" * 256]))
    client.query(AuditLogQuery(**WEEK, limit=1, actions=[f"v{n}" for n in range(100)]))


@pytest.mark.parametrize(
    ("limits", "field", "taken", "refused"),
    [
        (QueryLimits(max_days=31), "to_date", DAY0 + timedelta(days=31), DAY0 + timedelta(days=32)),
        (QueryLimits(max_days=1), "to_date", DAY1, DAY2),
        (QueryLimits(max_limit=5000), "limit", 5000, 5001),
        (QueryLimits(max_text_length=1000), "text", "'" * 1000, "'" * 1001),
        (QueryLimits(max_list_length=3), "actions", ["a", "b", "c"], ["a", "b", "c", "d"]),
        (QueryLimits(max_cursor_length=5), "limit", 1, 0),
    ],
    ids=["more days", "fewer days", "limit", "text", "list", "cursor"],
)
def test_limits_can_be_set(
    make_client: MakeClient, finished: Lake, limits: QueryLimits, field: str, taken: Any, refused: Any
) -> None:
    query = AuditLogQuery(from_date=DAY0, to_date=DAY1)
    with make_client(finished, limits=limits) as client:
        client.query(replace(query, **{field: taken}))
        with pytest.raises(InvalidQueryError) as error:
            client.query(replace(query, **{field: refused}))
    assert error.value.field == field


def test_limits_of_the_settings_hold_unless_others_are_given(make_client: MakeClient, finished: Lake) -> None:
    month = AuditLogQuery(from_date=DAY0, to_date=DAY0 + timedelta(days=31), limit=2000)
    with make_client(finished, query_max_days=31, query_max_limit=2000) as client:
        assert client.query(month).items
        with pytest.raises(InvalidQueryError, match="2000"):
            client.query(replace(month, limit=2001))
        with pytest.raises(InvalidQueryError, match="31"):
            client.query(replace(month, to_date=DAY0 + timedelta(days=32)))


def test_a_query_that_becomes_too_long_a_statement_is_refused_before_it_is_sent(
    make_client: MakeClient, finished: Lake
) -> None:
    few, many = (AuditLogQuery(**WEEK, entity_types=["Order", *(f"t{n}" for n in range(count))]) for count in (5, 90))
    with make_client(finished, limits=QueryLimits(max_sql_bytes=1000)) as client:
        assert client.query(few).items
        with pytest.raises(InvalidQueryError, match="1,000"):
            client.query(many)
        assert client.to_arrow(many).num_rows, "an export reads the files itself, which has no such limit"
