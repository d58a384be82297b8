"""The results of queries: typed rows, a page of them, and an entry of an entity's history."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pyarrow as pa

from audit_pipeline.catalog.results import QueryStats
from audit_pipeline.contract.values import Action, ActorType
from audit_pipeline.epoch import epoch_ms
from audit_pipeline.query.cursor import Position
from audit_pipeline.query.differences import Difference
from audit_pipeline.query.sql import COLUMNS

__all__ = ["AuditLogItem", "HistoryEntry", "Page", "items_of", "position_of"]


class AuditLogItem(msgspec.Struct, frozen=True, kw_only=True):
    """One entity change; ``timestamp`` is in UTC.

    ``before``, ``after`` and ``context`` are the exact JSON texts as delivered. ``extra`` is the JSON text of an object
    with whatever else was delivered.
    """

    id: str
    timestamp: datetime
    actor_name: str | None
    actor_type: ActorType | None
    entity_id: str
    entity_name: str
    entity_type: str | None
    entity_parent_id: str | None
    entity_parent_name: str | None
    entity_parent_type: str | None
    channel_code: str | None
    channel_account_code: str | None
    action: Action | None
    before: str | None
    after: str | None
    correlation_id: str | None
    entity_index: int
    event_type: str | None
    account: str | None
    region: str | None
    context: str | None
    extra: str | None
    dt: date
    source: str


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in the query's order. A cursor is None where there is no row in its direction."""

    items: Sequence[AuditLogItem]
    next_cursor: str | None
    previous_cursor: str | None
    stats: QueryStats


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change of an entity or of one of its children, and the fields in which After differs from Before."""

    item: AuditLogItem
    is_child: bool
    differences: Sequence[Difference]


def items_of(table: pa.Table) -> Iterator[AuditLogItem]:
    """The rows of a result with the columns :data:`~audit_pipeline.query.sql.COLUMNS`, by index: names vary in case."""
    for values in zip(*(column.to_pylist() for column in table.columns), strict=True):
        yield _item(values)


def position_of(item: AuditLogItem) -> Position:
    return Position(epoch_ms(item.timestamp), item.id, item.source, item.entity_index)


def _item(values: tuple[Any, ...]) -> AuditLogItem:
    row = dict(zip(COLUMNS, values, strict=True))
    return AuditLogItem(
        id=row["Id"],
        timestamp=row["Timestamp"].replace(tzinfo=UTC),
        actor_name=row["ActorName"],
        actor_type=None if row["ActorType"] is None else ActorType(row["ActorType"]),
        entity_id=row["EntityId"],
        entity_name=row["EntityName"],
        entity_type=row["EntityType"],
        entity_parent_id=row["EntityParentId"],
        entity_parent_name=row["EntityParentName"],
        entity_parent_type=row["EntityParentType"],
        channel_code=row["ChannelCode"],
        channel_account_code=row["ChannelAccountCode"],
        action=None if row["Action"] is None else Action(row["Action"]),
        before=row["Before"],
        after=row["After"],
        correlation_id=row["CorrelationId"],
        entity_index=row["EntityIndex"],
        event_type=row["EventType"],
        account=row["Account"],
        region=row["Region"],
        context=row["Context"],
        extra=row["Extra"],
        dt=date.fromisoformat(row["dt"]),
        source=row["source"],
    )
