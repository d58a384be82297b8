"""From a JSON document to rows and bad entities: which field gives which column, and what is refused and why."""

import pyarrow.parquet as pq
import pytest

from audit_pipeline.contract.columns import ROW_SCHEMA
from tests.support.lake import DAY1, ENTITY, Lake, entity, event, ids, reasons, zipped
from tests.support.rules import lines, only, raws, read


@pytest.mark.parametrize(
    "text", ["[1,2]", "[]", '"text"', "12", "-0.5e+10", "true", "false", "null", '"\\u0000"', "[[{}]]"]
)
def test_a_json_text_that_is_no_object_is_not_object(lake: Lake, text: str) -> None:
    counts = read(lake, f"{event('a')}\n{text}\n{event('b')}")
    record = only(lake.quarantine())
    assert (record["Reason"], record["Raw"].decode(), record["EntityIndex"]) == ("not_object", text, None)
    assert record["Offset"] == len(event("a")) + 1
    assert counts == {"read": 3, "kept": 2, "duplicate": 0, "deferred": 0, "quarantined": 1}


def test_texts_that_are_no_objects_are_a_record_each(lake: Lake) -> None:
    read(lake, f'1 "a""b"[2]{event("a")}true\nnull{{}}3[]')
    assert raws(lake.quarantine()) == ["1", '"a"', '"b"', "[2]", "true", "null", "{}", "3", "[]"]
    assert reasons(lake.quarantine()) == ["not_object"] * 6 + ["missing_field"] + ["not_object"] * 2


def test_of_repeated_keys_the_last_counts_at_every_level(lake: Lake) -> None:
    text = (
        '{"id":7,"id":"a","source":[],"source":"shop","time":"no","time":"2026-05-01T10:00:00Z",'
        '"detail":{"entities":[]},"detail":{"action":"x","action":"y","actor":7,"actor":{"type":0,"type":1},'
        '"entities":7,"entities":[{"entity":[],"entity":{"id":null,"id":"1","name":{},"name":"n"},'
        '"parent":7,"parent":null,"before":{"x":1},"before":[2],"after":1,"after":null}]}}'
    )
    read(lake, text)
    row = only(lake.rows())
    found = [row[c] for c in ("Id", "source", "Action", "ActorType", "EntityId", "EntityName", "Before", "After")]
    assert found == ["a", "shop", "y", "User", "1", "n", "[2]", None]


def test_a_last_key_that_is_null_counts_too(lake: Lake) -> None:
    read(lake, event("a", entity(before="1").replace("}", ',"before":null}')) + event("b", top={"x": '1,"id":null'}))
    assert [row["Before"] for row in lake.rows()] == [None]
    assert reasons(lake.quarantine()) == ["missing_field"]


def test_a_key_written_with_escapes_is_the_same_key(lake: Lake) -> None:
    text = event("a", entity(before="1", after="2")).replace('"before"', '"\\u0062efore"').replace('"id"', '"\\u0069d"')
    read(lake, text.replace('"source"', '"source":"other","sourc\\u0065"'))
    row = only(lake.rows())
    assert (row["Id"], row["source"], row["EntityId"], row["Before"], row["After"]) == ("a", "shop", "1", "1", "2")


def test_keys_are_told_apart_by_case(lake: Lake) -> None:
    read(lake, event("a", detail={"Action": '"no"', "ACTION": '"no"'}))
    assert only(lake.rows())["Action"] is None


@pytest.mark.parametrize("field", ["id", "source", "time", "detail"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "missing_field"),
        ("null", "missing_field"),
        ("17", "wrong_type"),
        ("true", "wrong_type"),
        ("[]", "wrong_type"),
    ],
)
def test_a_required_field_of_an_event(lake: Lake, field: str, value: str | None, reason: str) -> None:
    text = event("a", top={field: value})
    counts = read(lake, text)
    record = only(lake.quarantine())
    assert (record["Reason"], record["Raw"].decode(), record["EntityIndex"]) == (reason, text, None)
    assert counts == {"read": 1, "kept": 0, "duplicate": 0, "deferred": 0, "quarantined": 1}


@pytest.mark.parametrize(
    ("entities", "reason"),
    [
        (None, "missing_field"),
        ("null", "missing_field"),
        ("{}", "wrong_type"),
        ('"x"', "wrong_type"),
        ("0", "wrong_type"),
        ("[]", "no_entities"),
        ("[ \n]", "no_entities"),
    ],
)
def test_entities_is_required_and_not_empty(lake: Lake, entities: str | None, reason: str) -> None:
    text = event("a", detail={"entities": entities})
    assert read(lake, text)["quarantined"] == 1
    assert [(r["Reason"], r["Raw"].decode()) for r in lake.quarantine()] == [(reason, text)]


