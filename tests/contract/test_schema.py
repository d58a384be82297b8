"""The contract: the JSON Schema that producers in other languages use says the same as the types."""

import json
from typing import Any

import jsonschema
import pytest

from audit_pipeline.contract.columns import ROW_SCHEMA
from audit_pipeline.contract.schema import SCHEMA_FILE, event_json_schema

MINIMAL: dict[str, Any] = {
    "id": "1",
    "source": "myapp.orderservice",
    "time": "2026-04-02T12:31:01Z",
    "detail": {"entities": [{"entity": {"id": "1001", "name": "Order Item #1001"}}]},
}


@pytest.fixture
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text()))


def without(path: str) -> dict[str, Any]:
    event = json.loads(json.dumps(MINIMAL))
    *parents, last = path.split(".")
    parent: Any = event
    for name in parents:
        parent = parent[int(name)] if name.isdigit() else parent[name]
    del parent[last]
    return event


def test_the_schema_file_is_the_one_that_the_types_give() -> None:
    assert json.loads(SCHEMA_FILE.read_text()) == event_json_schema()


def test_an_event_with_nothing_but_what_is_required_is_valid(validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(MINIMAL)


def test_the_events_of_the_post_are_valid(validator: jsonschema.Draft202012Validator) -> None:
    change = {
        "entity": {"id": "1001", "name": "Order Item #1001", "status": "Processing"},
        "before": {"quantity": "2", "status": "Pending"},
        "after": {"quantity": "5", "status": "Processing"},
        "parent": {"id": "500", "name": "Order #500", "type": "Order"},
        "channel_code": "WEB",
        "channel_account_code": "Primary",
    }
    detail = {
        "entities": [change],
        "entity_type": "OrderItem",
        "action": "Update",
        "correlation_id": "40f12582-b3be-4aeb-a7ca-9d9247030e20",
        "actor": {"type": 1, "name": "jane@example.com"},
    }
    validator.validate(MINIMAL | {"detail-type": "orderitemupdated.v1", "detail": detail})


@pytest.mark.parametrize("context", [{"ip": "203.0.113.9", "roles": ["admin"]}, "batch", 7, None])
def test_a_context_may_be_any_value(context: Any, validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(MINIMAL | {"account": "111122223333", "detail": {**MINIMAL["detail"], "context": context}})


@pytest.mark.parametrize("path", ["id", "source", "time", "detail", "detail.entities", "detail.entities.0.entity.id"])
def test_an_event_without_a_required_field_is_invalid(path: str, validator: jsonschema.Draft202012Validator) -> None:
    assert not validator.is_valid(without(path))


@pytest.mark.parametrize("source", ["", ".hidden", "a/b", "..", "a b", "é", "x" * 249])
def test_a_source_that_cannot_be_a_folder_is_invalid(source: str, validator: jsonschema.Draft202012Validator) -> None:
    assert not validator.is_valid(MINIMAL | {"source": source})


def test_the_columns_are_those_of_the_post_then_the_place_of_the_entity_and_what_else_was_delivered() -> None:
    assert ROW_SCHEMA.names == [
        *("Id", "Timestamp", "ActorName", "ActorType", "EntityId", "EntityName", "EntityType"),
        *("EntityParentId", "EntityParentName", "EntityParentType", "ChannelCode", "ChannelAccountCode"),
        *("Action", "Before", "After", "CorrelationId", "EntityIndex"),
        *("EventType", "Account", "Region", "Context", "Extra"),
    ]
