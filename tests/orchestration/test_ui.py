"""Days backfilled in Dagster's UI, in a real browser. One of them is bad, is looked into, fixed and run again."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import dagster as dg
import pytest
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from audit_pipeline.orchestration.names import ASSETS, PARQUET, RAW, TABLE
from audit_pipeline.quality.builtin import READABLE_SHARE
from tests.servers.chromium import artifacts_folder, browser_page, is_published, pictured, publish, require_chromium
from tests.support.dagster_harness import Deployment, order_change
from tests.support.dagster_programs import dagster_ui
from tests.support.lake import key
from tests.support.waiting import HANGS_SECONDS, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.slow

#: The pictures of the documents show a month; fewer days show the same.
DAYS: Final = 30 if is_published() else 12
#: A bad day is one of several in its run, where it is to fail alone.
DAYS_PER_RUN: Final = DAYS // 3
EVENTS_AN_HOUR: Final = 3
#: When a release of the producer was out that left the id out of its entities. Not the first hour: the day before
#: reads that one as its grace hour, and would have to run again too.
BAD_HOURS: Final = range(8, 20)

_RUNS_MS: Final = HANGS_SECONDS * 1000


@dataclass(frozen=True)
class Site:
    """A deployment, and a browser's page on its UI."""

    deployment: Deployment
    days: Sequence[str]
    page: "Page"
    address: str

    @property
    def bad_day(self) -> str:
        """Not far down a list that has the newest first: it shows in a picture of it."""
        return self.days[-8]

    @property
    def good_days(self) -> list[str]:
        return [day for day in self.days if day != self.bad_day]

    def choose(self, partitions: str, shown_as: str) -> "Locator":
        """The dialog in which these partitions of all assets can be launched."""
        self.page.goto(self.address)
        # not by its name, which begins with the icon's text until the icons' font is there
        self.page.locator('a[href="/asset-groups"]').click()
        self.page.get_by_role("button", name="Materialize all").click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_text("Showing").wait_for()  # it empties its fields when it knows the partitions
        self.type_range(dialog.get_by_role("textbox"), partitions)
        dialog.get_by_text(shown_as, exact=True).wait_for()
        return dialog

    def open_partitions(self, asset: str) -> None:
        """Of the days that hold raw: there is one more, the day under way."""
        self.page.goto(f"{self.address}/assets/{asset}")
        self.page.get_by_role("tab", name="Partitions").click()
        self.choose_days()

    def open_check(self, asset: str, check: str) -> None:
        self.page.goto(f"{self.address}/assets/{asset}")
        self.page.get_by_role("tab", name="Checks").click()
        name = self.page.get_by_text(check, exact=True).locator("visible=true")
        name.first.click()
        name.nth(1).wait_for()  # as the heading of its details, where another check's were
        self.page.get_by_role("tab", name="Partitions").last.click()
        self.choose_days()

    def choose_days(self) -> None:
        field = self.page.get_by_role("textbox", name="ex: ")
        self.type_range(field, f"[{self.days[0]}...{self.days[-1]}]")
        self.page.get_by_text(f"{len(self.days)} Partitions Selected").wait_for()

    def type_range(self, field: "Locator", partitions: str) -> None:
        field.fill(partitions)
        field.press("Enter")

    def choose_bad_day(self) -> None:
        # of each name there is a second one that measures its width and cannot be seen
        self.page.get_by_text(self.bad_day, exact=True).locator("visible=true").first.click()

    def sees_only_the_bad_day_without(self, status: str) -> None:
        """With the days of that status taken from the list. The first and last day may stand below the bar besides."""
        self.page.get_by_text(status).locator("visible=true").click()
        self.page.get_by_text(self.days[-2], exact=True).locator("visible=true").first.wait_for(state="detached")
        shown = self.page.get_by_text(re.compile(r"^\d{4}-\d\d-\d\d$")).locator("visible=true").all_inner_texts()
        assert set(shown) & set(self.days[1:-1]) == {self.bad_day}

    def wait_for_runs(self) -> None:
        with self.deployment.instance() as instance:
            unfinished = dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)
            wait_until(lambda: not instance.dagster.get_runs(unfinished), "the end of all runs", every=0.5)

    def sees(self, text: str | re.Pattern[str], within_ms: float | None = None) -> None:
        self.page.get_by_text(text).locator("visible=true").first.wait_for(timeout=within_ms)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    program = require_chromium()
    today = datetime.now(UTC).date()
    days = [str(today - timedelta(days=ago)) for ago in range(DAYS, 0, -1)]
    deployment = Deployment(tmp_path_factory.mktemp("ui") / "it").create(with_examples=False)
    environment = deployment.environment(start_date=days[0], days_per_run=DAYS_PER_RUN, quarantine_error_share=0.05)
    with (
        pytest.MonkeyPatch.context() as patch,
        dagster_ui(deployment, environment, artifacts_folder()) as address,
        browser_page(program) as page,
    ):
        for name, value in environment.items():
            patch.setenv(name, value)
        site = Site(deployment, days, page, address)
        for day in days:
            for hour in range(24):
                deliver(site, day, hour, sound=day != site.bad_day or hour not in BAD_HOURS)
        yield site