@pytest.mark.parametrize("field", ["id", "source", "time"])
def test_an_object_is_no_string(lake: Lake, field: str) -> None:
    read(lake, event("a", top={field: "{}"}))
    assert reasons(lake.quarantine()) == ["wrong_type"]


@pytest.mark.parametrize("value", ['"{}"', "1.5", "false"])
def test_detail_of_another_type_is_wrong_type(lake: Lake, value: str) -> None:
    read(lake, event("a", top={"detail": value}))
    assert reasons(lake.quarantine()) == ["wrong_type"]


def test_an_empty_id_is_missing(lake: Lake) -> None:
    read(lake, event("") + event("", detail={"event_id": '"given"'}))
    assert reasons(lake.quarantine()) == ["missing_field", "missing_field"]


def test_an_empty_object_lacks_its_id(lake: Lake) -> None:
    read(lake, "{}")
    assert [(r["Reason"], r["Raw"]) for r in lake.quarantine()] == [("missing_field", b"{}")]


def test_everything_else_is_optional_and_unknown_members_change_no_column_but_extra(lake: Lake) -> None:
    top = {"version": "7", "detail-type": "null", "resources": "{}", "": "1", "entities": "[]", "context": "7"}
    unknown = {"x": '{"entities":[]}', "event": "[[[]]]", "": "null"}
    read(lake, event("a", entity(id="9", name="8", unknown='{"entity":7}'), top=top, detail=unknown))
    row = only(lake.rows())
    assert {name for name, value in row.items() if value is not None} == {
        *("Id", "Timestamp", "EntityId", "EntityName", "EntityIndex", "Extra", "dt", "source", "owner")
    }
    assert row["Extra"] == (
        '{"detail":{"x":{"entities":[]},"event":[[[]]],"":null},"change":{"id":9,"name":8,"unknown":{"entity":7}}}'
    )


FAULTS: list[tuple[str, dict[str, str | None], dict[str, str | None], str]] = [
    ("no id", {"id": None}, {}, "missing_field"),
    ("id of another type", {"id": "1"}, {}, "wrong_type"),
    ("no source", {"source": None}, {}, "missing_field"),
    ("source of another type", {"source": "1"}, {}, "wrong_type"),
    ("no time", {"time": None}, {}, "missing_field"),
    ("time of another type", {"time": "1"}, {}, "wrong_type"),
    ("no detail", {"detail": None}, {}, "missing_field"),
    ("detail of another type", {"detail": "1"}, {}, "wrong_type"),
    ("no entities", {}, {"entities": None}, "missing_field"),
    ("entities of another type", {}, {"entities": "1"}, "wrong_type"),
    ("empty entities", {}, {"entities": "[]"}, "no_entities"),
    ("bad time", {"time": '"x"'}, {}, "bad_time"),
    ("time out of range", {"time": '"2026-05-03T00:00:00Z"'}, {}, "time_out_of_range"),
    ("unsafe source", {"source": '"a/b"'}, {}, "unsafe_source"),
    ("actor", {}, {"actor": "1"}, "wrong_type"),
]


@pytest.mark.parametrize("first", range(len(FAULTS)), ids=[f[0] for f in FAULTS])
def test_the_first_check_that_fails_names_the_reason(lake: Lake, first: int) -> None:
    _, top, detail, reason = FAULTS[first]
    # every later fault that can stand beside this one; a field can have one fault only, and fields of no detail none
    texts = [event("a", top=top, detail=detail)]
    for _, later_top, later_detail, _ in FAULTS[first + 1 :]:
        if not set(top) & set(later_top) and not set(detail) & set(later_detail):
            texts.append(event("a", top=later_top | top, detail=later_detail | detail))
    read(lake, lines(*texts))
    assert reasons(lake.quarantine()) == [reason] * len(texts)
    assert raws(lake.quarantine()) == texts


# with "source=" before it, a name of 248 characters is as long as a file system takes
SAFE_SOURCES = [
    "a",
    "9",
    "Z",
    "my.app",
    "My-App_3",
    "a..b",
    "a" * 248,
    "0-.",
    "com.example.orders",
    "null",
    "NULL",
    "1",
    "1e5",
]


UNSAFE_SOURCES = [
    *("", ".", "..", ".a", "-a", "_a", "a/b", "../../x", "a\\b", "a b", " a", "a ", "a\n", "a\x00", "ä", "aé", "a=b"),
    *("a%2F", "a:b", "a'b", "a*", "a" * 249, "a" * 256, "\uff11", "a\u200b"),
]


