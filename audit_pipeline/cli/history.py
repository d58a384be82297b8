"""The last changes of one entity and of what belongs to it, from the table."""

from typing import TYPE_CHECKING, Final

import msgspec
from rich.table import Table
from rich.text import Text

from audit_pipeline.cli.output import cell, table

if TYPE_CHECKING:
    from audit_pipeline.settings import Settings

__all__ = ["difference", "history_table"]

_SQL: Final = """
SELECT strftime("Timestamp", '%Y-%m-%d %H:%M:%S'), coalesce(ActorName, '?'), coalesce("Action", '?'),
       coalesce(EntityName, EntityId), Before, "After"
FROM auditlog
WHERE (EntityType = $type AND EntityId = $id) OR (EntityParentType = $type AND EntityParentId = $id)
ORDER BY "Timestamp" DESC, Id DESC, source DESC, EntityIndex DESC
LIMIT 8
"""
_LONGEST_TEXT: Final = 90
_LONGEST_VALUE: Final = 45


def history_table(settings: "Settings", title: str, entity_type: str, entity_id: str) -> Table:
    """The newest first: when, who, what, and which fields changed."""
    from audit_pipeline.catalog.duckdb import connect

    with connect(settings) as connection:
        rows = connection.execute(_SQL, {"type": entity_type, "id": entity_id}).fetchall()
    shown = table("when (UTC) and who", "what", "before → after", title=title)
    for time, who, action, what, before, after in rows:
        shown.add_row(_lines(time, who), _lines(action, what), cell(difference(before, after)))
    return shown


def _lines(first: str, second: str) -> Text:
    return cell(first).append("\n").append_text(cell(second))


def difference(before: str | None, after: str | None) -> str:
    """The members that differ between two JSON objects, each value as it was delivered; else both texts."""
    old, new = _members(before), _members(after)
    if old is None or new is None:
        return f"{_short(before, _LONGEST_TEXT)} → {_short(after, _LONGEST_TEXT)}"
    names = [name for name in old | new if old.get(name) != new.get(name)]
    return ", ".join(f"{name}: {_value(old, name)} → {_value(new, name)}" for name in names) or "no change"


def _value(members: dict[str, str], name: str) -> str:
    return _short(members.get(name), _LONGEST_VALUE)


def _members(text: str | None) -> dict[str, str] | None:
    try:
        members = msgspec.json.decode(text or "", type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        return None
    return {name: bytes(value).decode() for name, value in members.items()}


def _short(text: str | None, limit: int) -> str:
    if text is None:
        return "—"
    return text if len(text) <= limit else f"{text[:limit]}…"
