"""Lakes of rows that are hard to page and to filter, queries that match some of them, and clients.

The pipeline itself writes each lake, from events. Values are few, so that filters match, many rows share one timestamp
and the same Id comes from several sources; and they are hard for SQL, JSON or a sort order.
"""

import json
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any, Final, Protocol

import pyarrow as pa
import pytest
from hypothesis import strategies as st

from audit_pipeline import AuditLogClient, AuditLogQuery
from audit_pipeline.contract.columns import ROW_SCHEMA
from audit_pipeline.query import QueryLimits
from audit_pipeline.settings import QuerySettings
from audit_pipeline.store.layout import data_path
from audit_pipeline.transform.parquet import write_rows
from tests.support.lake import DAY0, DAY1, DAY2, DAY3, DAY4, Lake, Record, entity, event, key, obj, publish

#: The dates of events, and the partitions that run.
DAYS: Final = (DAY1, DAY2, DAY3, DAY4)
#: A range of the most days, around them.
WEEK: Final = {"from_date": DAY0, "to_date": DAY0 + timedelta(days=7)}

#: Sources that a reader of Hive folders may take for no value, a number, a date or a truth value.
LIKE_VALUES: Final = (
    *("null", "NULL", "Null", "nil", "None", "none", "NaN", "Infinity", "undefined", "default", "N"),
    *("1", "0", "007", "1.5", "12.30", "1e5", "0x1F", "1_000", "10000000000000000000000"),
    *("2026-05-01", "2026-05-01T00", "true", "False", "X__HIVE_DEFAULT_PARTITION__"),
)
#: Only bytes and code points sort these alike: a locale does not, nor does UTF-16 (U+FFFD after U+1F600), nor an order
#: that stops at a NUL, ignores trailing space or truncates long texts.
IDS: Final = (
    *("e1", "e10", "e9", "E1", "e", "é", "e\u0301", "z", "ä", "ß", "ss", "\u0131", "中"),
    *("\ufffd", "\U0001f600", "\ue000", "\uffff", "\U00010000", "\U0010ffff", "\u2028", "\x7f", "\x80"),
    *("\0", "e\0", "e\0\0", "e\0b", "e\n", "e\r\n", "e\t", " ", " e", "e ", "-", "_", "%", "0", "00", "-1", "1e1"),
    *("'", "''", "e'", '"', "\\", "\\\\", "\\'", "?", "$1", "{}", "--", ";", "NULL", "null", "True"),
    *("x" * 1500, "x" * 1499 + "y", "x" * 1499 + "\U0001f600", "'" * 1500, "\U0001f600" * 750),
)
SOURCES: Final = ("shop", "shop.orders", "Shop", "shop-2", "a", "Z.9_", "0" * 200, "null", "NULL", "1", "2026-05-01")
#: Most events happen in one moment; the rest close to it, or where a day ends.
CLOCKS: Final = ("10:00:00", "10:00:00", "10:00:00", "10:00:00.001", "00:00:00", "23:59:59.999", "10:00:00.1")

NAMES: Final = (
    *("n", "Order 500", "order 500", "", " ", "100%", "100 percent", "a_b", "axb", "a\\_b", "a'b", 'a"b', "a\\b"),
    *("Bücher\n✓", "Bu\u0308cher", "😀", "\ufffd", "\0", "a\0b", "x" * 1500, "null", "{}", "?", "$1", "'; --"),
)
ENTITY_IDS: Final = ("500", "500", "500", "501", "5_0", "50%", "5%", "500 ", "é", "e\u0301", "😀", "a'b", "\0", "\\")
#: Of ``detail.entity_type`` and ``parent.type``, as JSON texts.
TYPES: Final = (None, "null", '"Order"', '"Order"', '"OrderItem"', '"order"', '"Invoice"', "7", '""', '"It\'s"')
ACTIONS: Final = (None, '"Create"', '"Update"', '"Update"', '"Delete"', '"Approve"', '"update"', "3", '""')
ACTOR_TYPES: Final = (None, "0", "1", "1", "2", "3", '"Robot"', '"User"')
ACTORS: Final = (None, '"jane@example.com"', '"jane@example.com"', '"O\'Brien"', '"Jane@example.com"', '"%"', "7", '""')
#: Of Before and After, as JSON texts.
VALUES: Final = (
    *(None, None, "null", "1.10", "1.1", '"1.10"', "{}", '{"n":1.10}', '{"n": 1.10}', '{"n":1.1}', '{"n":null}'),
    *('{"a":{"b":[1,2]},"100%":1}', '{"a":{"b":[1,2]},"c":"a_b"}', "[1, 2]", '"it\'s"', '"\\u00e9"', '"é"', '""'),
    *('{"a":{"b":[1,3]},"c":"axb"}', '"\\ud83d\\ude00"', '"😀"', '"\\u0000"', "true", '"\\\\"', '"' + "y" * 1500 + '"'),
)