def test_a_source_becomes_a_path_so_it_must_be_safe(lake: Lake) -> None:
    texts = [event(f"e{n:02}", source=source) for n, source in enumerate(SAFE_SOURCES + UNSAFE_SOURCES)]
    read(lake, lines(*texts))
    assert sorted(row["source"] for row in lake.rows()) == sorted(SAFE_SOURCES)
    assert [(r["Reason"], r["Source"]) for r in lake.quarantine()] == [("unsafe_source", s) for s in UNSAFE_SOURCES]
    outside = [p for p in lake.root.rglob("*.parquet") if lake.path not in p.parents]
    assert outside == []


@pytest.mark.parametrize("value", ['"jane"', "7", "true", "[]", '[{"name":"x"}]', '""'])
def test_an_actor_that_is_neither_null_nor_an_object_is_wrong_type(lake: Lake, value: str) -> None:
    text = event("a", detail={"actor": value})
    read(lake, text)
    assert [(r["Reason"], r["Raw"].decode(), r["EntityIndex"]) for r in lake.quarantine()] == [
        ("wrong_type", text, None)
    ]


@pytest.mark.parametrize("value", [None, "null", "{}", '{"type":null,"name":null}', '{"other":1}'])
def test_an_actor_may_be_missing_null_or_empty(lake: Lake, value: str | None) -> None:
    read(lake, event("a", detail={"actor": value}))
    row = only(lake.rows())
    assert (row["ActorName"], row["ActorType"]) == (None, None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("null", "wrong_type"),
        ("7", "wrong_type"),
        ('"x"', "wrong_type"),
        ("[]", "wrong_type"),
        (entity(entity="7"), "wrong_type"),
        (entity(entity='"1"'), "wrong_type"),
        (entity(entity="[1]"), "wrong_type"),
        (entity(entity="{}"), "missing_field"),
        (entity(entity='{"name":"n"}'), "missing_field"),
        (entity(entity='{"id":null,"name":"n"}'), "missing_field"),
        (entity(entity='{"id":"","name":"n"}'), "missing_field"),
        (entity(entity='{"id":"1"}'), "missing_field"),
        (entity(entity='{"id":"1","name":null}'), "missing_field"),
        (entity(parent='"500"'), "wrong_type"),
        (entity(parent="7"), "wrong_type"),
        (entity(parent="false"), "wrong_type"),
        (entity(parent="[]"), "wrong_type"),
    ],
)
def test_one_bad_entity_does_not_take_its_siblings_along(lake: Lake, change: str, reason: str) -> None:
    counts = read(lake, event("a", entity(after="0"), change, entity(after="2")))
    assert [(row["EntityIndex"], row["After"]) for row in lake.rows()] == [(0, "0"), (2, "2")]
    record = only(lake.quarantine())
    assert (record["Reason"], record["EntityIndex"], record["Raw"].decode()) == (reason, 1, change)
    assert counts == {"read": 1, "kept": 1, "duplicate": 0, "deferred": 0, "quarantined": 0}
    assert lake.manifest()["quarantined_records"] == 1


@pytest.mark.parametrize("change", ["{}", '{"entity":null}', '{"before":1}', '{"entity":{},"entity":null}'])
def test_an_entity_change_without_an_entity_lacks_a_field(lake: Lake, change: str) -> None:
    read(lake, event("a", change, ENTITY))
    assert [(r["Reason"], r["EntityIndex"], r["Raw"].decode()) for r in lake.quarantine()] == [
        ("missing_field", 0, change)
    ]
    assert [row["EntityIndex"] for row in lake.rows()] == [1]


def test_an_event_of_which_no_row_remains_is_quarantined_with_a_record_an_entity(lake: Lake) -> None:
    counts = read(lake, event("a", "1", "2", entity(parent="3")))
    assert [(r["Reason"], r["EntityIndex"], r["Raw"]) for r in lake.quarantine()] == [
        ("wrong_type", 0, b"1"),
        ("wrong_type", 1, b"2"),
        ("wrong_type", 2, b'{"entity":{"id":"1","name":"n"},"parent":3}'),
    ]
    assert counts == {"read": 1, "kept": 0, "duplicate": 0, "deferred": 0, "quarantined": 1}


def test_an_entity_name_may_be_empty_but_not_null(lake: Lake) -> None:
    read(lake, event("a", entity(entity='{"id":"1","name":""}')))
    assert only(lake.rows())["EntityName"] == ""


