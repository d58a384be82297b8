"""``query``: rows of the audit log by filters, a page at a time or all into a file."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from audit_pipeline.cli.completion import complete_action, complete_actor_type
from audit_pipeline.cli.filters import Full, Sources, choose_range, named_by_option
from audit_pipeline.cli.interrupts import stoppable
from audit_pipeline.cli.options import OptionalFirst, OptionalLast
from audit_pipeline.cli.output import printable, progress_bar, stdout_console
from audit_pipeline.cli.results import (
    Format,
    FormatOption,
    JsonOption,
    Output,
    check_output,
    choose_format,
    print_stats,
    write_rows,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from audit_pipeline.query import AuditLogClient, AuditLogItem, AuditLogQuery, Page

__all__ = ["as_rows", "query"]

_DEFAULT_LIMIT: Final = 100
#: Fields that differ, shown of one row; `history` shows all.
_MOST_DIFFERENCES: Final = 5


def query(
    first: OptionalFirst = None,
    last: OptionalLast = None,
    sources: Sources = None,
    entity_id: Annotated[str | None, typer.Option(help="Only changes of the entity with this id.")] = None,
    entity_types: Annotated[
        list[str] | None, typer.Option("--entity-type", help="Only of this type of entity; may be repeated.")
    ] = None,
    include_children: Annotated[
        bool, typer.Option("--include-children", help="Also changes whose parent is --entity-id, whatever their type.")
    ] = False,
    actions: Annotated[
        list[str] | None,
        typer.Option(
            "--action",
            help="Create, Update, Delete or a producer's own word; may be repeated.",
            autocompletion=complete_action,
        ),
    ] = None,
    actor_name: Annotated[str | None, typer.Option("--actor", help="Only by the actor of this name.")] = None,
    actor_types: Annotated[
        list[str] | None,
        typer.Option(
            "--actor-type",
            help="User, Service, Client or another; may be repeated.",
            autocompletion=complete_actor_type,
        ),
    ] = None,
    correlation_id: Annotated[str | None, typer.Option(help="Only of this correlation id.")] = None,
    parent_id: Annotated[str | None, typer.Option(help="Only of entities whose parent has this id.")] = None,
    channel_code: Annotated[str | None, typer.Option("--channel", help="Only of this channel.")] = None,
    event_types: Annotated[
        list[str] | None,
        typer.Option("--event-type", help="Only of this detail-type, such as orderupdated.v1; may be repeated."),
    ] = None,
    accounts: Annotated[
        list[str] | None, typer.Option("--account", help="Only from this AWS account; may be repeated.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Only where EntityName, Before or After contains exactly this text.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help=f"Rows of a page; {_DEFAULT_LIMIT} unless given.")] = None,
    cursor: Annotated[str | None, typer.Option(help="From an earlier page of the same filters.")] = None,
    direction: Annotated[
        Literal["next", "previous"], typer.Option(help="The page after --cursor or the one before it.")
    ] = "next",
    order: Annotated[Literal["asc", "desc"], typer.Option(help="The earliest or the latest first.")] = "desc",
    form: FormatOption = None,
    as_json: JsonOption = False,
    output: Output = None,
    every: Annotated[
        bool, typer.Option("--all", help="Write the rows of all pages to --output, in bounded memory.")
    ] = False,
    full: Full = False,
) -> None:
    """Show rows of the audit log: who did what to which entity, and what it changed.

    By default of the last 7 days up to today; with only one of --from and --to, of as many days from or up to it as
    AUDIT_QUERY_MAX_DAYS allows. A row must match all other options; of a repeated one, it must match one value. If
    there are more rows, the options of the next page are written to stderr.
    """
    from audit_pipeline.query import AuditLogClient, AuditLogQuery
    from audit_pipeline.settings import load_query_settings

    form = choose_format(form, as_json)
    check_output(form, output)
    if every:
        _check_all(form, output, limit, cursor)
    settings = load_query_settings()
    first, last = choose_range(settings, first, last)
    request = AuditLogQuery(
        from_date=first,
        to_date=last + timedelta(days=1),
        sources=sources or None,
        entity_id=entity_id,
        entity_types=entity_types or None,
        include_children=include_children,
        actions=actions or None,
        actor_name=actor_name,
        actor_types=actor_types or None,
        correlation_id=correlation_id,
        parent_id=parent_id,
        channel_code=channel_code,
        event_types=event_types or None,
        accounts=accounts or None,
        text=text,
        order=order,
        limit=_DEFAULT_LIMIT if limit is None else limit,
        cursor=cursor,
        direction=direction,
    )
    with AuditLogClient(settings) as client, named_by_option():
        if every:
            assert output is not None
            _export(client, request, form, output)
            return
        page = stoppable(lambda cancelled: client.query(request, cancelled=cancelled))
    if form is Format.TABLE:
        _show(page, first, last, full)
    else:
        write_rows(as_rows(page.items), form, output)
    print_stats(len(page.items), page.stats)
    _print_pages(page, first, last)


def as_rows(items: "Sequence[AuditLogItem]") -> "pa.Table":
    """Items as rows of the table, with the columns of an export."""
    import msgspec
    import pyarrow as pa

    from audit_pipeline.query.export import EXPORT_SCHEMA

    rows = []
    for item in items:
        row = dict(zip(EXPORT_SCHEMA.names, msgspec.structs.astuple(item), strict=True))
        row["Timestamp"] = item.timestamp.replace(tzinfo=None)
        row["dt"] = item.dt.isoformat()
        rows.append(row)
    return pa.Table.from_pylist(rows, EXPORT_SCHEMA)


def _check_all(form: Format, output: Path | None, limit: int | None, cursor: str | None) -> None:
    if form is Format.TABLE or output is None:
        raise typer.BadParameter("--all needs --format json, csv or parquet, and --output")
    if limit is not None or cursor is not None:
        raise typer.BadParameter("--all writes every row: leave out --limit and --cursor")


def _export(client: "AuditLogClient", request: "AuditLogQuery", form: Format, output: Path) -> None:
    written: dict[Format, Literal["jsonl", "csv", "parquet"]] = {
        Format.JSON: "jsonl",
        Format.CSV: "csv",
        Format.PARQUET: "parquet",
    }
    with _working(f"writing {output}"):
        rows = stoppable(lambda cancelled: client.export(request, output, written[form], cancelled=cancelled))
    print(printable(f"{rows:,} rows in {output}"), file=sys.stderr)


@contextmanager
def _working(what: str) -> Iterator[None]:
    with progress_bar(as_json=True) as bar:
        bar.add_task(printable(what), total=None)
        yield


def _show(page: "Page", first: date, last: date, full: bool) -> None:
    from audit_pipeline.cli.changes import changes_table
    from audit_pipeline.query import HistoryEntry, differences

    days = str(first) if first == last else f"{first} to {last}"
    if not page.items:
        print(f"no row of {days} matches" if not page.previous_cursor else "there are no more rows")
        return
    entries = (HistoryEntry(item, False, differences(item.before, item.after)) for item in page.items)
    most = None if full else _MOST_DIFFERENCES
    changes_table(days, entries, full=full, most_differences=most).print(stdout_console())


def _print_pages(page: "Page", first: date, last: date) -> None:
    for name, cursor, direction in (
        ("next", page.next_cursor, ""),
        ("previous", page.previous_cursor, " --direction previous"),
    ):
        if cursor is not None:
            # with the days, for the default's change at midnight
            print(f"{name}: --from {first} --to {last} --cursor {cursor}{direction}", file=sys.stderr)
