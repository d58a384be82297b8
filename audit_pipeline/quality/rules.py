"""An expectation as a plain value, without Great Expectations, which is slow to import."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from audit_pipeline.contract.columns import PARTITION_COLUMNS, ROW_SCHEMA

__all__ = [
    "BATCH_COLUMNS",
    "DAY_COLUMNS",
    "EVENT_DATE",
    "KEY_COLUMNS",
    "SOURCE_COLUMNS",
    "SQL_RULE",
    "Batch",
    "Rule",
    "RuleSeverity",
]

#: What an expectation evaluates: the rows, one line per source, one line for the day, or the rows in a SQL query.
Batch = Literal["rows", "sources", "day", "sql"]
#: As Great Expectations names them.
RuleSeverity = Literal["critical", "warning", "info"]

#: The type of expectation that DuckDB evaluates.
SQL_RULE: Final = "unexpected_rows_expectation"
#: UTC date of ``Timestamp`` as text, computed while the rows are read.
EVENT_DATE: Final = "event_date"
#: The columns that identify a row.
KEY_COLUMNS: Final = ("source", "Id", "EntityIndex", "dt")
SOURCE_COLUMNS: Final = (
    "source",
    "rows",
    "late_rows",
    "usual_rows",
    "days_compared",
    "factor",
    "is_new",
    "duplicate_keys",
)
DAY_COLUMNS: Final = (
    "events",
    "events_kept",
    "events_duplicate",
    "events_deferred",
    "events_quarantined",
    "text_bytes",
    "text_bytes_quarantined",
    "objects",
    "objects_unreadable",
    "quarantine_share",
    "bytes_share",
    "objects_share",
    "unreadable_share",
    "rows",
    "late_rows",
    "sources",
)
BATCH_COLUMNS: Final[Mapping[Batch, Sequence[str]]] = {
    "rows": (*ROW_SCHEMA.names, *PARTITION_COLUMNS, EVENT_DATE),
    "sources": SOURCE_COLUMNS,
    "day": DAY_COLUMNS,
    "sql": (),
}


@dataclass(frozen=True)
class Rule:
    """An expectation of one check. ``text`` says in a few words what breaks it, ``origin`` where it is defined."""

    check: str
    type: str
    kwargs: Mapping[str, Any]
    severity: RuleSeverity
    batch: Batch
    text: str
    origin: str = "built in"

    @property
    def columns(self) -> Sequence[str]:
        """The columns of its batch that it needs: all that its arguments mention.

        A row condition names columns in the middle of a text.
        """
        words = set(re.findall(r"\w+", json.dumps(dict(self.kwargs), default=str)))
        return [column for column in BATCH_COLUMNS[self.batch] if column in words]

    @property
    def mostly(self) -> float:
        """The share of rows that must be as expected."""
        return float(self.kwargs.get("mostly", 1))
