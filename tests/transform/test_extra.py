"""Everything that was delivered is in the row (docs/design.md, "Entity change"): the five columns that take the rest.

Expected values are written out, byte for byte.
"""

import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from audit_pipeline.contract.columns import ROW_SCHEMA
from tests.support.lake import DAY1, DAY3, ENTITY, Lake, entity, event, ids, key, reasons
from tests.support.rules import lines, only, pretty, read

#: JSON values as delivered, none of which a JSON library would write in the same bytes.
EXACT = [
    *("1.10", "-0", "-0.0", "1e2", "1E+2", "1e400", "123456789012345678901234567890", "true", "null", '""', "[]", "{}"),
    *('"\\u00e9\\/\\n"', '"é中😀"', '"\\ud83d\\ude00"', '"}{"', '"\\u0000"', "{ }", "[ \t\r\n ]", '{"n":null}'),
    *(
        '{"b":1,"a":2,"b":3}',
        '{ "spaced" : [1 , 2,{"x":"}{"}] }',
        '{"\\u0061":1,"a":2}',
        '{\n  "pretty": [\n1,\n\t2\r\n]\n}',
    ),
]


def row(lake: Lake, text: str) -> dict[str, Any]:
    read(lake, text)
    found: dict[str, Any] = only(lake.rows())
    return found


def extra(lake: Lake, text: str) -> str | None:
    value: str | None = row(lake, text)["Extra"]
    return value


# === EventType, Account, Region =====================================================================================


def test_the_envelopes_detail_type_account_and_region_have_columns(lake: Lake) -> None:
    top = {"detail-type": '"orderupdated.v1"', "account": '"111122223333"', "region": '"eu-west-1"'}
    found = row(lake, event("a", top=top))
    assert [found[name] for name in ("EventType", "Account", "Region")] == [
        "orderupdated.v1",
        "111122223333",
        "eu-west-1",
    ]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ('"é\\u00e9"', "éé"),
        ('""', ""),
        ("111122223333", "111122223333"),
        ("0.10", "0.10"),
        ("false", "false"),
        ('{ "a":1 }', '{ "a":1 }'),
        ("[1 ,2]", "[1 ,2]"),
        ("null", None),
        (None, None),
    ],
)
def test_they_are_text_columns(lake: Lake, value: str | None, wanted: str | None) -> None:
    found = row(lake, event("a", top={"detail-type": value, "account": value, "region": value}))
    assert (found["EventType"], found["Account"], found["Region"]) == (wanted, wanted, wanted)


def test_they_are_the_envelopes_and_no_members_of_detail(lake: Lake) -> None:
    detail = {"detail-type": '"no"', "account": '"no"', "region": '"no"'}
    found = row(lake, event("a", detail=detail))
    assert (found["EventType"], found["Account"], found["Region"]) == (None, None, None)
    assert found["Extra"] == '{"detail":{"detail-type":"no","account":"no","region":"no"}}'


# === Context ========================================================================================================


@pytest.mark.parametrize("value", [value for value in EXACT if value != "null"])
def test_context_is_byte_for_byte_the_text_of_the_value(lake: Lake, value: str) -> None:
    read(lake, event("a", ENTITY, ENTITY, detail={"context": f" \n{value}\t "}))
    assert [found["Context"] for found in lake.rows()] == [value, value]
    assert [found["Extra"] for found in lake.rows()] == [None, None]


@pytest.mark.parametrize("value", ["null", None])
def test_a_context_that_is_missing_or_null_is_null(lake: Lake, value: str | None) -> None:
    found = row(lake, event("a", detail={"context": value}))
    assert (found["Context"], found["Extra"]) == (None, None)


def test_of_repeated_contexts_the_last_counts(lake: Lake) -> None:
    found = row(lake, event("a", detail={"context": '{"ip":1},"\\u0063ontext":{"ip":2}'}))
    assert (found["Context"], found["Extra"]) == ('{"ip":2}', None)


def test_only_details_context_is_the_context(lake: Lake) -> None:
    text = event("a", entity(context='{"c":1}'), top={"context": '{"t":1}'}, detail={"Context": '{"d":1}'})
    found = row(lake, text)
    assert found["Context"] is None
    assert found["Extra"] == '{"detail":{"Context":{"d":1}},"change":{"context":{"c":1}}}'


