"""The enums of queries and rows. Of actions and types of actors, unknown values are kept as they are."""

from enum import StrEnum

from audit_pipeline.contract.values import Action, ActorType

__all__ = ["Action", "ActorType", "Order", "PageDirection"]


class Order(StrEnum):
    """The order of rows by (Timestamp, Id, source, EntityIndex)."""

    ASCENDING = "asc"
    DESCENDING = "desc"


class PageDirection(StrEnum):
    """The page after a cursor or the page before it, both in the query's order."""

    NEXT = "next"
    PREVIOUS = "previous"
