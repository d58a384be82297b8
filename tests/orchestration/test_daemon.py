"""Backfills through the real daemon: a code location, a queue, runs in processes of their own."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from audit_pipeline.orchestration.build import build_defs
from audit_pipeline.orchestration.names import ASSETS, CHECKS, CONSERVATION, HOUR_COVERAGE, PARQUET, RAW, TABLE
from tests.support.dagster_harness import DAYS, Deployment, Instance, event
from tests.support.dagster_programs import dagster_daemon

pytestmark = pytest.mark.slow

ALL_DAYS = (*DAYS, "2026-05-04")
BAD_DAY = "2026-05-02"


@dataclass(frozen=True)
class Backfill:
    """A backfill of four days in a deployment of its own."""

    deployment: Deployment
    days_per_run: int

    @property
    def log(self) -> Path:
        return self.deployment.root / "daemon.log"

    def environment(self) -> dict[str, str]:
        return self.deployment.environment(days_per_run=self.days_per_run)

    def create(self, *, with_bad_day: bool) -> None:
        self.deployment.create()
        for hour in range(24):  # a day on which no hour is missing
            time_of = f"2026-05-04T{hour:02}:30:00Z"
            self.deployment.write(f"year=2026/month=05/day=04/hour={hour:02}/a", event(f"e{hour}", time_of))
        if with_bad_day:
            spoiled = self.deployment.manifest_path(BAD_DAY)
            spoiled.parent.mkdir(parents=True)
            spoiled.write_text("{")

    def submit(self) -> None:
        with pytest.MonkeyPatch.context() as patch, self.deployment.instance() as instance:
            for name, value in self.environment().items():
                patch.setenv(name, value)
            backfill = PartitionBackfill.from_asset_partitions(
                backfill_id="backfill",
                asset_graph=build_defs().resolve_asset_graph(),
                partition_names=ALL_DAYS,
                asset_selection=[dg.AssetKey(asset) for asset in ASSETS],
                backfill_timestamp=time.time(),
                tags={},
                dynamic_partitions_store=instance.dagster,
                all_partitions=False,
                title=None,
                description=None,
                run_config=None,
            )
            instance.dagster.add_backfill(backfill)

    def status(self) -> BulkActionStatus:
        with self.deployment.instance() as instance:
            backfill = instance.dagster.get_backfill("backfill")
            assert backfill is not None
            return backfill.status

    def wait(self) -> None:
        deadline = time.monotonic() + 300
        while self.status() in (BulkActionStatus.REQUESTED, BulkActionStatus.FAILING):
            if time.monotonic() > deadline:
                pytest.fail(f"the backfill did not end: {self.log.read_text()[-5000:]}")
            time.sleep(1)


@pytest.fixture(scope="module")
def backfills(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Backfill]:
    """All at the same time, for what they do most is wait for the daemon's next look."""
    made = {
        name: Backfill(Deployment(tmp_path_factory.mktemp("backfill") / "it"), days_per_run)
        for name, days_per_run in (("one day a run", 1), ("three days a run", 3), ("a bad day", 4))
    }
    with ExitStack() as daemons:
        for name, backfill in made.items():
            backfill.create(with_bad_day=name == "a bad day")
            backfill.submit()
            daemons.enter_context(dagster_daemon(backfill.deployment, backfill.environment(), backfill.log))
        for backfill in made.values():
            backfill.wait()
    return made


@contextmanager
def shown(backfill: Backfill, monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    for name, value in backfill.environment().items():
        monkeypatch.setenv(name, value)
    with backfill.deployment.instance() as instance:
        yield instance


@pytest.mark.parametrize(("name", "runs"), [("one day a run", 4), ("three days a run", 2)])
def test_a_backfill_gives_every_day_its_own_statuses_checks_and_metadata(
    backfills: dict[str, Backfill], monkeypatch: pytest.MonkeyPatch, name: str, runs: int
) -> None:
    backfill = backfills[name]
    assert backfill.status() == BulkActionStatus.COMPLETED_SUCCESS, backfill.log.read_text()[-5000:]
    with shown(backfill, monkeypatch) as instance:
        assert [run.status.value for run in instance.dagster.get_runs()] == ["SUCCESS"] * runs
        assert instance.all_statuses(ALL_DAYS) == {asset: dict.fromkeys(ALL_DAYS, "MATERIALIZED") for asset in ASSETS}
        for check in CHECKS:
            for day in ALL_DAYS:
                (record,) = instance.check_history(check, day)
                assert record.status.value in ("SUCCEEDED", "FAILED")
                evaluation = instance.evaluation(check, day)
                assert evaluation.passed or evaluation.severity == dg.AssetCheckSeverity.WARN
                if check in (CONSERVATION, HOUR_COVERAGE):
                    assert evaluation.passed == (check == CONSERVATION or day == "2026-05-04")
            assert {record.partition for record in instance.check_history(check)} == set(ALL_DAYS)
        assert instance.evaluation(HOUR_COVERAGE, "2026-05-04").description == "all 24 hours hold objects"
        for day in ALL_DAYS:
            assert [len(instance.materializations(asset, day)) for asset in ASSETS] == [1, 1, 1]
            assert instance.metadata(TABLE, day)["rows_of_partition"] == instance.metadata(PARQUET, day)["rows"]
        # which day owns a row that two of them read may change with the order of the runs, their sum does not
        assert sum(instance.metadata(PARQUET, day)["rows"] for day in ALL_DAYS) == 113


def test_a_bad_day_in_a_backfill_fails_alone(backfills: dict[str, Backfill], monkeypatch: pytest.MonkeyPatch) -> None:
    backfill = backfills["a bad day"]
    assert backfill.status() == BulkActionStatus.COMPLETED_FAILED
    good = [day for day in ALL_DAYS if day != BAD_DAY]
    with shown(backfill, monkeypatch) as instance:
        materialized = dict.fromkeys(good, "MATERIALIZED")
        assert instance.all_statuses(ALL_DAYS) == {
            RAW: materialized | {BAD_DAY: "MATERIALIZED"},
            PARQUET: materialized | {BAD_DAY: "FAILED"},
            TABLE: materialized | {BAD_DAY: "FAILED"},
        }
        for day in good:
            assert instance.evaluation(CONSERVATION, day).passed
            assert instance.metadata(TABLE, day)["rows_of_partition"] == instance.metadata(PARQUET, day)["rows"]