# === Extra ==========================================================================================================


def test_without_unknown_members_extra_is_null(lake: Lake) -> None:
    change = entity(
        entity='{"id":"1","name":"n"}',
        parent='{"id":"1","name":"n","type":"t"}',
        before="1",
        after="2",
        channel_code="3",
        channel_account_code="4",
    )
    detail = {
        "event_id": '"i"',
        "entity_type": '"t"',
        "action": '"a"',
        "correlation_id": '"c"',
        "context": '{"ip":"x"}',
        "actor": '{"type":1,"name":"n"}',
    }
    assert extra(lake, event("a", change, detail=detail)) is None


@pytest.mark.parametrize("value", [None, "null", "{}"])
def test_without_actor_or_parent_too(lake: Lake, value: str | None) -> None:
    fields = {"parent": value} if value else {}
    assert extra(lake, event("a", entity(**fields), detail={"actor": value})) is None


PLACES = {
    "detail": event("a", detail={"x": "1"}),
    "actor": event("a", detail={"actor": '{"type":1,"x":1}'}),
    "change": event("a", entity(x="1")),
    "entity": event("a", entity(entity='{"id":"1","x":1,"name":"n"}')),
    "parent": event("a", entity(parent='{"id":"1","x":1}')),
}


@pytest.mark.parametrize("place", PLACES)
def test_unknown_members_of_each_place_go_to_extra_under_its_name(lake: Lake, place: str) -> None:
    assert extra(lake, PLACES[place]) == f'{{"{place}":{{"x":1}}}}'


def test_the_places_stand_in_this_order_and_only_where_not_empty(lake: Lake) -> None:
    text = (
        '{"id":"a","detail":{"entities":[{"parent":{"p":5,"id":"1"},"entity":{"name":"n","e":4,"id":"1"},"c":3},'
        '{"entity":{"id":"2","name":"n"},"parent":{"p":6}}],"actor":{"name":"x","a":2},"d":1},'
        '"time":"2026-05-01T10:00:00Z","source":"shop"}'
    )
    read(lake, text)
    assert [found["Extra"] for found in lake.rows()] == [
        '{"detail":{"d":1},"actor":{"a":2},"change":{"c":3},"entity":{"e":4},"parent":{"p":5}}',
        '{"detail":{"d":1},"actor":{"a":2},"parent":{"p":6}}',
    ]


def test_what_is_unknown_of_detail_and_actor_is_the_same_in_all_rows_of_an_event(lake: Lake) -> None:
    text = event("a", *(entity(n=str(n)) for n in range(3)), detail={"trace": '"t"', "actor": '{"ip":"i"}'})
    read(lake, text)
    assert [found["Extra"] for found in lake.rows()] == [
        f'{{"detail":{{"trace":"t"}},"actor":{{"ip":"i"}},"change":{{"n":{n}}}}}' for n in range(3)
    ]


@pytest.mark.parametrize("value", EXACT)
def test_values_are_byte_for_byte_as_delivered(lake: Lake, value: str) -> None:
    text = event("a", entity(y=f"\t{value} "), detail={"x": f" \n{value}\r\n"})
    assert extra(lake, text) == f'{{"detail":{{"x":{value}}},"change":{{"y":{value}}}}}'


@pytest.mark.parametrize(
    "name", ['""', '" "', '"a b"', '"é"', '"\\u00e9"', '"\\ud83d\\ude00"', '"\\/"', '"\\"}{"', '"\\u0000"', '"a.b"']
)
def test_keys_are_byte_for_byte_as_delivered(lake: Lake, name: str) -> None:
    text = event("a").replace('"entities"', f'{name} : 1,"entities"')
    assert extra(lake, text) == f'{{"detail":{{{name}:1}}}}'


def test_white_space_around_keys_and_values_is_left_out_and_inside_of_values_it_stays(lake: Lake) -> None:
    text = event("a").replace('"entities"', '\n "x"\t:\r\n{ "a" : 1 } , "y" :\n[ 1 ]\n,\n"entities"')
    assert extra(lake, text) == '{"detail":{"x":{ "a" : 1 },"y":[ 1 ]}}'


