"""What the expectations of a day found: the result of :mod:`audit_pipeline.quality.examine`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from audit_pipeline.quality.history import History
from audit_pipeline.quality.rules import Batch, Rule
from audit_pipeline.store.manifest import Manifest

__all__ = ["CheckFindings", "Examination", "Line", "RuleFindings"]

#: A line of a batch, by column.
Line = dict[str, Any]


@dataclass
class RuleFindings:
    """What one expectation found in the whole day.

    ``evaluated`` and ``failed`` count lines of its batch; ``problem`` is why it could not be evaluated.
    """

    rule: Rule
    is_met: bool = True
    evaluated: int = 0
    failed: int = 0
    observed: Any = None
    problem: str | None = None


@dataclass
class CheckFindings:
    """What a check's expectations found: ``failed`` counts lines that break any of them, ``rows`` are the first."""

    name: str
    batch: Batch
    findings: Sequence[RuleFindings]
    failed: int = 0
    rows: list[Line] = field(default_factory=list)


@dataclass(frozen=True)
class Examination:
    """All findings of one day; ``history`` is None where no check needed it."""

    manifest: Manifest
    checks: Sequence[CheckFindings]
    history: History | None
