"""What a check says of a day."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Severity", "Verdict"]

#: An ``error`` holds the day back from the table; a ``warn`` is something to look at.
Severity = Literal["error", "warn"]


@dataclass(frozen=True)
class Verdict:
    """``description`` is one line for a person; ``metadata`` are the numbers behind it.

    ``severity`` is how bad a failure is; it says nothing of a check that passed.
    """

    passed: bool
    description: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity = "error"
