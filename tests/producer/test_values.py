"""An application's values in an event: exact texts, or an error with the path of the value."""

import dataclasses
import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import pydantic
import pytest

from audit_pipeline.errors import SettingsError
from audit_pipeline.producer import (
    REMOVED,
    Actor,
    ActorType,
    AuditEvent,
    Entity,
    EntityChange,
    EventBuilder,
    EventTooLargeError,
    Field,
    InvalidEventError,
    Parent,
    redact_fields,
    snapshot,
)
from audit_pipeline.producer.encode import encode
from audit_pipeline.producer.ids import new_event_id

BUILDER = EventBuilder("myapp.orderservice")


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Word(StrEnum):
    YES = "yes"


@dataclasses.dataclass
class Point:
    y: Decimal
    x: int


class Inner(pydantic.BaseModel):
    price: Decimal


class Account(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    number: int = pydantic.Field(serialization_alias="no")
    secret: str = pydantic.Field(exclude=True)
    inner: Inner


class Item(msgspec.Struct):
    name: str
    price: Decimal
    note: str | msgspec.UnsetType = msgspec.UNSET


def built(change: EntityChange, **fields: Any) -> dict[str, Any]:
    """The detail of an event with this change, its values as texts."""
    entry = BUILDER.build(AuditEvent([change], **fields))
    return msgspec.json.decode(entry.detail, type=dict[str, msgspec.Raw])


def after(value: object, **options: Any) -> str:
    """The text of ``after``, from within the detail."""
    (change,) = json_raw(built(EntityChange(Entity(1, "n"), after=value, **options))["entities"], list[Any])
    return bytes(json_raw(change, dict[str, msgspec.Raw])["after"]).decode()


def json_raw(raw: msgspec.Raw, kind: Any) -> Any:
    return msgspec.json.decode(raw, type=list[msgspec.Raw] if kind == list[Any] else kind)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1.10"), "1.10"),
        (Decimal("1E+5"), "1E+5"),
        (Decimal("-0.00"), "-0.00"),
        (Decimal("0.1234567890123456789012345678901234567890"), "0.1234567890123456789012345678901234567890"),
        (2**63 - 1, "9223372036854775807"),
        (-(2**63), "-9223372036854775808"),
        (2**63, '"9223372036854775808"'),
        (Decimal(-(2**63)) - 1, '"-9223372036854775809"'),
        (True, "true"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (-0.0, "-0.0"),
        (np.float64(1.5), "1.5"),
        ("é\n\u0000𝄞\u2028", '"é\\n\\u0000𝄞\u2028"'),
        (datetime(2026, 4, 2, 12, 31, 1, 7, tzinfo=UTC), '"2026-04-02T12:31:01.000007+00:00"'),
        (datetime(2026, 4, 2, 12, 31), '"2026-04-02T12:31:00"'),
        (datetime(2026, 4, 2, tzinfo=timezone(timedelta(hours=-3))), '"2026-04-02T00:00:00-03:00"'),
        (date(2026, 4, 2), '"2026-04-02"'),
        (time(1, 2, 3), '"01:02:03"'),
        (UUID(int=7), '"00000000-0000-0000-0000-000000000007"'),
        (b"\x00\xff", '"AP8="'),
        (memoryview(b"\x00\xff"), '"AP8="'),
        (Colour.RED, '"red"'),
        (Level.HIGH, "3"),
        (Word.YES, '"yes"'),
        ([1, None, (2, [])], "[1,null,[2,[]]]"),
        ({"b": 1, "a": None, Word.YES: 2}, '{"b":1,"a":null,"yes":2}'),
        (Point(Decimal("2.50"), 1), '{"y":2.50,"x":1}'),
        (Item("Tea", Decimal("2.50")), '{"name":"Tea","price":2.50}'),
        (
            Account(number=1, secret="s", inner=Inner(price=Decimal("2.50")), more=[1]),
            '{"number":1,"inner":{"price":2.50},"more":[1]}',
        ),
    ],
)
def test_a_value_has_one_exact_text(value: object, text: str) -> None:
    assert after(value) == text


def test_a_whole_number_may_have_more_digits_than_python_turns_into_text() -> None:
    assert after(-(10**5000)) == f'"-1{"0" * 5000}"'


@pytest.mark.parametrize(
    ("value", "place", "problem"),
    [
        ({"price": float("nan")}, "after.price", "is nan"),
        ({"a": [1, {"b": float("-inf")}]}, "after.a[1].b", "is -inf"),
        ({"price": Decimal("NaN")}, "after.price", "is NaN"),
        ({"price": Decimal("sNaN")}, "after.price", "is sNaN"),
        ({"name": "\ud800"}, "after.name", "lone surrogate"),
        ({"tags": {"a", "b"}}, "after.tags", "is a set"),
        ({"of": {1: "a"}}, "after.of", "the key 1"),
        ({"what": object()}, "after.what", "is a object"),
        ({"wait": timedelta(1)}, "after.wait", "is a timedelta"),
        ({"password": pydantic.SecretStr("x")}, "after.password", "is a SecretStr"),
        (Point, "after", "is a type"),
    ],
)
def test_a_value_without_one_is_refused_by_its_path(value: object, place: str, problem: str) -> None:
    change = EntityChange(Entity(1, "n"), after=value)
    with pytest.raises(InvalidEventError) as caught:
        BUILDER.build(AuditEvent([change], entity_type="Order", action="Update", event_id="e-1"))
    assert f"event e-1 (Update of Order from myapp.orderservice) was not sent: entities[0].{place} " in str(
        caught.value
    )
    assert problem in str(caught.value)


