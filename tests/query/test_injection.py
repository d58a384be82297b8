"""Hostile texts wherever a caller's text goes: they are values, and no value changes a statement's shape."""

import base64
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import msgspec
import pytest
import sqlglot
from hypothesis import example, given
from hypothesis import strategies as st
from sqlglot import exp

from audit_pipeline import AuditLogClient, AuditLogQuery
from audit_pipeline.contract.source import SOURCE_PATTERN
from audit_pipeline.query import CursorError, InvalidQueryError, QueryLimits
from audit_pipeline.query.sql import Statement
from tests.support import query_rows
from tests.support.lake import DAY1, Lake, entity, event, key, obj
from tests.support.lanes import examples, is_fast_lane
from tests.support.query_oracle import expected_rows, rows_of
from tests.support.query_rows import WEEK, MakeClient, can_be_a_filter, text, written

make_client = query_rows.make_client

QUOTES: Final = (
    *("'", "''", "'''", '"', '""', "`", "\xb4", "\\", "\\\\", "\\'", "\\''", "'\\", "\\\\'", "''\\''", "\\u0027"),
    *(
        "' OR '1'='1",
        "' OR 1=1 --",
        "'; DROP TABLE auditlog; --",
        "'; DROP TABLE auditlog; /*",
        "'); DELETE FROM t; --",
    ),
    *("' UNION SELECT * FROM auditlog --", "' UNION ALL SELECT NULL, NULL --", "1 OR 1=1", "1; --", "\\x27", "a'b"),
    *("') OR ('1'='1", "' || (SELECT source FROM auditlog LIMIT 1) || '", "'||chr(39)||'", "' || '", "x' || 'y", "||"),
    *("U&'", "U&'\\0027'", "E'\\''", "N'x'", "X'27'", "B'0'", "e'\\x27'", "DATE '2026-05-01'", "O'Brien", "ATTACH 'x'"),
    *(
        "\u2019",
        "\u2018 OR 1=1",
        "\uff07",
        "\uff07 OR \uff071\uff07=\uff071",
        "\u02bc",
        "\u0301'",
        "\u200b'",
        "\u202e'",
    ),
    *("\u00bf'", "\u8a27'", "\ufffd'", "\U0001f600'", "\ufeff'", "%27", "%2527", "&#39;", "{'a':1}", '"Id"', '"$path"'),
    *("CAST('a' AS int)", "read_csv('/etc/passwd')", "' || read_text('/etc/passwd') || '", "TIMESTAMP '2026-05-01'"),
)
MARKS: Final = (
    *("--", "-- ", ";--", ";", "/*", "*/", "/* */", "/*! 1 */", "#", "\u2028--", "' --\u2029", "*", "()", ")(", "[1]"),
    *("?", "??", "$1", "$$", "$x$ ' $x$", ":1", ":name", "@p", "{}", "{0}", "{{", "%s", "%(a)s", "%", "%%", "_"),
    *(
        "NULL",
        "null",
        "None",
        "TRUE",
        "false",
        "0",
        "-1",
        "1e308",
        "NaN",
        "Infinity",
        "0x27",
        "DEFAULT",
        "current_user",
    ),
    *("Id", "auditlog", "main.auditlog", "$path", "SELECT", "PRAGMA x", "a,b", "<script>", "../../etc/passwd", "${dt}"),
    *("\ue000", "\uffff", "\U0010ffff", "\u00a0", "\u3000", "s3://b/k", "dt=2026-05-01", "a/b"),
)
LONG: Final = tuple(
    (c * 256)[:256] for c in ("'", "\\", "%", "((", "x'", "'\U0001f600", "\U0001f600", "\\'", "?", "\u2028")
)
CORPUS: Final = (*QUOTES, *MARKS, *LONG)
#: What a query may not hold: it is refused, by its name.
CONTROLS: Final = ("\0", "a\0'", "'\0 OR 1=1", "\n'", "'\r\n--", "\x1b[0m", "\x08'", "\x1a", "\x7f'", "\x85'", "\udc27")

TEXTS: Final = ("entity_id", "actor_name", "correlation_id", "parent_id", "channel_code", "text")
LISTS: Final = ("entity_types", "actions", "actor_types", "event_types", "accounts")
FIELDS: Final = (*TEXTS, *LISTS)
DIALECTS: Final = ("duckdb", "trino", "athena")


