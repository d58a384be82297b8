"""Rows of the audit log for a person: when and who, what to which entity, and what that changed."""

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from rich.text import Text

from audit_pipeline.cli.output import cell
from audit_pipeline.cli.tables import FittingTable

if TYPE_CHECKING:
    from audit_pipeline.query import AuditLogItem, Difference, HistoryEntry

__all__ = ["changes_table"]

#: Characters of a value, and of a name, that a table shows.
_SHORT_VALUE: Final = 45
_SHORT_NAME: Final = 60


def changes_table(
    title: str, entries: "Iterable[HistoryEntry]", *, full: bool = False, most_differences: int | None = None
) -> FittingTable:
    """Added fields are green, removed ones red; of a changed one, the old value is red and the new one green.

    Unless ``full``, long texts are shortened and what is about the event as a whole is left out. Of a row's differences
    ``most_differences`` are shown. A block, where the terminal is too narrow for a table, has all.
    """
    shown = FittingTable("when (UTC), who and where", "what", "before → after", title=title, lines=True)
    for entry in entries:
        item = entry.item
        shown.add_row(
            Text("\n").join([_when(item), _who(item, full), _where(item, full)]),
            _what(item, entry.is_child, full),
            Text("\n").join([_changes(entry, full, most_differences), *(_delivered_lines(item) if full else ())]),
            fields=_fields(entry),
        )
    return shown


def _fields(entry: "HistoryEntry") -> list[tuple[str, Text]]:
    item = entry.item
    return [
        ("when (UTC)", _when(item)),
        ("who", _who(item, full=True)),
        ("where", _where(item, full=True)),
        ("what", _what(item, entry.is_child, full=True)),
        ("before → after", _changes(entry, full=True, most=None)),
        *((name, cell(text)) for name, text in _delivered(item)),
    ]


def _delivered(item: "AuditLogItem") -> list[tuple[str, str]]:
    """What else was delivered, by what a person calls it."""
    given = (
        ("event type", item.event_type),
        ("account", item.account),
        ("region", item.region),
        ("correlation id", item.correlation_id),
        ("context", item.context),
        ("extra", item.extra),
    )
    return [(name, text) for name, text in given if text is not None]


def _delivered_lines(item: "AuditLogItem") -> list[Text]:
    return [Text.assemble((f"{name}: ", "dim"), cell(text)) for name, text in _delivered(item)]


def _when(item: "AuditLogItem") -> Text:
    return Text(item.timestamp.replace(tzinfo=None).isoformat(" ", "milliseconds"))


def _who(item: "AuditLogItem", full: bool) -> Text:
    kind = _short(f" ({item.actor_type})", _SHORT_NAME, full, "dim") if item.actor_type else ""
    return Text.assemble(_short(item.actor_name or "?", _SHORT_NAME, full), kind)


def _where(item: "AuditLogItem", full: bool) -> Text:
    return _short(item.source, _SHORT_NAME, full, "dim")


def _what(item: "AuditLogItem", is_child: bool, full: bool) -> Text:
    def short(text: str | None, style: str = "") -> Text:
        return _short(text or "?", _SHORT_NAME, full, style)

    lines = [
        short(item.action, "bold"),
        Text.assemble(short(item.entity_type), " ", short(item.entity_id)),
        short(item.entity_name, "dim"),
    ]
    if item.entity_parent_id is not None:
        lines.append(Text.assemble("of ", short(item.entity_parent_type), " ", short(item.entity_parent_id)))
    if is_child:
        lines = [Text.assemble("  " if number else "└ ", line) for number, line in enumerate(lines)]
    return Text("\n").join(lines)


def _changes(entry: "HistoryEntry", full: bool, most: int | None) -> Text:
    if not entry.differences:
        has_none = entry.item.before is None and entry.item.after is None
        return Text("—" if has_none else "no change", style="dim")
    lines = [_difference(difference, full) for difference in entry.differences[:most]]
    more = len(entry.differences) - len(lines)
    return Text("\n").join([*lines, *([Text(f"… and {more} more", style="dim")] if more else [])])


def _difference(difference: "Difference", full: bool) -> Text:
    before, after = difference.before, difference.after
    style = "yellow" if before is not None and after is not None else "green" if before is None else "red"
    name = cell(f"{_path(difference.path)}: ", style) if difference.path else Text()
    return Text.assemble(name, _value(before, full, "red"), " → ", _value(after, full, "green"))


def _value(text: str | None, full: bool, style: str) -> Text:
    return Text("—", style="dim") if text is None else _short(text, _SHORT_VALUE, full, style)


def _path(keys: Iterable[str]) -> str:
    """The keys joined by dots; a key that is not a plain word is quoted."""
    return ".".join(key if re.fullmatch(r"[\w-]+", key) else json.dumps(key, ensure_ascii=False) for key in keys)


def _short(text: str, limit: int, full: bool, style: str = "") -> Text:
    return cell(text if full or len(text) <= limit else f"{text[:limit]}…", style)