def test_id_is_the_detail_event_id_where_that_is_a_non_empty_string_else_the_envelopes(lake: Lake) -> None:
    given = ['"own"', '""', "null", "7", "true", "{}", '["x"]', None]
    read(lake, lines(*(event(f"e{n}", detail={"event_id": value}) for n, value in enumerate(given))))
    assert ids(lake.rows()) == ["e1", "e2", "e3", "e4", "e5", "e6", "e7", "own"]


def test_every_column_comes_from_its_field(lake: Lake) -> None:
    change = entity(
        entity='{"id":"EI","name":"EN","type":"no"}',
        parent='{"id":"PI","name":"PN","type":"PT"}',
        before='{"b":1}',
        after='{"a":2}',
        channel_code='"CC"',
        channel_account_code='"CA"',
        entity_type='"no"',
        action='"no"',
    )
    detail = {
        "event_id": '"ID"',
        "actor": '{"name":"AN","type":2}',
        "entity_type": '"ET"',
        "action": '"AC"',
        "correlation_id": '"CO"',
        "context": '{"ip":"CX"}',
        "before": '"no"',
        "parent": '"no"',
    }
    top = {"detail-type": '"TY"', "account": '"AA"', "region": '"RE"', "version": '"0"'}
    read(lake, event("a", ENTITY, change, top=top, detail=detail, time="2026-05-01T10:11:12.345Z", source="src"))
    assert lake.rows()[1] == {
        "Id": "ID",
        "Timestamp": "2026-05-01T10:11:12.345Z",
        "ActorName": "AN",
        "ActorType": "Client",
        "EntityId": "EI",
        "EntityName": "EN",
        "EntityType": "ET",
        "EntityParentId": "PI",
        "EntityParentName": "PN",
        "EntityParentType": "PT",
        "ChannelCode": "CC",
        "ChannelAccountCode": "CA",
        "Action": "AC",
        "Before": '{"b":1}',
        "After": '{"a":2}',
        "CorrelationId": "CO",
        "EntityIndex": 1,
        "EventType": "TY",
        "Account": "AA",
        "Region": "RE",
        "Context": '{"ip":"CX"}',
        "Extra": (
            '{"detail":{"before":"no","parent":"no"},"change":{"entity_type":"no","action":"no"},'
            '"entity":{"type":"no"}}'
        ),
        "dt": "2026-05-01",
        "source": "src",
        "owner": DAY1,
    }


#: Values of text columns and what becomes of them.
TEXTS = {
    "null": None,
    '"text"': "text",
    '""': "",
    '" a "': " a ",
    '"null"': "null",
    '"1.10"': "1.10",
    '"\\u00e9\\/\\n\\t\\"\\\\"': 'é/\n\t"\\',
    '"\\ud83d\\ude00\\u0000"': "😀\0",
    '"é中😀"': "é中😀",
    "1001": "1001",
    "1.10": "1.10",
    "-0": "-0",
    "-0.0": "-0.0",
    "1e2": "1e2",
    "1E+2": "1E+2",
    "0.1000": "0.1000",
    "123456789012345678901234567890": "123456789012345678901234567890",
    "1e400": "1e400",
    "true": "true",
    "false": "false",
    '{ "a" : [1 ,2],"a":1.0 }': '{ "a" : [1 ,2],"a":1.0 }',
    '["\\u00e9" , null]': '["\\u00e9" , null]',
    "{}": "{}",
    "[]": "[]",
}


def test_text_columns_take_a_strings_value_and_the_text_of_anything_else_as_written(lake: Lake) -> None:
    texts = []
    for number, value in enumerate(TEXTS):
        change = entity(
            parent=f'{{"id":{value},"name":{value},"type":{value}}}', channel_code=value, channel_account_code=value
        )
        detail = {"entity_type": value, "action": value, "correlation_id": value, "actor": f'{{"name":{value}}}'}
        top = {"detail-type": value, "account": value, "region": value}
        texts.append(event(f"e{number:02}", change, top=top, detail=detail))
    read(lake, lines(*texts))
    columns = ["EntityParentId", "EntityParentName", "EntityParentType", "ChannelCode", "ChannelAccountCode"]
    columns += ["EntityType", "Action", "CorrelationId", "ActorName", "EventType", "Account", "Region"]
    assert [[row[c] for c in columns] for row in lake.rows()] == [[wanted] * len(columns) for wanted in TEXTS.values()]