def test_a_pretty_printed_event_has_the_same_extra_where_no_value_has_white_space(lake: Lake) -> None:
    text = event("a", entity(c="1"), detail={"d": '"é"', "actor": '{"a":true}'})
    lake.write(key(DAY1, 1), text)
    lake.write(key(DAY1, 2), pretty(text).replace('"id": "a"', '"id": "b"'))
    lake.run()
    wanted = '{"detail":{"d":"é"},"actor":{"a":true},"change":{"c":1}}'
    assert [(found["Id"], found["Extra"]) for found in lake.rows()] == [("a", wanted), ("b", wanted)]


def test_members_stand_in_the_order_of_delivery(lake: Lake) -> None:
    text = event("a", detail={"z": "1", "a": "2", "action": '"A"', "m": "3", "B": "4"})
    assert extra(lake, text) == '{"detail":{"z":1,"a":2,"m":3,"B":4}}'


@pytest.mark.parametrize(
    ("members", "wanted"),
    [
        ('"x":1,"x":2', '"x":2'),
        ('"x":1,"y":2,"x":3', '"y":2,"x":3'),
        ('"x":1,"y":2,"x":3,"z":4,"y":5', '"x":3,"z":4,"y":5'),
        ('"x":1,"\\u0078":2', '"\\u0078":2'),
        ('"\\u0078":1,"y":2,"x":3', '"y":2,"x":3'),
        ('"é":1,"\\u00e9":2', '"\\u00e9":2'),
        ('"\\u00E9":1,"\\u00e9":2', '"\\u00e9":2'),
        ('"😀":1,"\\ud83d\\ude00":2', '"\\ud83d\\ude00":2'),
        ('"/":1,"\\/":2', '"\\/":2'),
        ('"x":1,"X":2', '"x":1,"X":2'),
        ('"x":{"y":1,"y":2},"x":null', '"x":null'),
        ('"x":1,"x":{"y":1,"y":2}', '"x":{"y":1,"y":2}'),
    ],
)
def test_of_a_repeated_key_only_its_last_stands_at_its_last_place(lake: Lake, members: str, wanted: str) -> None:
    """Keys are compared decoded. Inside of a value repeated keys stay: it is as delivered."""
    text = event("a", f'{{"entity":{{"id":"1",{members},"name":"n"}},{members}}}')
    assert extra(lake, text) == f'{{"change":{{{wanted}}},"entity":{{{wanted}}}}}'


def test_a_known_key_written_with_escapes_is_known(lake: Lake) -> None:
    text = event("a", detail={"action": '"A"', "actor": '{"n\\u0061me":"n"}'}).replace('"action"', '"\\u0061ction"')
    found = row(lake, text)
    assert (found["Action"], found["ActorName"], found["Extra"]) == ("A", "n", None)


def test_earlier_values_of_a_known_key_are_not_in_extra(lake: Lake) -> None:
    text = event("a", detail={"action": '"old","action":"new"', "actor": '{"x":1},"actor":{"y":2}'})
    found = row(lake, text)
    assert (found["Action"], found["Extra"]) == ("new", '{"actor":{"y":2}}')


def test_members_that_a_column_takes_in_another_place_are_unknown_in_this_one(lake: Lake) -> None:
    change = entity(
        entity='{"id":"1","name":"n","type":"t","before":1}',
        parent='{"id":"2","parent":3}',
        id="4",
        name="5",
        action="6",
        context="7",
        actor="8",
    )
    detail = {"before": "9", "parent": "10", "name": "11", "source": "12", "detail": "13", "actor": '{"id":14}'}
    assert extra(lake, event("a", change, detail=detail)) == (
        '{"detail":{"before":9,"parent":10,"name":11,"source":12,"detail":13},"actor":{"id":14},'
        '"change":{"id":4,"name":5,"action":6,"context":7,"actor":8},"entity":{"type":"t","before":1},'
        '"parent":{"parent":3}}'
    )


