"""The contract's names of actions and types of actors; any other name is kept as it is."""

from enum import Enum, StrEnum

__all__ = ["Action", "ActorType"]


class _OpenEnum(StrEnum):
    """An enum that has every text as a member: a producer's own name is equal to its text, as the listed ones are."""

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