def test_the_id_and_the_name_of_an_entity_are_text_columns_too(lake: Lake) -> None:
    wanted = {value: text for value, text in TEXTS.items() if text}
    read(lake, event("a", *(entity(entity=f'{{"id":{value},"name":{value}}}') for value in wanted)))
    found = [(row["EntityId"], row["EntityName"]) for row in lake.rows()]
    assert found == [(text, text) for text in wanted.values()]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("0", "Service"),
        ("1", "User"),
        ("2", "Client"),
        ("3", "3"),
        ("-1", "-1"),
        ("10", "10"),
        ("1.5", "1.5"),
        ('"1"', "1"),
        ('"User"', "User"),
        ('"svc"', "svc"),
        ('""', ""),
        ("true", "true"),
        ("[0]", "[0]"),
        ('{"a":1}', '{"a":1}'),
        ("null", None),
    ],
)
def test_actor_types_have_names_and_anything_else_is_text(lake: Lake, value: str, wanted: str | None) -> None:
    read(lake, event("a", detail={"actor": f'{{"type":{value}}}'}))
    assert only(lake.rows())["ActorType"] == wanted


def test_missing_and_null_are_null_everywhere(lake: Lake) -> None:
    nulls = dict.fromkeys(("actor", "entity_type", "action", "correlation_id", "event_id", "context"), "null")
    top = dict.fromkeys(("detail-type", "account", "region"), "null")
    names = ("parent", "before", "after", "channel_code", "channel_account_code")
    read(lake, lines(event("a"), event("b", entity(**dict.fromkeys(names, "null")), top=top, detail=nulls)))
    missing, null = lake.rows()
    always = {"Id", "Timestamp", "EntityId", "EntityName", "EntityIndex", "dt", "source", "owner"}
    assert [name for name in missing if missing[name] is not None and name not in always] == []
    assert missing | {"Id": "b"} == null


#: JSON values as delivered; Before and After keep every byte.
EXACT = [
    *(
        "1.10",
        "1001",
        "-0",
        "-0.0",
        "1e2",
        "1E+2",
        "1e-7",
        "0.1000",
        "1e400",
        "10.10",
        "123456789012345678901234567890",
    ),
    *(
        "true",
        "false",
        '"text"',
        '""',
        '"\\u00e9\\/\\n"',
        '"é中😀"',
        '"\\ud83d\\ude00"',
        '"}{"',
        '" "',
        '"\\u0000"',
        '"\x7f"',
    ),
    *("{}", "[]", "{ }", "[ \t\r\n ]", '{"n":null}', '{"b":1,"a":2,"b":3}', '{ "spaced" : [1 , 2,{"x":"}{"}] }'),
    *(
        '{"price":1.10,"n":null}',
        "[null]",
        '{"\\u0061":1,"a":2}',
        '{\n  "pretty": [\n    1,\n\t2\r\n  ]\n}',
        '{"":{"":[]}}',
    ),
    *(
        '{"e":1e2,"E":-0.0}',
        '[[[[[[]]]]],"\\"}{\\"source\\":"]',
        '{"x":"O\'Brien; DROP TABLE x --"}',
        '"\ufeff\ufffe\u2028"',
    ),
]


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_before_and_after_are_byte_for_byte_the_text_of_the_value(lake: Lake, compressed: bool) -> None:
    text = event("a", *(entity(before=value, after=f" \n{value}\t ") for value in EXACT))
    read(lake, zipped(text) if compressed else text)
    assert [row["Before"] for row in lake.rows()] == EXACT
    assert [row["After"] for row in lake.rows()] == EXACT


@pytest.mark.parametrize("digits", [400, 5000, 10_000])
def test_huge_numbers_keep_their_digits(lake: Lake, digits: int) -> None:
    number = "-" + "1234567890" * (digits // 10)
    values = [number, f"{number}.{number[1:]}", f"{number}e{number}"]
    changes = [entity(before=f"[{v}]", after=v, channel_code=v, entity=f'{{"id":{v},"name":"n"}}') for v in values]
    read(lake, event("a", *changes, top={"x": number}))
    found = [(row["Before"], row["After"], row["ChannelCode"], row["EntityId"]) for row in lake.rows()]
    assert found == [(f"[{v}]", v, v, v) for v in values]


def test_a_day_on_which_no_event_has_a_parent_is_an_ordinary_day(lake: Lake) -> None:
    read(lake, event("a") + event("b"))
    path = only(list(lake.files()))
    assert pq.ParquetFile(lake.path / path).schema_arrow.names == ROW_SCHEMA.names
    assert [row["EntityParentId"] for row in lake.rows()] == [None, None]