def test_an_object_that_holds_itself_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    with pytest.raises(InvalidEventError, match="contains itself"):
        after(loop)


def test_a_snapshot_does_not_change_with_its_object() -> None:
    state = {"items": [{"n": 1}]}
    before = snapshot(state)
    state["items"][0]["n"] = 2
    assert before == {"items": [{"n": 1}]}


def test_only_what_changed_is_recorded_on_request_and_digits_are_a_change() -> None:
    before = {"price": Decimal("1.1"), "kept": [1], "gone": 1, "null": None}
    now = {"price": Decimal("1.10"), "kept": [1], "new": 2, "null": None}
    change = EntityChange(Entity(1, "n"), before, now, only_changed=True)
    assert bytes(built(change)["entities"]).decode() == (
        '[{"entity":{"id":"1","name":"n"},"before":{"price":1.1,"gone":1},"after":{"price":1.10,"new":2}}]'
    )
    whole = dataclasses.replace(change, only_changed=False)
    assert '"before":{"price":1.1,"kept":[1],"gone":1,"null":null}' in bytes(built(whole)["entities"]).decode()
    created = EntityChange(Entity(1, "n"), None, {"a": 1}, only_changed=True)
    assert bytes(built(created)["entities"]).decode() == '[{"entity":{"id":"1","name":"n"},"after":{"a":1}}]'


def test_a_redacted_field_does_not_leave_but_its_change_is_seen() -> None:
    builder = EventBuilder("shop", redactor=redact_fields("password", "card.number"))
    before = {"password": "old", "cards": [{"card": {"number": 1, "name": "J"}}], "number": 5, "same": 1}
    now = {"password": "new", "cards": [{"card": {"number": 2, "name": "J"}}], "number": 5, "same": 1}
    detail = builder.build(AuditEvent([EntityChange(Entity(1, "n"), before, now, only_changed=True)])).detail
    shown = {"password": "[redacted]", "cards": [{"card": {"number": "[redacted]", "name": "J"}}]}
    (change,) = json.loads(detail)["entities"]
    assert change["before"] == change["after"] == shown


def test_a_redactor_may_remove_and_replace_by_entity_type() -> None:
    def redactor(field: Field, value: object) -> object:
        if field.entity_type == "User" and field.path == ("email",):
            return REMOVED
        return Decimal("0.0") if field.path == ("pay", 0) else value

    builder = EventBuilder("shop", redactor=redactor)
    change = EntityChange(Entity(1, "n"), after={"email": "j@example.com", "pay": [5, 6]})
    assert '"after":{"pay":[0.0,6]}' in builder.build(AuditEvent([change], entity_type="User")).detail
    assert '"email":"j@example.com"' in builder.build(AuditEvent([change], entity_type="Order")).detail


def test_nothing_is_sent_of_an_event_whose_redactor_fails() -> None:
    def redactor(field: Field, value: object) -> object:
        raise LookupError("no rule")

    with pytest.raises(LookupError):
        EventBuilder("shop", redactor=redactor).build(AuditEvent([EntityChange(Entity(1, "n"), after={"a": 1})]))


def test_an_event_has_the_form_of_the_contract() -> None:
    event = AuditEvent(
        [
            EntityChange(
                Entity(1001, "Order Item #1001"),
                before={"quantity": "2"},
                after={"quantity": "5"},
                parent=Parent(500, "Order #500", "Order"),
                channel_code="WEB",
                channel_account_code="Primary",
            )
        ],
        entity_type="OrderItem",
        action="Update",
        actor=Actor("jane@example.com", ActorType.USER),
        correlation_id=UUID(int=5),
        time=datetime(2026, 4, 2, 14, 31, 1, 999_999, tzinfo=timezone(timedelta(hours=2))),
        event_id="e-1",
    )
    entry = BUILDER.build(event)
    assert (entry.source, entry.detail_type) == ("myapp.orderservice", "orderitemupdated.v1")
    assert entry.time == datetime(2026, 4, 2, 12, 31, 1, tzinfo=UTC)
    assert json.loads(entry.detail) == {
        "entities": [
            {
                "entity": {"id": "1001", "name": "Order Item #1001"},
                "before": {"quantity": "2"},
                "after": {"quantity": "5"},
                "parent": {"id": "500", "name": "Order #500", "type": "Order"},
                "channel_code": "WEB",
                "channel_account_code": "Primary",
            }
        ],
        "entity_type": "OrderItem",
        "action": "Update",
        "correlation_id": "00000000-0000-0000-0000-000000000005",
        "actor": {"type": 1, "name": "jane@example.com"},
        "event_id": "e-1",
    }
    assert BUILDER.build(event) == entry