def deliver(site: Site, day: str, hour: int, *, sound: bool) -> None:
    """The hour's object, over an earlier one if there is one."""
    times = [f"{day}T{hour:02}:{minute:02}:00Z" for minute in range(EVENTS_AN_HOUR)]
    site.deployment.write(key(date.fromisoformat(day), hour), *(order_change(time, sound=sound) for time in times))


@pytest.fixture(scope="module")
def backfilled(site: Site) -> Site:
    """After the backfill of all days."""
    with pictured(site.page, "1-choose-the-range"):
        dialog = site.choose(f"[{site.days[0]}...{site.days[-1]}]", f"{len(site.days)} partitions")
    with pictured(site.page, "2-launched"):
        dialog.get_by_role("button", name="Launch backfill").click()
        site.sees("Created backfill")
        site.page.get_by_role("region", name="Notifications").get_by_role("link", name="View").click()
        site.sees("Partitions targeted")
    with pictured(site.page, "3-partitions-fill"):
        site.open_partitions(TABLE)
        some = "|".join(map(str, range(1, DAYS - 1)))
        site.sees(re.compile(rf"^Materialized \(({some})\)$"), within_ms=_RUNS_MS)
    with pictured(site.page, "4-partitions-filled"):
        site.sees(f"Materialized ({DAYS - 1})", within_ms=_RUNS_MS)
        site.sees("Materializing (0)")
    site.wait_for_runs()  # a run ends a moment after its last day
    return site


@dataclass(frozen=True)
class Others:
    """What there is of the days other than the bad one: materializations (partition, run, number), files."""

    materializations: frozenset[tuple[str | None, str, int]]
    files: dict[Path, tuple[int, str]]

    @classmethod
    def of(cls, site: Site) -> "Others":
        return cls(frozenset(_materializations(site)), dict(_files(site)))


def _materializations(site: Site) -> Iterator[tuple[str | None, str, int]]:
    with site.deployment.instance() as instance:
        for asset in ASSETS:
            for record in instance.dagster.fetch_materializations(dg.AssetKey(asset), limit=1000).records:
                if record.partition_key != site.bad_day:
                    yield record.partition_key, record.run_id, record.storage_id


def _files(site: Site) -> Iterator[tuple[Path, tuple[int, str]]]:
    """With the time of the last write and the digest."""
    lake, day = site.deployment.lake, site.bad_day
    for path in sorted(lake.rglob("*")):
        is_of_bad_day = f"={day}/" in path.relative_to(lake).as_posix() or path.name == f"{day}.json"
        if path.is_file() and not is_of_bad_day:
            yield path, (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())


@dataclass(frozen=True)
class Fixed:
    """After the raw of the bad day was fixed and that day run again."""

    site: Site
    runs_before: frozenset[str]
    others_before: Others


@pytest.fixture(scope="module")
def fixed(backfilled: Site) -> Fixed:
    site = backfilled
    before = Fixed(site, runs(site), Others.of(site))
    for hour in BAD_HOURS:
        deliver(site, site.bad_day, hour, sound=True)
    with pictured(site.page, "8-choose-the-fixed-day"):
        dialog = site.choose(site.bad_day, "1 partition")
    with pictured(site.page, "9-launched-again"):
        dialog.get_by_role("button", name="Launch 1 run").click()
        site.sees("Launched run")
    with pictured(site.page, "10-fixed"):
        site.open_partitions(TABLE)
        site.sees(f"Materialized ({DAYS})", within_ms=_RUNS_MS)
        site.choose_bad_day()
        site.sees("rows_of_partition")
    site.wait_for_runs()
    return before


