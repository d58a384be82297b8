"""Results of a function, kept while there are few of them."""

from collections.abc import Callable
from typing import TypeVar

__all__ = ["Memo"]

K = TypeVar("K")
V = TypeVar("V")


class Memo(dict[K, V]):
    """Results of ``function`` by argument: looked up without a call, emptied when there are ``size`` of them."""

    def __init__(self, function: Callable[[K], V], size: int = 10_000) -> None:
        self._function, self._size = function, size

    def __missing__(self, key: K) -> V:
        if len(self) >= self._size:
            self.clear()
        value = self[key] = self._function(key)
        return value
