"""``history``: the changes of one entity and of its children, in the order of time."""

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from audit_pipeline.cli.filters import OPTIONS, Full, Sources, choose_range, named_by_option
from audit_pipeline.cli.interrupts import stoppable
from audit_pipeline.cli.options import OptionalFirst, OptionalLast
from audit_pipeline.cli.output import print_json, printable, stdout_console
from audit_pipeline.cli.results import json_value

if TYPE_CHECKING:
    from collections.abc import Collection

    from audit_pipeline.query import HistoryEntry
    from audit_pipeline.settings import QuerySettings

__all__ = ["history", "last_changes"]


class _Format(StrEnum):
    TABLE = "table"
    JSON = "json"


_FormatOption = Annotated[
    _Format | None, typer.Option("--format", help="How to write the changes.", show_default="table")
]

_NAMES: Final[Mapping[str, str]] = {**OPTIONS, "entity_id": "ENTITY_ID", "entity_types": "ENTITY_TYPE"}


def history(
    entity_type: Annotated[str, typer.Argument(help="As in the events, such as Order.")],
    entity_id: Annotated[str, typer.Argument(help="As in the events, such as 500.")],
    first: OptionalFirst = None,
    last: OptionalLast = None,
    sources: Sources = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the last changes, this many.")] = None,
    form: _FormatOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json: one object a change.")] = False,
    full: Full = False,
) -> None:
    """Show the changes of an entity and of its children, the earliest first.

    By default in the last 7 days up to today; with only one of --from and --to, in as many days from or up to it as
    AUDIT_QUERY_MAX_DAYS allows. Each field that differs between Before and After is shown, a missing one as —.
    Changes of its children are marked with └.
    """
    if as_json and form is _Format.TABLE:
        raise typer.BadParameter("--json contradicts --format table")
    from audit_pipeline.settings import load_query_settings

    settings = load_query_settings()
    first, last = choose_range(settings, first, last)
    entries = last_changes(settings, entity_type, entity_id, first, last, sources=sources or None, limit=limit)
    if as_json or form is _Format.JSON:
        for entry in entries:
            print_json(_as_json(entry))
        return
    title = f"{entity_type} {entity_id} and what belongs to it, {first} to {last}"
    if entries:
        from audit_pipeline.cli.changes import changes_table

        changes_table(title, entries, full=full).print(stdout_console())
    else:
        print(printable(f"{title}: no change"))


def last_changes(
    settings: "QuerySettings",
    entity_type: str,
    entity_id: str,
    first: date,
    last: date,
    *,
    sources: "Collection[str] | None" = None,
    limit: int | None = None,
) -> "Iterable[HistoryEntry]":
    """The last ``limit`` changes of these days, both included, in the order of time; all without a limit."""
    from audit_pipeline.query import AuditLogClient

    with AuditLogClient(settings) as client, named_by_option(_NAMES):
        days = (first, last + timedelta(days=1))
        return stoppable(
            lambda cancelled: deque(
                client.history(entity_type, entity_id, *days, sources, cancelled=cancelled), maxlen=limit
            )
        )


def _as_json(entry: "HistoryEntry") -> dict[str, Any]:
    from audit_pipeline.cli.query import as_rows

    (row,) = as_rows([entry.item]).to_pylist()
    return {name: json_value(value) for name, value in row.items()} | {
        "IsChild": entry.is_child,
        "Differences": [{"Path": list(d.path), "Before": d.before, "After": d.after} for d in entry.differences],
    }
