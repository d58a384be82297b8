"""Every event that the producer accepts becomes rows, byte for byte, through the pipeline's own reader."""

import base64
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import jsonschema
import msgspec
from hypothesis import given
from hypothesis import strategies as st

from audit_pipeline.contract.schema import SCHEMA_FILE
from audit_pipeline.producer import Actor, ActorType, AuditEvent, Entity, EntityChange, EventBuilder, Parent, snapshot
from audit_pipeline.producer.claim_check import envelope
from audit_pipeline.producer.encode import encode
from audit_pipeline.producer.entries import Entry
from audit_pipeline.transform.decode import decode
from audit_pipeline.transform.decoded import RawObject
from audit_pipeline.transform.ownership import Scope
from tests.servers.event_bus import EventBus
from tests.support.lanes import examples

SCHEMA = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text()))
BUILDER = EventBuilder("myapp.orderservice")

# Any characters, and those that are hard for parsers: controls, quotes, braces like those of an event's start.
words = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from('{}"\\:,[]\n\x00 ')), max_size=12)
texts = st.one_of(words, st.integers(), st.uuids(), st.decimals(allow_nan=False, allow_infinity=False))
optional = st.none() | texts
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(2**70), max_value=2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.datetimes(timezones=st.none() | st.just(UTC)),
    st.dates(),
    st.uuids(),
    st.binary(max_size=8),
    words,
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4), max_leaves=12
)
changes = st.builds(
    EntityChange,
    entity=st.builds(Entity, id=texts.filter(lambda text: text != ""), name=texts),
    before=values,
    after=values,
    parent=st.none() | st.builds(Parent, id=optional, name=optional, type=optional),
    channel_code=optional,
    channel_account_code=optional,
)
events = st.builds(
    AuditEvent,
    entities=st.lists(changes, min_size=1, max_size=4),
    entity_type=optional,
    action=optional,
    actor=st.none() | st.builds(Actor, name=optional, type=st.none() | st.sampled_from(ActorType) | words),
    correlation_id=optional,
    time=st.none() | st.datetimes(datetime(1970, 1, 1), datetime(2026, 11, 1), timezones=st.just(UTC)),
    event_id=st.none() | words.filter(bool),
    detail_type=st.none() | words.filter(bool),
)


def rows_of(*envelopes: str) -> list[dict[str, Any]]:
    """The pipeline's rows of an object with these events, of which it may refuse none."""
    today = datetime.now(UTC).date()
    # the scope of each event's own partition: which run owns a late event is not tested here
    scope = Scope(partition=today, grace_hours=0, first_partition=date(1970, 1, 1))
    key = f"year={today:%Y}/month={today:%m}/day={today:%d}/hour=10/a"
    decoded = decode([RawObject(key, 1, "".join(envelopes).encode())], scope)
    assert decoded.rejected.num_rows == 0
    assert decoded.counts.read == len(envelopes)
    return decoded.rows.to_pylist()


def delivered(entry: Entry) -> str:
    """The envelope that the bus makes, without HTTP."""
    bus = EventBus()
    request = {
        "Source": entry.source,
        "DetailType": entry.detail_type,
        "Detail": entry.detail,
        "Time": int(entry.time.timestamp()),
        "EventBusName": bus.name,
    }
    response = bus.respond("PutEvents", {"Entries": [request]})
    assert response["FailedEntryCount"] == 0, response
    return bus.envelopes[0]


def text_of(value: object) -> str | None:
    return None if value is None else str(Decimal(value)) if isinstance(value, int | Decimal) else str(value)


def evidence(value: object) -> str | None:
    return None if value is None else encode(snapshot(value))


@given(events)
@examples(100)
def test_every_event_becomes_rows_with_its_evidence_byte_for_byte(event: AuditEvent) -> None:
    entry = BUILDER.build(event)
    for text in (delivered(entry), envelope(entry)):
        rows = rows_of(text)
        assert [row["EntityIndex"] for row in rows] == list(range(len(event.entities)))
        for row, change in zip(rows, event.entities, strict=True):
            parent = change.parent or Parent()
            assert (row["Before"], row["After"]) == (evidence(change.before), evidence(change.after))
            assert (row["EntityId"], row["EntityName"]) == (text_of(change.entity.id), text_of(change.entity.name))
            assert (row["EntityParentId"], row["EntityParentType"]) == (text_of(parent.id), text_of(parent.type))
            assert (row["EntityType"], row["Action"]) == (text_of(event.entity_type), text_of(event.action))
            assert row["ActorType"] == (None if event.actor is None else text_of(event.actor.type))
            assert row["ActorName"] == (None if event.actor is None else text_of(event.actor.name))
            assert row["CorrelationId"] == text_of(event.correlation_id)
            assert (row["Id"], row["source"]) == (entry.event_id, "myapp.orderservice")
            assert row["Timestamp"].replace(tzinfo=UTC) == entry.time


@given(events)
@examples(30)
def test_every_event_is_valid_by_the_json_schema(event: AuditEvent) -> None:
    text = delivered(BUILDER.build(event))
    SCHEMA.validate(msgspec.json.decode(text))


@given(values)
@examples(100)
def test_the_evidence_parses_to_the_value(value: object) -> None:
    assert json.loads(encode(snapshot(value)), parse_float=Decimal) == read_back(value)


def read_back(value: object) -> object:
    """The value as the docs say that it is read back, without the product's code."""
    match value:
        case bool() | None | str():
            return value
        case int() | Decimal() if str(Decimal(value)).lstrip("-").isdigit():
            return int(value) if -(2**63) <= value < 2**63 else str(Decimal(value))
        case float():
            return Decimal(repr(value))
        case Decimal():
            return value
        case datetime() | date():
            return value.isoformat()
        case UUID():
            return str(value)
        case bytes():
            return base64.b64encode(value).decode()
        case list():
            return [read_back(item) for item in value]
        case dict():
            return {name: read_back(item) for name, item in value.items()}
    raise AssertionError(value)


def test_the_last_day_that_is_accepted_is_one_that_the_pipeline_keeps() -> None:
    tomorrow = datetime.now(UTC).replace(hour=23, minute=59) + timedelta(days=1)
    assert len(rows_of(delivered(BUILDER.build(AuditEvent([EntityChange(Entity(1, "n"))], time=tomorrow))))) == 1
