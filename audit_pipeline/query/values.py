"""Words of the contract that a query names and a row holds; others than the contract's are kept as they are."""

from enum import Enum, StrEnum

__all__ = ["Action", "ActorType", "Order", "PageDirection"]


class _OpenEnum(StrEnum):
    """A closed set of names for an open set of values: a producer's own word is a member too, equal to its text."""

    @classmethod
    def _missing_(cls, value: object) -> Enum | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = member._value_ = value
        return member


class Action(_OpenEnum):
    CREATE = "Create"
    UPDATE = "Update"
    DELETE = "Delete"


class ActorType(_OpenEnum):
    SERVICE = "Service"
    USER = "User"
    CLIENT = "Client"


class Order(StrEnum):
    """Of the rows by (Timestamp, Id, source, EntityIndex)."""

    ASCENDING = "asc"
    DESCENDING = "desc"


class PageDirection(StrEnum):
    """Which page a cursor asks for: the one after it or the one before it, both in the query's order."""

    NEXT = "next"
    PREVIOUS = "previous"
