"""Words of the contract that a query names and a row holds; others than the contract's are kept as they are."""

from enum import StrEnum

from audit_pipeline.contract.values import Action, ActorType

__all__ = ["Action", "ActorType", "Order", "PageDirection"]


class Order(StrEnum):
    """Of the rows by (Timestamp, Id, source, EntityIndex)."""

    ASCENDING = "asc"
    DESCENDING = "desc"


class PageDirection(StrEnum):
    """Which page a cursor asks for: the one after it or the one before it, both in the query's order."""

    NEXT = "next"
    PREVIOUS = "previous"