def runs(site: Site) -> frozenset[str]:
    with site.deployment.instance() as instance:
        return frozenset(run.run_id for run in instance.dagster.get_runs())


def test_a_backfill_launched_in_the_ui_leaves_all_days_green_but_the_bad_one_red(backfilled: Site) -> None:
    site = backfilled
    with pictured(site.page, "6-bad-day"):
        site.open_partitions(TABLE)
        site.sees(f"Materialized ({DAYS - 1})")
        site.sees("Failed (1)")
        site.choose_bad_day()
        site.sees("failed, and did not materialize this asset")
    publish("6-bad-day", as_name="backfill.png")
    site.sees_only_the_bad_day_without(f"Materialized ({DAYS - 1})")


def test_the_bad_day_is_held_back_from_the_table_alone(backfilled: Site) -> None:
    site = backfilled
    with site.deployment.instance() as instance:
        green = dict.fromkeys(site.days, "MATERIALIZED")
        assert instance.all_statuses(site.days) == {
            RAW: green,
            PARQUET: green,
            TABLE: green | {site.bad_day: "FAILED"},
        }
        assert not instance.materializations(TABLE, site.bad_day)
        assert {run.status.value for run in instance.dagster.get_runs()} == {"SUCCESS", "FAILURE"}


def test_the_page_of_the_backfill_counts_one_failure_in_the_table(backfilled: Site) -> None:
    site = backfilled
    with site.deployment.instance() as instance:
        (backfill,) = instance.dagster.get_backfills()
    with pictured(site.page, "5-backfill-ended"):
        site.page.goto(f"{site.address}/runs/b/{backfill.backfill_id}")
        site.page.get_by_text("100% completed").nth(
            len(ASSETS) - 1
        ).wait_for()  # at the daemon's next look, every half minute
    targeted_running_succeeded_failed = site.page.locator("body").inner_text().rpartition("100% completed")[2].split()
    assert targeted_running_succeeded_failed[:4] == [str(DAYS), "0", str(DAYS - 1), "1"]


def test_the_failed_check_shows_on_its_tab_what_is_wrong_with_the_bad_day(backfilled: Site) -> None:
    site = backfilled
    with site.deployment.instance() as instance:
        evaluation = instance.evaluation(READABLE_SHARE, site.bad_day)
    assert evaluation.severity == dg.AssetCheckSeverity.ERROR
    assert evaluation.description is not None
    with pictured(site.page, "7-failed-check"):
        site.open_check(PARQUET, READABLE_SHARE)
        site.sees("Failed (1)")
        site.sees(f"Passed ({DAYS - 1})")
        site.choose_bad_day()
        site.sees(evaluation.description)
        site.sees("36 of 72 events")
    publish("7-failed-check", as_name="check.png")


def test_the_fixed_day_is_run_again_in_the_ui_and_turns_green(fixed: Fixed) -> None:
    site = fixed.site
    with site.deployment.instance() as instance:
        assert instance.all_statuses(site.days) == {asset: dict.fromkeys(site.days, "MATERIALIZED") for asset in ASSETS}
        assert instance.evaluation(READABLE_SHARE, site.bad_day).passed
        assert instance.metadata(TABLE, site.bad_day)["rows_of_partition"] == 24 * EVENTS_AN_HOUR
        (run_id,) = runs(site) - fixed.runs_before
        run = instance.dagster.get_run_by_id(run_id)
    assert run is not None
    assert run.status == dg.DagsterRunStatus.SUCCESS
    assert run.tags["dagster/partition"] == site.bad_day
    with pictured(site.page, "11-check-passes"):
        site.open_check(PARQUET, READABLE_SHARE)
        site.sees(f"Passed ({DAYS})")


def test_no_other_day_is_touched_when_the_fixed_day_runs_again(fixed: Fixed) -> None:
    assert Others.of(fixed.site) == fixed.others_before
