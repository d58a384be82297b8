"""Words of the contract for what was done and who did it; others than the contract's are kept as they are."""

from enum import Enum, StrEnum

__all__ = ["Action", "ActorType"]


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
