"""``simulate``: raw hour folders as EventBridge and Firehose would write them."""

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from audit_pipeline.cli.options import AsJson, First, Last, check_order
from audit_pipeline.cli.output import count, print_json, progress_bar, stdout_console
from audit_pipeline.cli.tables import FittingTable
from audit_pipeline.errors import SettingsError

if TYPE_CHECKING:
    from audit_pipeline.settings import Settings
    from audit_pipeline.simulate import Counts, Firehose, Incident, Shares

__all__ = ["Delimiter", "simulate", "write_raw"]


class Delimiter(StrEnum):
    """What follows each record of an object."""

    NONE = "none"
    NEWLINE = "newline"


def simulate(
    first: First,
    last: Last,
    events_per_day: Annotated[int, typer.Option(min=1, help="Events published a day, repeats aside.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    delimiter: Annotated[Delimiter, typer.Option(help="What Firehose appends to each record.")] = Delimiter.NONE,
    allow_s3: Annotated[bool, typer.Option("--allow-s3", help="Allow a bucket as AUDIT_RAW_URL.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write raw hour folders to AUDIT_RAW_URL as Firehose does.

    Objects are gzip, of 60 s or 5 MB, with Firehose's names. A share of the events is late, repeated, malformed or
    lacks optional fields. A day's objects depend on AUDIT_START_DATE, not on the range that is written: a later call
    continues where an earlier one ended.
    """
    check_order(first, last)
    from audit_pipeline.settings import load_settings
    from audit_pipeline.simulate import Firehose

    settings = load_settings()
    if settings.raw_url.startswith("s3://") and not allow_s3:
        raise SettingsError(
            f"AUDIT_RAW_URL is {settings.raw_url}: simulated events would mix with real ones. "
            f"Give --allow-s3 if the bucket holds no real events"
        )
    firehose = Firehose(delimiter=b"\n" if delimiter is Delimiter.NEWLINE else b"")
    days = write_raw(settings, first, last, events_per_day, seed, firehose=firehose, as_json=as_json)
    if as_json:
        for day, counts in days.items():
            print_json({"day": str(day)} | _as_json(counts))
    else:
        _table(settings.raw_url, days).print(stdout_console())


def write_raw(
    settings: "Settings",
    first: date,
    last: date,
    events_per_day: int,
    seed: int,
    *,
    firehose: "Firehose | None" = None,
    shares: "Shares | None" = None,
    incident: "Incident | None" = None,
    as_json: bool = False,
) -> "Mapping[date, Counts]":
    """Simulate with a progress bar. Returns what each delivery day holds."""
    from audit_pipeline.simulate import Firehose, Progress, Shares, simulate
    from audit_pipeline.store.objects import open_store

    raw = open_store(settings.raw_url, create=True)
    with progress_bar(as_json=as_json) as bar:
        task = bar.add_task("simulating", total=(last - first).days + 1)

        def show(progress: Progress) -> None:
            days_done = (progress.hour.day - first).days
            bar.update(task, completed=days_done, description=f"simulating, {progress.records:,} records")

        return simulate(
            raw,
            first,
            last,
            events_per_day=events_per_day,
            seed=seed,
            since=min(first, settings.start_date),
            firehose=firehose or Firehose(),
            shares=shares or Shares(),
            incident=incident,
            progress=show,
        ).days


def _as_json(counts: "Counts") -> dict[str, object]:
    import dataclasses

    return dataclasses.asdict(counts)


def _table(raw_url: str, days: "Mapping[date, Counts]") -> FittingTable:
    shown = FittingTable(
        "day", "objects", "records", "late", "repeated", "malformed", "MB", title=f"simulated in {raw_url}", right=6
    )
    for day, c in days.items():
        numbers = (c.objects, c.records, c.late, c.duplicates + c.conflicts, sum(c.malformed.values()))
        shown.add_row(str(day), *map(count, numbers), f"{c.object_bytes / 1e6:,.1f}")
    return shown