def text(random: Random, value: str) -> str:
    """A JSON string of this value, with or without escapes for non-ASCII characters."""
    return json.dumps(value, ensure_ascii=random.choice([True, False]))


def some_parent(random: Random) -> str | None:
    if random.choice([True, False]):
        return None
    return obj(
        {
            "id": random.choice([None, *(text(random, i) for i in ENTITY_IDS)]),
            "name": random.choice([None, '"Order #500"', '""']),
            "type": random.choice(TYPES),
        }
    )


def some_entity(random: Random) -> str:
    named = {"id": text(random, random.choice(ENTITY_IDS)), "name": text(random, random.choice(NAMES))}
    rest = {
        "parent": some_parent(random),
        "before": random.choice(VALUES),
        "after": random.choice(VALUES),
        "channel_code": random.choice([None, '"WEB"', '"web"', '"W%"', "1"]),
        "channel_account_code": random.choice([None, '"Primary"']),
    }
    return entity(entity=obj(named), **{name: value for name, value in rest.items() if value is not None})


def some_event(random: Random, event_id: str, source: str, day: date) -> str:
    detail = {
        "entity_type": random.choice(TYPES),
        "action": random.choice(ACTIONS),
        "correlation_id": random.choice([None, '"c1"', '"c1"', '"C1"', '"c%"']),
        "actor": obj({"name": random.choice(ACTORS), "type": random.choice(ACTOR_TYPES)}),
        "context": random.choice(VALUES),
        "trace": random.choice(VALUES),
    }
    entities = [some_entity(random) for _ in range(random.choice([1, 1, 2, 4]))]
    clock = f"{day}T{random.choice(CLOCKS)}Z"
    top = {
        "id": text(random, event_id),
        "detail-type": random.choice([None, "null", '"order.v1"', '"Order.v1"', '"order%"', "1"]),
        "account": random.choice([None, '"111122223333"', "111122223333", '"012345678901"']),
        "region": random.choice([None, '"eu-west-1"']),
    }
    return event(event_id, *entities, time=clock, source=source, top=top, detail=detail)


def some_raw(
    random: Random, events: int, days: Sequence[date] = DAYS, sources: Sequence[str] = SOURCES
) -> dict[str, str]:
    """Raw objects with this many different events of these days, some delivered late; by key."""
    raw: dict[str, str] = {}
    used = set()
    for number in range(events):
        source, event_id, day = random.choice(sources), random.choice(IDS), random.choice(days)
        if (source, event_id) in used:
            event_id += f"-{number}"
        used.add((source, event_id))
        is_late = random.choice([False, False, False, True])
        delivered = random.choice([d for d in days if d > day] or [day]) if is_late else day
        place = key(delivered, random.choice([0, 10, 23]))
        raw[place] = raw.get(place, "") + some_event(random, event_id, source, day)
    return raw


def written(lake: Lake, raw: Mapping[str, str], partitions: Sequence[date] = DAYS) -> Lake:
    """The lake, with these raw objects delivered and these partitions run."""
    for raw_key, data in raw.items():
        lake.write(raw_key, data)
    for partition in partitions:
        manifest = lake.run(partition)
        assert manifest.quarantined_records == 0
    return lake


@contextmanager
def new_lake(raw: Mapping[str, str], partitions: Sequence[date] = DAYS) -> Iterator[Lake]:
    """A lake of one example. Not the fixture: hypothesis runs many examples inside one test."""
    root = Path(mkdtemp(prefix="audit-query-"))
    try:
        yield written(Lake(root), raw, partitions)
    finally:
        shutil.rmtree(root)


def write_day(lake: Lake, day: date, source: str, rows: pa.Table) -> None:
    """A day's rows of one source, sorted, without the pipeline, which is too slow for a million of them."""
    ordered = rows.sort_by([("Timestamp", "ascending"), ("Id", "ascending"), ("EntityIndex", "ascending")])
    columns = [
        ordered[name].cast(kind) if name in ordered.column_names else pa.nulls(len(ordered), kind)
        for name, kind in zip(ROW_SCHEMA.names, ROW_SCHEMA.types, strict=True)
    ]
    path = lake.path / data_path(day, day, source)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rows([pa.Table.from_arrays(columns, schema=ROW_SCHEMA)], lambda _: pa.OSFile(str(path), "wb"))
    publish(lake, day)


