"""What a source may be called; a module of its own, so that a producer needs no Arrow to know it."""

from typing import Final

__all__ = ["SOURCE_PATTERN"]

#: What a source must match, in ASCII: it becomes a path.
SOURCE_PATTERN: Final = "[A-Za-z0-9][A-Za-z0-9._-]{0,255}"
