"""Options that several commands take."""

import re
from datetime import date
from typing import Annotated

import typer

__all__ = ["AsJson", "First", "Last", "OptionalFirst", "OptionalLast", "check_order", "parse_day"]


def parse_day(text: str | date) -> date:
    """A date option's value. Typer passes a default as it is."""
    if isinstance(text, date):
        return text
    if not re.fullmatch(r"(19[7-9]|2\d\d)\d-\d\d-\d\d", text, re.ASCII):
        raise typer.BadParameter(f"{text!r} is not a date: write YYYY-MM-DD (UTC), from 1970 on")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a date: {error}") from None


def check_order(first: date, last: date) -> None:
    """Refuse a range that ends before it begins."""
    if first > last:
        raise typer.BadParameter(f"--from {first} is after --to {last}")


_FIRST = typer.Option("--from", parser=parse_day, metavar="YYYY-MM-DD", help="First day (UTC).")
_LAST = typer.Option("--to", parser=parse_day, metavar="YYYY-MM-DD", help="Last day, included (UTC).")

First = Annotated[date, _FIRST]
Last = Annotated[date, _LAST]
OptionalFirst = Annotated[date | None, _FIRST]
OptionalLast = Annotated[date | None, _LAST]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON Lines to stdout, and nothing else there.")]