CHANGE = EntityChange(Entity(1, "n"))


@pytest.mark.parametrize(
    ("given", "text"),
    [(ActorType.SERVICE, "0"), ("User", "1"), (2, "2"), (7, "7"), ("Robot", '"Robot"'), ("1", '"1"')],
)
def test_an_actors_type_is_the_contracts_number_or_a_text(given: ActorType | str | int, text: str) -> None:
    assert f'"actor":{{"type":{text}}}' in BUILDER.build(AuditEvent([CHANGE], actor=Actor(type=given))).detail


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (AuditEvent([]), "entities must have at least one change"),
        (AuditEvent([EntityChange(Entity("", "n"))]), r"entities\[0\].entity.id is empty"),
        (AuditEvent([CHANGE, EntityChange(Entity(None, "n"))]), r"entities\[1\].entity.id is missing"),  # type: ignore[arg-type]
        (AuditEvent([EntityChange(Entity(1, None))]), r"entities\[0\].entity.name is missing"),  # type: ignore[arg-type]
        (AuditEvent([EntityChange(Entity(True, "n"))]), r"entities\[0\].entity.id is a bool"),
        (AuditEvent([CHANGE], action=1.5), "action is a float"),  # type: ignore[arg-type]
        (AuditEvent([CHANGE], event_id=""), "event_id must be a non-empty text"),
        (AuditEvent([CHANGE], actor=Actor("\udc00")), "actor.name contains a lone surrogate"),
        (AuditEvent([CHANGE], time=datetime(2026, 1, 1)), "time 2026-01-01 00:00:00 has no UTC offset"),
        (AuditEvent([CHANGE], time=datetime(1969, 1, 1, tzinfo=UTC)), "before 1970"),
        (AuditEvent([CHANGE], time=datetime.now(UTC) + timedelta(days=2)), "more than a day from now"),
        (AuditEvent([CHANGE], detail_type="x" * 129), "detail_type has 129 characters"),
    ],
)
def test_an_event_that_could_not_become_rows_is_refused(event: AuditEvent, problem: str) -> None:
    with pytest.raises(InvalidEventError, match=problem):
        BUILDER.build(event)


def test_an_empty_name_is_a_name() -> None:
    assert '"name":""' in BUILDER.build(AuditEvent([EntityChange(Entity(1, ""))])).detail


@pytest.mark.parametrize("source", ["", "a/b", ".hidden", "é", "x" * 249, "aws.ec2"])
def test_a_source_that_cannot_be_one_is_refused_at_once(source: str) -> None:
    with pytest.raises(SettingsError, match="cannot be a source"):
        EventBuilder(source)


def test_the_size_is_counted_in_bytes_with_source_detail_type_and_time() -> None:
    entry = BUILDER.build(AuditEvent([EntityChange(Entity(1, "é𝄞"))], event_id="e", detail_type="ü"))
    assert entry.size == 14 + len("myapp.orderservice") + 2 + len(entry.detail) + 1 + 3
    EventBuilder("s", max_event_bytes=900 * 1024)
    with pytest.raises(SettingsError, match="max_event_bytes must be 1 to 921,600"):
        EventBuilder("s", max_event_bytes=900 * 1024 + 1)


def test_an_event_over_the_limit_is_an_error_that_names_it_and_one_at_the_limit_is_not() -> None:
    def event(letters: int) -> AuditEvent:
        return AuditEvent([EntityChange(Entity(1, "n"), after="x" * letters)], "Order", "Update", event_id="e-1")

    room = 256 * 1024 - BUILDER.build(event(0)).size
    assert BUILDER.build(event(room)).size == 256 * 1024
    with pytest.raises(EventTooLargeError, match=r"event e-1 \(orderupdated.v1 .*262,145 bytes, over 262,144"):
        BUILDER.build(event(room + 1))


def test_ids_are_uuids_of_version_7_and_each_is_greater_than_the_one_before() -> None:
    ids = [new_event_id() for _ in range(20_000)]
    assert ids == sorted(set(ids))
    for event_id in ids[:100]:
        parsed = UUID(event_id)
        assert (parsed.version, parsed.variant) == (7, "specified in RFC 4122")
        at = datetime.fromtimestamp((parsed.int >> 80) / 1000, UTC)
        assert abs(datetime.now(UTC) - at) < timedelta(seconds=60)


def test_two_builds_of_an_event_are_two_events_and_one_with_an_id_is_itself() -> None:
    event = AuditEvent([CHANGE])
    assert BUILDER.build(event).event_id != BUILDER.build(event).event_id
    assert encode("x") == '"x"'
