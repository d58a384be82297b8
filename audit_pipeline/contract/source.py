"""The pattern of source names; a module of its own, so that a producer can import it without Arrow."""

from typing import Final

__all__ = ["SOURCE_PATTERN"]

#: What a source must match, in ASCII: it becomes a part of a path.
SOURCE_PATTERN: Final = "[A-Za-z0-9][A-Za-z0-9._-]{0,247}"
