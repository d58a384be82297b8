"""What the lanes of the tests differ in: ``make test`` looks at all, ``make test-fast`` at fewer examples of it."""

from typing import Any, Final

from hypothesis import settings

__all__ = ["FAST", "examples", "is_fast_lane"]

#: The hypothesis profile of ``make test-fast``.
FAST: Final = "fast"


def is_fast_lane() -> bool:
    return _percent() < 100


def examples(count: int, **chosen: Any) -> settings:
    """Decorates a property with how many examples ``make test`` looks at."""
    return settings(max_examples=max(2, count * _percent() // 100), **chosen)


def _percent() -> int:
    """Of a property's examples, as many as the profile takes: hypothesis' own default is 100 of them."""
    default = settings.default
    return default.max_examples if default else 100
