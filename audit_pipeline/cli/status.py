"""``status``: a line a day."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from rich.text import Text

from audit_pipeline.cli.cost import dollars
from audit_pipeline.cli.options import AsJson, OptionalFirst, OptionalLast, check_order
from audit_pipeline.cli.output import cell, count, print_json, stdout_console
from audit_pipeline.cli.tables import FittingTable

if TYPE_CHECKING:
    from audit_pipeline.cli.days import DayStatus
    from audit_pipeline.orchestration.launch import CheckResult

__all__ = ["print_status", "status"]

#: Days that are named for each check that did not pass.
_MOST_DAYS: Final = 7
#: The results of checks from the worst to the best, how a day's column and a check's line call them, and their style.
_RESULTS: "Final[Sequence[tuple[CheckResult | None, str, str, str]]]" = (
    ("failed", "failed", "failed", "bold red"),
    ("warns", "warn", "warns", "yellow"),
    (None, "missing", "not evaluated", "yellow"),
    ("passed", "passed", "passed", "green"),
)


def status(first: OptionalFirst = None, last: OptionalLast = None, as_json: AsJson = False) -> None:
    """Show what each day holds, the results of its checks, and whether raw has changed since it ran.

    By default the days that have run, the last 31 at most. The results of checks come from DAGSTER_HOME, if it is set.
    The cost is what the day costs in AWS, computed from its manifest: ingestion, one run, and storage; see `cost`.
    """
    if first and last:
        check_order(first, last)
    from audit_pipeline.cli.days import choose_days, open_lake, survey
    from audit_pipeline.settings import load_settings

    settings = load_settings()
    statuses = survey(settings, choose_days(settings, open_lake(settings), first, last))
    if as_json:
        for day in statuses:
            print_json(day.to_json())
    else:
        _print(settings.lake_url, statuses)


def print_status(title: str, days: "Sequence[DayStatus]") -> None:
    """A line a day, and below the checks that did not pass, by name."""
    console = stdout_console()
    shown = FittingTable(
        "day", "objects", "events", "rows", "late", "quarantined", "cost, $", "checks", "raw since",
        title=title, right=6,
    )  # fmt: skip
    for day in days:
        shown.add_row(str(day.partition), *_numbers(day), _checks(day.checks), _raw(day))
    shown.print(console)
    for line in (*_failing(days), *_unread(days)):
        console.print(line)


def _numbers(day: "DayStatus") -> list[Text]:
    m, cost = day.manifest, day.cost
    if m is None:
        return [Text("unreadable" if day.error else "not run", style="yellow"), *[Text("")] * 5]
    return [
        count(m.objects.read),
        count(m.events.read),
        count(m.rows),
        count(m.late_rows),
        count(m.quarantined_records, "yellow"),
        Text("—" if cost is None else dollars(cost)),
    ]


def _checks(checks: "Mapping[str, CheckResult | None]") -> Text:
    numbers = Counter(checks.values())
    for result, column, _, style in _RESULTS:
        if number := numbers[result]:
            return Text(f"{number} {column}", style=style)
    return Text("—")


def _failing(days: "Sequence[DayStatus]") -> Iterator[Text]:
    """A line for each check that fails, warns or has not been evaluated, with its days."""
    found: dict[tuple[CheckResult | None, str], list[str]] = {}
    for day in days:
        for name, result in day.checks.items():
            if result != "passed":
                found.setdefault((result, name), []).append(str(day.partition))
    for result, _, verb, style in _RESULTS:
        for (of, name), partitions in found.items():
            if of == result:
                more = f" and {len(partitions) - _MOST_DAYS} more" if len(partitions) > _MOST_DAYS else ""
                yield cell(f"{name} {verb}: {', '.join(partitions[:_MOST_DAYS])}{more}", style)


def _unread(days: "Sequence[DayStatus]") -> Iterator[Text]:
    """A line for each day of which something could not be read, or is where no partition reads."""
    from audit_pipeline.store.raw import name_first

    for day in days:
        if day.error:
            yield cell(f"{day.partition}: {day.error}", "bold red")
        if day.manifest and (unreadable := day.manifest.objects.unreadable):
            yield cell(f"{day.partition}: {unreadable:,} unreadable: audit-pipeline quarantine shows why", "yellow")
        if day.strays:
            kind = "stray" if len(day.strays) == 1 else "strays"
            yield cell(
                f"{day.partition}: {len(day.strays):,} {kind}, which no partition reads: {name_first(day.strays)}",
                "yellow",
            )


def _raw(day: "DayStatus") -> Text:
    if day.error:
        return Text("error", style="bold red")
    if day.manifest is None:
        return Text(f"{len(day.raw.new):,} waiting") if day.raw.new else Text("empty")
    changes = {"new": day.raw.new, "changed": day.raw.changed, "vanished": day.raw.vanished}
    text = ", ".join(f"{len(keys):,} {what}" for what, keys in changes.items() if keys)
    return Text(text, style="bold yellow") if text else Text("unchanged")


def _print(lake_url: str, days: "Sequence[DayStatus]") -> None:
    print_status(f"lake {lake_url}", days)
    console = stdout_console()
    changed = [day.partition for day in days if day.manifest and day.raw and not day.raw.vanished]
    vanished = [day.partition for day in days if day.manifest and day.raw.vanished]
    if changed:
        console.print(
            f"raw has changed since {len(changed)} of these days ran: "
            f"audit-pipeline materialize --from {changed[0]} --to {changed[-1]}"
        )
    if vanished:
        console.print(
            f"raw has vanished since {len(vanished)} of these days ran ({vanished[0]} to {vanished[-1]}): the table "
            f"keeps their rows, and they can be run again only with --accept-vanished-raw"
        )