def hostile_event(number: int, value: str) -> str:
    """The value in every column that is a text of the producer's own, with plain rows beside it."""
    written_as = text(query_rows.Random(number), value)
    named = entity(
        entity=obj({"id": written_as, "name": written_as}),
        parent=obj({"id": written_as, "name": written_as, "type": written_as}),
        before=written_as,
        after=obj({"v": written_as}),
        channel_code=written_as,
        channel_account_code=written_as,
    )
    detail = {
        "entity_type": written_as,
        "action": written_as,
        "correlation_id": written_as,
        "actor": obj({"name": written_as, "type": written_as}),
        "context": written_as,
        "trace": written_as,
    }
    top = dict.fromkeys(("detail-type", "account", "region"), written_as)
    # the Id too: a cursor holds it
    top["id"] = text(query_rows.Random(-number), f"{value}{number}")
    return event("", named, entity(), detail=detail, top=top)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake that holds every text of the corpus in every column."""
    events = "".join(hostile_event(n, value) for n, value in enumerate((*CORPUS, *CONTROLS[:-1])))
    return written(query_rows.FinishedLake(tmp_path_factory.mktemp("hostile")), {key(DAY1): events}, [DAY1])


@pytest.fixture(scope="module")
def client(make_client: MakeClient, hostile: Lake) -> Iterator[AuditLogClient]:
    with make_client(hostile) as opened:
        yield opened


#: Each value is tried in as many of the fields as this goes into their number.
STEP: Final = len(FIELDS) if is_fast_lane() else 3


def some(field: str) -> tuple[str, ...]:
    return CORPUS[FIELDS.index(field) % STEP :: STEP]


def query_of(field: str, value: str) -> AuditLogQuery:
    return AuditLogQuery(**WEEK, limit=1000, **{field: [value] if field in LISTS else value})


# -- what comes back


@pytest.mark.parametrize("field", FIELDS)
def test_a_hostile_text_finds_the_rows_that_hold_it_and_no_other(
    client: AuditLogClient, hostile: Lake, field: str
) -> None:
    for value in some(field):
        query = query_of(field, value)
        found = rows_of(client.query(query).items)
        assert found == expected_rows(hostile.rows(), query), value
        assert found, value


def test_all_hostile_texts_at_once_in_lists_and_beside_each_other(client: AuditLogClient, hostile: Lake) -> None:
    for n in range(0, len(CORPUS), 50):
        listed = CORPUS[n : n + 50]
        query = AuditLogQuery(**WEEK, limit=1000, entity_types=listed, actions=listed, actor_types=listed)
        assert rows_of(client.query(query).items) == expected_rows(hostile.rows(), query)
    for value in CORPUS[::10]:
        query = AuditLogQuery(
            **WEEK,
            **dict.fromkeys(TEXTS, value),
            **{name: [value] for name in LISTS},
            include_children=True,
            limit=1000,
        )
        found = rows_of(client.query(query).items)
        assert found == expected_rows(hostile.rows(), query)
        assert found


@pytest.mark.parametrize("field", [*FIELDS, "sources", "cursor"])
def test_control_characters_are_refused_by_the_name_of_their_field(client: AuditLogClient, field: str) -> None:
    for value in CONTROLS:
        with pytest.raises(InvalidQueryError) as refused:
            client.query(query_of(field, value) if field != "sources" else AuditLogQuery(**WEEK, sources=[value]))
        assert refused.value.field == field
        assert str(refused.value).isprintable()


@pytest.mark.parametrize("field", ["sources", "cursor", "order", "direction"])
def test_a_hostile_text_in_place_of_a_name_is_refused_or_a_name(client: AuditLogClient, field: str) -> None:
    for value in CORPUS:
        query = replace(AuditLogQuery(**WEEK), **{field: [value] if field == "sources" else value})
        if field == "sources" and re.fullmatch(SOURCE_PATTERN, value, re.ASCII):
            assert not client.query(query).items
            continue
        with pytest.raises(InvalidQueryError) as refused:
            client.query(query)
        assert refused.value.field == field


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_cursors_of_hostile_rows_walk_over_all_of_them(client: AuditLogClient, hostile: Lake, order: str) -> None:
    query = AuditLogQuery(**WEEK, limit=11, order=order)
    assert rows_of(client.iterate(query)) == expected_rows(hostile.rows(), query)


def test_a_history_of_a_hostile_name_is_its_own(client: AuditLogClient) -> None:
    for value in CORPUS[::8]:
        entries = list(client.history(value, value, WEEK["from_date"], WEEK["to_date"]))
        assert [entry.item.entity_id for entry in entries] == [value]


def test_a_long_hostile_text_is_a_value_too_where_limits_allow_it(make_client: MakeClient, lake: Lake) -> None:
    values = ["'" * 5000, "\\" * 5001, ("x" * 1023 + "'") * 5, "'" + "\U0001f600" * 3000, "\\'" * 2500 + "\\"]
    events = [hostile_event(n, value) for n, value in enumerate(values)]
    written(lake, {key(DAY1): "".join(events)}, [DAY1])
    rows = lake.rows()
    with make_client(lake, limits=QueryLimits(max_text_length=10_000)) as client:
        for field in FIELDS:
            for value in values:
                query = query_of(field, value)
                found = rows_of(client.query(query).items)
                assert found == expected_rows(rows, query)
                assert found
    with make_client(lake) as client, pytest.raises(InvalidQueryError):
        client.query(query_of("text", values[0]))


hostile_texts = st.lists(st.sampled_from([*CORPUS, "'", "\\", "a", "--", "\U0001f600"]), min_size=1, max_size=6).map(
    lambda pieces: "".join(pieces)[:256]
)


@examples(40)
@given(st.sampled_from(FIELDS), st.one_of(hostile_texts, st.text(min_size=1, max_size=300)))
@example("text", "\x00'")
def test_any_text_finds_the_rows_of_the_oracle_or_is_refused_by_name(
    client: AuditLogClient, hostile: Lake, field: str, value: str
) -> None:
    query = query_of(field, value)
    if can_be_a_filter(value):
        assert rows_of(client.query(query).items) == expected_rows(hostile.rows(), query)
    else:
        with pytest.raises(InvalidQueryError) as refused:
            client.query(query)
        assert refused.value.field == field


# -- the statement


def assert_same_shape(hostile: Statement, harmless: Statement) -> None:
    """The same text, in every dialect; and what a parser makes of it only reads, and holds no value but numbers."""
    for dialect in DIALECTS:
        sql = hostile.sql(dialect)
        assert sql == harmless.sql(dialect)
        assert not any(mark in sql for mark in (";", "--", "/*", "'"))
        (tree,) = sqlglot.parse(sql, dialect=dialect)
        assert type(tree) is exp.Select
        assert not list(tree.find_all(exp.Command, exp.DDL, exp.DML, exp.Join, exp.With, exp.Anonymous))
        assert {table.name for table in tree.find_all(exp.Table)} == {"auditlog"}
        assert not [literal for literal in tree.find_all(exp.Literal) if literal.is_string]
        assert len(list(tree.find_all(exp.Placeholder, exp.Parameter))) == len(hostile.parameters)


@pytest.mark.parametrize("field", FIELDS)
def test_a_hostile_text_makes_the_same_statement_as_a_harmless_one_of_its_length(
    client: AuditLogClient, field: str
) -> None:
    for value in some(field):
        hostile, harmless = (client.statement(query_of(field, text)) for text in (value, "x" * len(value)))
        assert_same_shape(hostile, harmless)


@pytest.mark.parametrize("direction", ["next", "previous"])
def test_hostile_ids_in_a_cursor_make_the_same_statement_as_harmless_ones(
    client: AuditLogClient, direction: str
) -> None:
    parts = parts_of(client.query(AuditLogQuery(**WEEK, limit=1)).next_cursor)

    def statement(event_id: str) -> Statement:
        cursor = forged([*parts[:-3], event_id, *parts[-2:]])
        return client.statement(AuditLogQuery(**WEEK, cursor=cursor, direction=direction))

    for value in (*CORPUS[::6], *CONTROLS[:-1]):
        assert_same_shape(statement(value), statement("x" * len(value)))


def test_even_all_fields_at_once_make_one_statement(client: AuditLogClient) -> None:
    def statement(value: str) -> Statement:
        lists = {name: [value, value * 2] for name in LISTS}
        query = AuditLogQuery(**WEEK, **dict.fromkeys(TEXTS, value), **lists, include_children=True)
        return client.statement(query)

    assert_same_shape(statement("'; DROP TABLE auditlog; --"), statement("harmless, and equally long"))


# -- cursors are a caller's text too


def parts_of(cursor: str | None) -> list[Any]:
    assert cursor is not None
    return msgspec.msgpack.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))


def forged(parts: list[Any]) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(parts)).decode().rstrip("=")


def test_hostile_parts_of_a_forged_cursor_are_values_too(client: AuditLogClient, hostile: Lake) -> None:
    query = AuditLogQuery(**WEEK, limit=1000, order="asc")
    first = client.query(replace(query, limit=1))
    *kept, event_id, source, index = parts_of(first.next_cursor)
    rows = expected_rows(hostile.rows(), query)
    for value in (*CORPUS[::STEP], *CONTROLS[:-1]):
        after = (value, source, index)
        page = client.query(replace(query, cursor=forged([*kept, *after])))
        assert rows_of(page.items) == [row for row in rows if place(row) > after], value
        after = (event_id, value, index)
        try:
            page = client.query(replace(query, cursor=forged([*kept, *after])))
        except CursorError:
            continue
        assert rows_of(page.items) == [row for row in rows if place(row) > after], value


def place(row: dict[str, Any]) -> tuple[str, str, int]:
    """Among the rows of this lake, which all have one timestamp."""
    return row["Id"], row["source"], row["EntityIndex"]