def test_keys_are_told_apart_by_case(lake: Lake) -> None:
    text = event("a", entity(Before="1", Entity="2"), detail={"Action": "3", "Actor": "4", "EVENT_ID": "5"})
    assert extra(lake, text) == '{"detail":{"Action":3,"Actor":4,"EVENT_ID":5},"change":{"Before":1,"Entity":2}}'


def test_an_unknown_member_that_is_null_was_delivered(lake: Lake) -> None:
    assert (
        extra(lake, event("a", entity(n="null"), detail={"m": "null"})) == '{"detail":{"m":null},"change":{"n":null}}'
    )


def test_unknown_members_of_the_envelope_are_left_out(lake: Lake) -> None:
    """A redelivery may differ in them."""
    top = {"version": '"0"', "resources": '["r"]', "replay-name": '"r"', "x": "1", "context": '{"ip":1}', "actor": "{}"}
    found = row(lake, event("a", top=top))
    assert (found["Extra"], found["Context"]) == (None, None)


def test_extra_is_a_json_object_whose_keys_do_not_repeat(lake: Lake) -> None:
    text = event("a", entity(x="1", y='{"z":[1]}'), detail={"x": '1,"x":2', "actor": '{"q":"\\"","q":"}"}'})
    value = extra(lake, text)
    assert value is not None
    assert json.loads(value) == {"detail": {"x": 2}, "actor": {"q": "}"}, "change": {"x": 1, "y": {"z": [1]}}}


def test_the_rows_beside_a_bad_entity_have_their_extra(lake: Lake) -> None:
    read(lake, event("a", entity(x="1"), '{"y":2}', entity(z="3")))
    assert [(found["EntityIndex"], found["Extra"]) for found in lake.rows()] == [
        (0, '{"change":{"x":1}}'),
        (2, '{"change":{"z":3}}'),
    ]


@pytest.mark.parametrize("levels", [50, 900])
def test_deep_and_long_unknown_values_are_kept_whole(lake: Lake, levels: int) -> None:
    deep, long = "[" * levels + "]" * levels, '"' + "é" * 100_000 + '"'
    assert extra(lake, event("a", entity(deep=deep), detail={"long": long})) == (
        f'{{"detail":{{"long":{long}}},"change":{{"deep":{deep}}}}}'
    )


def test_usual_and_unusual_events_of_one_object_have_the_same_columns(lake: Lake) -> None:
    """However the kernel reads them: some take its short way, some, for a repeated key or an escape in one, do not."""
    plain = {"x": '{"a":1.10}', "context": '{"ip":"i"}'}
    texts = [event(f"e{n}", entity(y="[1 ]"), detail=plain | {"actor": '{"name":"n","ip":"p"}'}) for n in range(6)]
    texts[1] = texts[1].replace('"x":', '"x":7,"x":')
    texts[2] = texts[2].replace('"context"', '"\\u0063ontext"')
    texts[3] = texts[3].replace(",", " ,\n\t")
    texts[4] = f"[{texts[4]}]"
    read(lake, lines(*texts))
    wanted = '{"detail":{"x":{"a":1.10}},"actor":{"ip":"p"},"change":{"y":[1 ]}}'
    assert [found["Id"] for found in lake.rows()] == [f"e{n}" for n in range(6)]
    assert [found["Context"] for found in lake.rows()] == ['{"ip":"i"}'] * 6
    assert [found["Extra"] for found in lake.rows()] == [wanted] * 6


# === The columns in files ===========================================================================================


NEW = ["EventType", "Account", "Region", "Context", "Extra"]


def test_the_new_columns_are_strings_that_may_be_null_at_the_end_of_the_contract() -> None:
    """At the end, for a table that stands gets them added there."""
    assert ROW_SCHEMA.names[-5:] == NEW
    for name in NEW:
        field = ROW_SCHEMA.field(name)
        assert (str(field.type), field.nullable) == (str(ROW_SCHEMA.field("After").type), True)


def test_a_day_without_any_of_them_has_the_columns_all_the_same(lake: Lake) -> None:
    read(lake, event("a"))
    file = pq.ParquetFile(lake.path / only(list(lake.files())))
    assert set(NEW) <= set(file.schema_arrow.names)
    assert {name: only(lake.rows())[name] for name in NEW} == dict.fromkeys(NEW)


# === Duplicates =====================================================================================================