# -- strategies


@st.composite
def raws(draw: st.DrawFn, max_events: int = 10, **chosen: Any) -> dict[str, str]:
    """Raw objects of a few events."""
    return some_raw(draw(st.randoms(use_true_random=False)), draw(st.integers(0, max_events)), **chosen)


def can_be_a_filter(value: object) -> bool:
    """Whether a query may filter by this text: of allowed length and without control characters."""
    return (
        isinstance(value, str)
        and 1 <= len(value) <= 256
        and all(ord(c) >= 32 and not 127 <= ord(c) < 160 for c in value)
    )


@st.composite
def queries(draw: st.DrawFn, rows: Sequence[Record], **fixed: Any) -> AuditLogQuery:
    """A query with any filters, most of them taken from one row, so that some rows match them all."""
    target = draw(st.sampled_from(rows)) if rows else {}

    def rarely() -> bool:
        return draw(st.sampled_from([False, False, False, True]))

    def values(*columns: str, others: Sequence[str] = ("Order", "%", "no such")) -> list[str]:
        own = [target.get(column) for column in columns]
        return [value for value in own * 3 if can_be_a_filter(value)] + list(others)

    def one(*columns: str) -> str | None:
        return draw(st.sampled_from(values(*columns))) if rarely() else None

    def several(*columns: str, others: Sequence[str] = ("Order", "Update", "User")) -> Collection[str] | None:
        if not rarely():
            return None
        listed = draw(st.lists(st.sampled_from(values(*columns, others=others)), min_size=1, max_size=3))
        return draw(st.sampled_from([list, tuple, set, frozenset]))(listed)

    def part() -> str | None:
        if not rarely():
            return None
        whole = draw(st.sampled_from(values("EntityName", "Before", "After", others=("_", "%", "\\", "b", "é"))))
        start = draw(st.integers(0, len(whole) - 1))
        return whole[start : draw(st.integers(start + 1, len(whole)))]

    from_date = DAY0 + timedelta(days=draw(st.sampled_from([0, 0, 0, 1, 2, 4, 5])))
    entity_id = draw(st.sampled_from(values("EntityId", "EntityParentId"))) if draw(st.booleans()) else None
    chosen = {
        "from_date": from_date,
        "to_date": from_date + timedelta(days=draw(st.sampled_from([7, 7, 7, 3, 2, 1]))),
        "sources": several("source", others=("shop", "a", "no.such")),
        "entity_id": entity_id,
        "entity_types": several("EntityType", "EntityParentType"),
        "include_children": entity_id is not None and draw(st.booleans()),
        "actions": several("Action"),
        "actor_name": one("ActorName"),
        "actor_types": several("ActorType"),
        "correlation_id": one("CorrelationId"),
        "parent_id": one("EntityParentId"),
        "channel_code": one("ChannelCode"),
        "event_types": several("EventType"),
        "accounts": several("Account"),
        "text": part(),
        "order": draw(st.sampled_from(["asc", "desc"])),
        "limit": 1000,
    }
    return AuditLogQuery(**chosen | fixed)


# -- lakes and clients


class MakeClient(Protocol):
    """Opens a client of one backend over a lake. Rows that are written later are seen by a client made later."""

    def __call__(
        self, lake: Lake, *, kind: type[Any] = AuditLogClient, limits: QueryLimits | None = None, **settings: Any
    ) -> Any: ...


@pytest.fixture(scope="session")
def make_client() -> MakeClient:
    def make(
        lake: Lake, *, kind: type[Any] = AuditLogClient, limits: QueryLimits | None = None, **settings: Any
    ) -> Any:
        return kind(QuerySettings(lake_url=str(lake.path), **settings), limits=limits)

    return make


class FinishedLake(Lake):
    """A lake that nothing is written to any more, so that its rows are read once."""

    @cached_property
    def _rows(self) -> list[Record]:
        return super().rows()

    def rows(self, owner: date | None = None) -> list[Record]:
        return [row for row in self._rows if owner in (None, row["owner"])]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A few hundred events for many queries."""
    return written(FinishedLake(tmp_path_factory.mktemp("finished")), some_raw(Random(5), 400, sources=SOURCES[:4]))
