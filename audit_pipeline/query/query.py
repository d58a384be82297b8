"""The query: which rows of the audit log, in which order, which page; and the limits that it must keep."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from audit_pipeline.contract.source import SOURCE_PATTERN
from audit_pipeline.contract.values import Action, ActorType
from audit_pipeline.query.errors import InvalidQueryError

__all__ = ["AuditLogQuery", "Order", "PageDirection", "QueryLimits"]

_TEXTS: Final = ("entity_id", "actor_name", "correlation_id", "parent_id", "channel_code", "text", "cursor")
_LISTS: Final = ("sources", "entity_types", "actions", "actor_types", "event_types", "accounts")


class Order(StrEnum):
    """The order of rows by (Timestamp, Id, source, EntityIndex)."""

    ASCENDING = "asc"
    DESCENDING = "desc"


class PageDirection(StrEnum):
    """The page after a cursor or the page before it, both in the query's order."""

    NEXT = "next"
    PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """The limits of one query; lengths are in characters.

    ``max_cursor_length`` is large because a cursor holds a row's Id, which may be as long as an event.
    ``max_sql_bytes`` is Athena's quota for a query string.
    """

    max_days: int = 7
    max_limit: int = 1000
    max_text_length: int = 256
    max_list_length: int = 100
    max_cursor_length: int = 2 << 20
    max_sql_bytes: int = 262_144


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLogQuery:
    """The rows of the audit log that match every filter; a filter of None matches all.

    from_date, to_date
        Days of the event's time (UTC), half open: ``to_date`` itself is not part of the range.
    sources
        Services, by name. None means all.
    entity_id, entity_types
        The entity itself.
    include_children
        Also rows whose parent is ``entity_id``. ``entity_types`` then filters the type of the entity and, where a row
        has it, the type of its parent, but not the type of the children.
    actions, actor_name, actor_types, correlation_id, parent_id, channel_code, event_types, accounts
        Equal to the column, or to one of the values. An unknown action or type of actor is a value like any other.
    text
        A substring of EntityName, Before or After, case-sensitive and without wild cards. Before and After are searched
        as delivered, so a letter that the producer wrote as ``\\u00e9`` is found under that spelling.
    order, limit
        By (Timestamp, Id, source, EntityIndex), latest first by default; rows per page.
    cursor, direction
        From an earlier page of the same filters: the page after it, or before it.
    """

    from_date: date
    to_date: date
    sources: Collection[str] | None = None
    entity_id: str | None = None
    entity_types: Collection[str] | None = None
    include_children: bool = False
    actions: Collection[Action | str] | None = None
    actor_name: str | None = None
    actor_types: Collection[ActorType | str] | None = None
    correlation_id: str | None = None
    parent_id: str | None = None
    channel_code: str | None = None
    event_types: Collection[str] | None = None
    accounts: Collection[str] | None = None
    text: str | None = None
    order: Order | str = Order.DESCENDING
    limit: int = 100
    cursor: str | None = field(default=None, repr=False)
    direction: PageDirection | str = PageDirection.NEXT

    def check(self, limits: QueryLimits) -> None:
        """Raise an :class:`InvalidQueryError` for the first field that breaks a rule or a limit."""
        self._check_dates(limits)
        for name in _TEXTS:
            self._check_text(name, limits.max_cursor_length if name == "cursor" else limits.max_text_length)
        for name in _LISTS:
            self._check_list(name, limits)
        self._check_sources()
        if not isinstance(self.include_children, bool):
            raise InvalidQueryError("include_children", f"must be True or False, not {self.include_children!r}")
        if self.include_children and self.entity_id is None:
            raise InvalidQueryError("include_children", "needs entity_id, the parent")
        if isinstance(self.limit, bool) or not isinstance(self.limit, int) or not 1 <= self.limit <= limits.max_limit:
            raise InvalidQueryError("limit", f"must be 1 to {limits.max_limit}, not {self.limit!r}")
        _check_member("order", self.order, Order)
        _check_member("direction", self.direction, PageDirection)
        if self.cursor is None and self.direction == PageDirection.PREVIOUS:
            raise InvalidQueryError("direction", "'previous' needs a cursor")

    def _check_dates(self, limits: QueryLimits) -> None:
        for name in ("from_date", "to_date"):
            value = getattr(self, name)
            if not isinstance(value, date) or isinstance(value, datetime):  # the time of a datetime would be ignored
                raise InvalidQueryError(name, f"must be a date, not {value!r}")
        if self.from_date >= self.to_date:
            raise InvalidQueryError("to_date", f"must be after from_date {self.from_date}; it is {self.to_date}")
        if self.to_date - self.from_date > timedelta(days=limits.max_days):
            raise InvalidQueryError(
                "to_date",
                f"must be at most {limits.max_days} days after from_date {self.from_date}; it is {self.to_date}",
            )

    def _check_text(self, name: str, max_length: int) -> None:
        value = getattr(self, name)
        if value is not None:
            _check_string(name, value, max_length)

    def _check_list(self, name: str, limits: QueryLimits) -> None:
        values = getattr(self, name)
        if values is None:
            return
        # a str is a collection too, of its characters
        if isinstance(values, str) or not isinstance(values, Collection):
            raise InvalidQueryError(name, f"must be a list of strings, not {values!r}")
        if not values:  # a computed list of allowed values may be empty, which must not match all
            raise InvalidQueryError(name, "must not be empty: None matches all")
        if len(values) > limits.max_list_length:
            raise InvalidQueryError(name, f"may list {limits.max_list_length} values, not {len(values)}")
        for value in values:
            _check_string(name, value, limits.max_text_length)

    def _check_sources(self) -> None:
        for source in self.sources or ():
            if not re.fullmatch(SOURCE_PATTERN, source, re.ASCII):
                raise InvalidQueryError("sources", f"must be valid names of sources, not {source!r}")

    def filters(self) -> Sequence[object]:
        """What a cursor is bound to: all that decides which rows in which order the query matches, the page aside."""
        return [
            sorted(set(map(str, value))) if f.name in _LISTS and value else str(value) if value else None
            for f in fields(self)
            if f.name not in ("limit", "cursor", "direction")
            for value in [getattr(self, f.name)]
        ]

    @property
    def days(self) -> list[date]:
        return [self.from_date + timedelta(days=n) for n in range((self.to_date - self.from_date).days)]


def _check_string(name: str, value: object, max_length: int) -> None:
    if not isinstance(value, str):
        raise InvalidQueryError(name, f"must be a string, not {value!r}")
    if not 1 <= len(value) <= max_length:
        raise InvalidQueryError(name, f"must have 1 to {max_length} characters, not {len(value)}")
    if bad := next((c for c in value if ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000), None):
        raise InvalidQueryError(name, f"contains the control character U+{ord(bad):04X}")


def _check_member(name: str, value: object, allowed: type[Order] | type[PageDirection]) -> None:
    if value not in list(allowed):
        raise InvalidQueryError(name, f"must be {' or '.join(repr(str(a)) for a in allowed)}, not {value!r}")