DELIVERED = {
    "EventType": {"top": {"detail-type": '"x"'}},
    "Account": {"top": {"account": '"x"'}},
    "Region": {"top": {"region": '"x"'}},
    "Context": {"detail": {"context": '{"ip":"x"}'}},
    "Extra of detail": {"detail": {"x": "1"}},
    "Extra of actor": {"detail": {"actor": '{"x":1}'}},
}


@pytest.mark.parametrize("name", DELIVERED)
def test_events_that_differ_in_a_new_column_conflict(lake: Lake, name: str) -> None:
    counts = read(lake, event("a") + event("a", **DELIVERED[name]) + event("a"))
    assert counts == {"read": 3, "kept": 1, "duplicate": 1, "deferred": 0, "quarantined": 1}
    assert reasons(lake.quarantine()) == ["conflicting_duplicate"]


@pytest.mark.parametrize("name", DELIVERED)
def test_across_partitions_too(lake: Lake, name: str) -> None:
    lake.write(key(DAY1), event("a") + event("b", **DELIVERED[name]))
    lake.write(key(DAY3), event("a", **DELIVERED[name]) + event("b", **DELIVERED[name]))
    for partition in (DAY1, DAY3):
        lake.run(partition)
    assert lake.manifest(DAY3)["events"] == {"read": 2, "kept": 0, "duplicate": 1, "deferred": 0, "quarantined": 1}
    assert reasons(lake.quarantine(DAY3)) == ["conflicting_duplicate"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"x": "1", "y": "2"}, {"y": "2", "x": "1"}),
        ({"x": "1"}, {"x": "1.0"}),
        ({"x": "{}"}, {"x": "{ }"}),
        ({"context": "{}"}, {"context": "{ }"}),
        ({"x": '"é"'}, {"x": '"\\u00e9"'}),
    ],
)
def test_extra_and_context_are_compared_byte_for_byte(lake: Lake, one: dict[str, str], other: dict[str, str]) -> None:
    counts = read(lake, event("a", detail=one) + event("a", detail=other))
    assert (counts["kept"], counts["quarantined"]) == (1, 1)


def test_what_extra_does_not_show_makes_no_difference(lake: Lake) -> None:
    texts = [
        event("a", detail={"x": "1"}),
        event("a", detail={"x": " 1 "}),
        event("a", detail={"x": '7,"x":1'}),
        event("a", top={"resources": "[7]"}, detail={"x": "1"}),
    ]
    counts = read(lake, lines(*texts))
    assert counts == {"read": 4, "kept": 1, "duplicate": 3, "deferred": 0, "quarantined": 0}


def without_new_columns(lake: Lake) -> None:
    """The table's files as a release before these columns wrote them."""
    for path in (lake.path / "auditlog_parquet").rglob("*.parquet"):
        table = pq.ParquetFile(path).read()
        pq.write_table(table.drop_columns(NEW), path)


def test_columns_that_an_older_file_lacks_are_not_compared(lake: Lake) -> None:
    """So a late copy of an event from before these columns is a duplicate, and no conflict."""
    full = {"context": '{"ip":"i"}', "x": "1"}
    top = {"detail-type": '"t"', "account": '"1"', "region": '"r"'}
    lake.write(key(DAY1), event("a", top=top, detail=full) + event("b", entity(after="1"), top=top, detail=full))
    lake.run(DAY1)
    without_new_columns(lake)
    lake.write(key(DAY3), event("a", top=top, detail=full) + event("b", entity(after="2"), top=top, detail=full))
    lake.run(DAY3)
    assert lake.manifest(DAY3)["events"] == {"read": 2, "kept": 0, "duplicate": 1, "deferred": 0, "quarantined": 1}
    assert [(r["Reason"], r["EventId"]) for r in lake.quarantine(DAY3)] == [("conflicting_duplicate", "b")]


def test_a_run_of_such_a_day_again_fills_them(lake: Lake) -> None:
    lake.write(key(DAY1), event("a", detail={"context": "{}"}))
    lake.run(DAY1)
    without_new_columns(lake)
    lake.run(DAY1)
    assert only(lake.rows())["Context"] == "{}"
    assert ids(lake.rows()) == ["a"]
