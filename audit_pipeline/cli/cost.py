"""``cost``: what a workload costs a month in AWS, line by line."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from audit_pipeline.cli.options import AsJson
from audit_pipeline.cli.output import cell, print_json, printable, stdout_console
from audit_pipeline.cli.tables import FittingTable
from audit_pipeline.cost.workload import DAYS_A_MONTH, Engine, Workload

if TYPE_CHECKING:
    from audit_pipeline.cost.lines import Line
    from audit_pipeline.cost.prices import Prices

__all__ = ["cost", "dollars"]

_Events = Annotated[int, typer.Option(min=1, max=10**12, help="Events published a day.")]
_Bytes = Annotated[int, typer.Option("--bytes", min=1, max=1 << 20, help="Bytes of an event with its envelope.")]
_Engine = Annotated[Engine, typer.Option(help="local and spark run as a Fargate task each day, glue as a Glue job.")]
_Buffer = Annotated[int, typer.Option(min=1, max=900, help="Seconds that Firehose buffers, up to 128 MB.")]
_Prices = Annotated[Path | None, typer.Option("--prices", metavar="FILE", help="YAML file with prices of your own.")]


def cost(
    events_per_day: _Events,
    event_bytes: _Bytes = 1700,
    engine: _Engine = Engine.LOCAL,
    buffer_seconds: _Buffer = 900,
    prices: _Prices = None,
    as_json: AsJson = False,
) -> None:
    """Show what a month costs in AWS, line by line.

    Needs no settings and connects to nothing: it computes from a file of prices, each with its source and date.
    """
    from audit_pipeline.cost.lines import bill
    from audit_pipeline.cost.prices import load_prices

    loaded = load_prices(prices)
    lines = bill(Workload(events_per_day, event_bytes, buffer_seconds, engine=engine), loaded)
    if as_json:
        for record in _records(lines, loaded):
            print_json(record)
        return
    console = stdout_console()
    title = f"a month of {events_per_day:,} events a day, {event_bytes:,} bytes each, buffered {buffer_seconds} s"
    _bill_table(title, lines, events_per_day * DAYS_A_MONTH).print(console)
    console.print(printable(_where_prices_come_from(loaded, own=prices is not None)), soft_wrap=True)


def dollars(amount: Decimal) -> str:
    """Money for a person, down to a tenth of a cent."""
    return f"{amount:,.3f}"


def _records(lines: "Sequence[Line]", prices: "Prices") -> Iterator[Mapping[str, object]]:
    from audit_pipeline.cost.lines import TOTALS, total

    for line in lines:
        yield {"kind": "line"} | line.to_json()
    for name, parts in TOTALS.items():
        yield {"kind": "total", "of": name, "dollars": float(total(lines, *parts))}
    for name, price in prices.by_name().items():
        origin = {"source": price.source, "as_of": price.as_of, "how": price.how}
        yield {"kind": "price", "price": name, "rate": str(price.rate)} | origin


def _bill_table(title: str, lines: "Sequence[Line]", events: int) -> FittingTable:
    from audit_pipeline.cost.lines import TOTALS, Part, total

    shown = FittingTable("line", "$ a month", "quantity", "price", "how", title=title, right=2)
    for part in Part:
        shown.add_row(Text(part.value, style="bold"))
        for line in lines:
            if line.part is part:
                shown.add_row(
                    cell(f"  {line.name}"),
                    dollars(line.dollars),
                    _quantity(line.quantity),
                    cell(str(line.rate)),
                    cell(line.how),
                )
        shown.add_section()
    for name, parts in TOTALS.items():
        amount = total(lines, *parts)
        for_a_million = f"${amount * 1_000_000 / events:,.2f} for a million events"
        shown.add_row(Text(name, style="bold"), Text(dollars(amount), style="bold"), "", "", for_a_million)
    return shown


def _quantity(quantity: Decimal) -> str:
    if quantity == quantity.to_integral_value():
        return f"{quantity:,.0f}"
    return f"{quantity:,.2f}" if quantity >= 1 else f"{quantity:.3g}"


def _where_prices_come_from(prices: "Prices", *, own: bool) -> str:
    by_name = prices.by_name()
    recalled = ", ".join(name for name, price in by_name.items() if price.how == "recalled")
    days = sorted(price.as_of for price in by_name.values())
    which = "your price file, else us-east-1" if own else "us-east-1, on demand"
    return (
        f"Prices: {which}, of {days[0]} to {days[-1]}; recalled and not read: {recalled or 'none'}. "
        f"Free allowances, taxes and data transfer are not counted. Sources: --json."
    )
