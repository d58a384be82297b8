"""The status of days: manifest, results of checks, and whether raw has changed since the run."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec

from audit_pipeline.cost.day import cost_of_day
from audit_pipeline.cost.prices import Prices, load_prices
from audit_pipeline.errors import AuditPipelineError, SettingsError
from audit_pipeline.settings import Settings
from audit_pipeline.store.changes import RawChanges
from audit_pipeline.store.manifest import Manifest, read_manifest
from audit_pipeline.store.objects import Store, open_store
from audit_pipeline.store.published import manifest_tags
from audit_pipeline.store.raw import NAMED_STRAYS, take_inventory

if TYPE_CHECKING:
    from audit_pipeline.orchestration.launch import CheckResult

__all__ = ["DayStatus", "choose_days", "days_between", "open_lake", "open_raw", "survey", "today", "yesterday"]

#: Days that are shown where no range is given.
_DEFAULT_DAYS: Final = 31
_CONCURRENCY: Final = 8


@dataclass(frozen=True, slots=True)
class DayStatus:
    """One partition. ``manifest`` is None if it has not run, a check's result if it was not evaluated.

    ``strays`` are the keys of objects that are where no partition reads now. ``error`` is why its manifest or its raw
    objects could not be read. ``prices`` are those that its cost is computed with.
    """

    partition: date
    manifest: Manifest | None
    raw: RawChanges
    strays: Sequence[str]
    error: str | None
    checks: Mapping[str, "CheckResult | None"]
    prices: Prices

    @property
    def cost(self) -> Decimal | None:
        """Dollars, as of :func:`audit_pipeline.cost.day.cost_of_day`; None where it has not run."""
        return cost_of_day(self.manifest, self.prices) if self.manifest else None

    def to_json(self) -> dict[str, Any]:
        m, cost = self.manifest, self.cost
        return {
            "partition": str(self.partition),
            "has_run": m is not None,
            **(numbers_of(m) if m else dict.fromkeys(_NUMBERS)),
            "cost_usd": None if cost is None else round(float(cost), 6),
            "checks": dict(self.checks),
            "raw_changes": {
                "new": len(self.raw.new),
                "changed": len(self.raw.changed),
                "vanished": len(self.raw.vanished),
            },
            "strays": list(self.strays[:NAMED_STRAYS]),
            "error": self.error,
            "run_id": m and m.run_id,
            "finished_at": m and m.finished_at.isoformat(),
        }


_NUMBERS: Final = (
    *("objects", "text_bytes", "unreadable_bytes", "events", "rows", "late_rows", "quarantined_records"),
    *("quarantined_by_reason", "seconds"),
)


def numbers_of(manifest: Manifest) -> dict[str, Any]:
    """What a run counted, by the names of the manifest's fields."""
    values = (
        msgspec.to_builtins(manifest.objects),
        msgspec.to_builtins(manifest.text_bytes),
        manifest.unreadable_bytes,
        msgspec.to_builtins(manifest.events),
        manifest.rows,
        manifest.late_rows,
        manifest.quarantined_records,
        manifest.quarantine.by_reason,
        (manifest.finished_at - manifest.started_at).total_seconds(),
    )
    return dict(zip(_NUMBERS, values, strict=True))


def survey(settings: Settings, days: list[date]) -> list[DayStatus]:
    """The status of each day."""
    if not days:
        return []
    from audit_pipeline.orchestration.launch import check_results

    raw, lake = open_raw(settings), open_lake(settings)
    checks = check_results(days[0], days[-1])
    prices = load_prices()

    raw_errors: list[AuditPipelineError] = []

    def look(day: date) -> DayStatus:
        manifest, problems = None, []
        try:
            manifest = read_manifest(lake, day)
        except AuditPipelineError as error:  # of one day, which must not hide the others
            problems.append(str(error))
        changes = RawChanges()
        strays: Sequence[str] = ()
        try:
            inventory = take_inventory(raw, day, manifest.grace_hours if manifest else settings.grace_hours)
        except AuditPipelineError as error:
            raw_errors.append(error)
            problems.append(str(error))
        else:
            changes = RawChanges.between(manifest.inputs if manifest else (), inventory.inputs)
            strays = inventory.strays
        return DayStatus(day, manifest, changes, strays, "; ".join(problems) or None, checks.get(day, {}), prices)

    with ThreadPoolExecutor(_CONCURRENCY) as pool:
        found = list(pool.map(look, days))
    if len(raw_errors) == len(days):
        raise raw_errors[0]
    return found


def choose_days(settings: Settings, lake: Store, first: date | None, last: date | None) -> list[date]:
    """The days of a range of which either end may be missing: by default what has run, the last month at most."""
    run = sorted(manifest_tags(lake))
    newest = run[-1] if run else yesterday()
    if last is None:
        last = newest if first is None else max(first, newest, yesterday())
    if first is None:
        earliest = min([settings.start_date, *run[:1]])
        first = max(min(earliest, last), last - timedelta(days=_DEFAULT_DAYS - 1))
    return days_between(first, last)


def days_between(first: date, last: date) -> list[date]:
    """Both ends included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def today() -> date:
    """The day under way (UTC)."""
    return datetime.now(UTC).date()


def yesterday() -> date:
    """The newest day that is over (UTC)."""
    return today() - timedelta(days=1)


def open_raw(settings: Settings) -> Store:
    try:
        return open_store(settings.raw_url)
    except SettingsError as error:
        raise SettingsError(f"AUDIT_RAW_URL is wrong: {error}") from None


def open_lake(settings: Settings) -> Store:
    try:
        return open_store(settings.lake_url)
    except SettingsError as error:
        raise SettingsError(f"AUDIT_LAKE_URL is wrong, or no day has run yet: {error}") from None
