"""What ``query`` and ``history`` share: options, the range of days, and errors that name an option."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from audit_pipeline.cli.completion import complete_source
from audit_pipeline.cli.options import check_order

if TYPE_CHECKING:
    from audit_pipeline.settings import QuerySettings

__all__ = ["OPTIONS", "Full", "Sources", "choose_range", "named_by_option"]

#: Days of a query for which neither end of the range is given.
_DEFAULT_DAYS: Final = 7

#: The options by the fields of a query that they set.
OPTIONS: Final[Mapping[str, str]] = {
    "from_date": "--from",
    "to_date": "--to",
    "sources": "--source",
    "entity_id": "--entity-id",
    "entity_types": "--entity-type",
    "include_children": "--include-children",
    "actions": "--action",
    "actor_name": "--actor",
    "actor_types": "--actor-type",
    "correlation_id": "--correlation-id",
    "parent_id": "--parent-id",
    "channel_code": "--channel",
    "event_types": "--event-type",
    "accounts": "--account",
    "text": "--text",
    "order": "--order",
    "limit": "--limit",
    "cursor": "--cursor",
    "direction": "--direction",
}

Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        help="Only of this service; may be repeated. All if none is given.",
        autocompletion=complete_source,
    ),
]
Full = Annotated[bool, typer.Option("--full", help="Show long texts complete.")]


def choose_range(settings: "QuerySettings", first: date | None, last: date | None) -> tuple[date, date]:
    """First and last day, both included, where either may be missing."""
    today, longest = datetime.now(UTC).date(), settings.query_max_days
    if first is None and last is None:
        first, last = today - timedelta(days=min(longest, _DEFAULT_DAYS) - 1), today
    elif last is None:
        assert first is not None
        last = max(first, min(today, first + timedelta(days=longest - 1)))
    elif first is None:
        first = max(date(1970, 1, 1), last - timedelta(days=longest - 1))
    check_order(first, last)
    days = (last - first).days + 1
    if days > longest:
        raise typer.BadParameter(
            f"--from {first} to --to {last} are {days} days, and one query may span {longest} (AUDIT_QUERY_MAX_DAYS)"
        )
    return first, last


@contextmanager
def named_by_option(names: Mapping[str, str] = OPTIONS) -> Iterator[None]:
    """Errors of a query's fields inside the block name the options that set these."""
    from audit_pipeline.query.errors import InvalidQueryError

    try:
        yield
    except InvalidQueryError as error:
        problem = str(error).removeprefix(error.field).strip()
        for field, option in names.items():
            if "_" in field:  # other fields are words of the language too
                problem = problem.replace(field, option)
        raise InvalidQueryError(names.get(error.field, error.field), problem) from None
