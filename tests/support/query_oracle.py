"""The rows that a query must return, computed a second time in plain Python from the rows of ``lake.Lake.rows``.

It shares nothing with the product but the names of a query's fields, so that it cannot have the same faults.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from audit_pipeline import AuditLogQuery
from audit_pipeline.query import AuditLogItem
from tests.support.lake import Record, iso

#: The columns of the table, by the item's field that holds each.
COLUMN_OF: Final = {
    "id": "Id",
    "timestamp": "Timestamp",
    "actor_name": "ActorName",
    "actor_type": "ActorType",
    "entity_id": "EntityId",
    "entity_name": "EntityName",
    "entity_type": "EntityType",
    "entity_parent_id": "EntityParentId",
    "entity_parent_name": "EntityParentName",
    "entity_parent_type": "EntityParentType",
    "channel_code": "ChannelCode",
    "channel_account_code": "ChannelAccountCode",
    "action": "Action",
    "before": "Before",
    "after": "After",
    "correlation_id": "CorrelationId",
    "entity_index": "EntityIndex",
    "event_type": "EventType",
    "account": "Account",
    "region": "Region",
    "context": "Context",
    "extra": "Extra",
    "dt": "dt",
    "source": "source",
}


def expected_rows(rows: Iterable[Record], query: AuditLogQuery) -> list[Record]:
    """All rows that the query matches, in its order; its limit, cursor and direction do not apply."""
    found = [{column: row[column] for column in COLUMN_OF.values()} for row in rows if matches(row, query)]
    return sorted(found, key=order_key, reverse=query.order == "desc")


def expected_history(rows: Iterable[Record], entity_type: str, entity_id: str) -> list[tuple[Record, bool]]:
    """The rows of an entity and of its children, oldest first, and whether each is a child's."""
    found = []
    for row in rows:
        is_itself = (row["EntityType"], row["EntityId"]) == (entity_type, entity_id)
        is_child = row["EntityParentId"] == entity_id and row["EntityParentType"] in (None, entity_type)
        if is_itself or is_child:
            found.append(({column: row[column] for column in COLUMN_OF.values()}, not is_itself))
    return sorted(found, key=lambda entry: order_key(entry[0]))


def order_key(row: Record) -> tuple[Any, ...]:
    # texts by code point, as Python compares them
    return row["Timestamp"], row["Id"], row["source"], row["EntityIndex"]


def matches(row: Record, query: AuditLogQuery) -> bool:
    if not str(query.from_date) <= row["dt"] < str(query.to_date):
        return False
    if not _is_of_entity(row, query):
        return False
    if query.text is not None and not any(query.text in (row[c] or "") for c in ("EntityName", "Before", "After")):
        return False
    among = {
        "source": query.sources,
        "Action": query.actions,
        "ActorType": query.actor_types,
        "EventType": query.event_types,
        "Account": query.accounts,
    }
    equal = {
        "ActorName": query.actor_name,
        "CorrelationId": query.correlation_id,
        "EntityParentId": query.parent_id,
        "ChannelCode": query.channel_code,
    }
    return all(values is None or row[column] in set(values) for column, values in among.items()) and all(
        value is None or row[column] == value for column, value in equal.items()
    )


def _is_of_entity(row: Record, query: AuditLogQuery) -> bool:
    """The entity itself, by id and type where given; or a child of it, whatever the child's own type."""
    types = None if query.entity_types is None else set(query.entity_types)
    is_itself = query.entity_id in (None, row["EntityId"]) and (types is None or row["EntityType"] in types)
    if not query.include_children:
        return is_itself
    is_child = row["EntityParentId"] == query.entity_id
    is_child_by_type = types is None or row["EntityParentType"] is None or row["EntityParentType"] in types
    return is_itself or (is_child and is_child_by_type)


# -- what the product gives, in the oracle's form


def row_of(item: AuditLogItem) -> Record:
    row = {column: getattr(item, name) for name, column in COLUMN_OF.items()}
    return _plain(row)


def rows_of(items: Iterable[AuditLogItem]) -> list[Record]:
    return [row_of(item) for item in items]


def rows_of_records(records: Iterable[Record]) -> list[Record]:
    """Rows of a result as dicts by column."""
    return [_plain(record) for record in records]


def _plain(row: Record) -> Record:
    moment: datetime = row["Timestamp"]
    # an open enum is equal to its text, but shows as something else where an assertion fails
    texts = {name: str(row[name]) for name in ("Action", "ActorType") if row[name] is not None}
    return row | texts | {"Timestamp": iso(moment.replace(tzinfo=None)), "dt": str(row["dt"])}
