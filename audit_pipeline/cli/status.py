"""``status``: a line a day."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from audit_pipeline.cli.cost import dollars
from audit_pipeline.cli.options import AsJson, OptionalFirst, OptionalLast, check_order
from audit_pipeline.cli.output import count, print_json, printable, stdout_console, table

if TYPE_CHECKING:
    from audit_pipeline.cli.days import DayStatus
    from audit_pipeline.orchestration.launch import CheckResult

__all__ = ["status", "status_table"]


def status(first: OptionalFirst = None, last: OptionalLast = None, as_json: AsJson = False) -> None:
    """Show what each day holds, what its checks say, and whether raw has changed since it ran.

    By default the days that have run, the last 31 at most. The checks are those of DAGSTER_HOME, if it is set. The
    cost is what the day would come to in AWS by its manifest: taking it in, one run, and keeping it; see `cost`.
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


def status_table(title: str, days: "Sequence[DayStatus]") -> Table:
    shown = table(
        "day", "objects", "events", "rows", "late", "quarantined", "cost, $", "checks", "raw since",
        title=title, right=6,
    )  # fmt: skip
    for day in days:
        shown.add_row(str(day.partition), *_numbers(day), _checks(day.checks), _raw(day))
    return shown


def _numbers(day: "DayStatus") -> list[Text]:
    m, cost = day.manifest, day.cost
    if m is None:
        return [Text("not run", style="yellow"), *[Text("")] * 5]
    return [
        count(m.objects.read),
        count(m.events.read),
        count(m.rows),
        count(m.late_rows),
        count(m.quarantined_records, "yellow"),
        Text("—" if cost is None else dollars(cost)),
    ]


def _checks(checks: "Mapping[str, CheckResult | None]") -> Text:
    for result, style in (("failed", "bold red"), ("warns", "yellow")):
        names = [name for name, found in checks.items() if found == result]
        if names:
            told = "warn" if result == "warns" and len(names) > 1 else result
            return Text(printable(f"{', '.join(names)} {told}"), style=style)
    missing = [name for name, found in checks.items() if found is None]
    if missing:
        few = f"{len(missing)} of {len(checks)}" if len(missing) > 2 else ", ".join(missing)
        return Text(printable(f"{few} not reported"), style="yellow")
    return Text(f"{len(checks)} passed", style="green") if checks else Text("—")


def _raw(day: "DayStatus") -> Text:
    if day.manifest is None:
        return Text(f"{len(day.raw.new):,} waiting") if day.raw.new else Text("empty")
    changes = {"new": day.raw.new, "changed": day.raw.changed, "vanished": day.raw.vanished}
    text = ", ".join(f"{len(keys):,} {what}" for what, keys in changes.items() if keys)
    return Text(text, style="bold yellow") if text else Text("unchanged")


def _print(lake_url: str, days: "Sequence[DayStatus]") -> None:
    console = stdout_console()
    console.print(status_table(f"lake {lake_url}", days))
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
            f"keeps what it gave, and they are not run again unless with --accept-vanished-raw"
        )
