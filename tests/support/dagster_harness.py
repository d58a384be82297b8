"""A deployment in a folder: raw, lake and DAGSTER_HOME, the environment that names them, and what Dagster recorded."""

import gzip
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

from audit_pipeline.orchestration.build import build_defs
from audit_pipeline.orchestration.names import ASSETS, CHECKS, CONSERVATION, HOUR_COVERAGE, JOB, STRAYS, UNNAMED_FILES
from tests.support.paths import RAW_EXAMPLES, REPOSITORY

FIRST = date(2026, 5, 1)
DAYS = ("2026-05-01", "2026-05-02", "2026-05-03")

#: The checks that need no Great Expectations, which takes longer than the rest of a small day.
OWN_CHECKS: Final = (HOUR_COVERAGE, STRAYS, CONSERVATION, UNNAMED_FILES)

#: What a step prints is in no test's way: to keep it, Dagster would start four processes a step.
_DAGSTER_YAML: Final = """
telemetry:
  enabled: false
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""

Values = dict[str, Any]


@dataclass(frozen=True)
class Deployment:
    """``activate`` puts its settings into the environment; ``run`` and the rest need that."""

    root: Path

    @property
    def raw(self) -> Path:
        return self.root / "raw"

    @property
    def lake(self) -> Path:
        return self.root / "lake"

    @property
    def home(self) -> Path:
        return self.root / "dagster"

    def create(self, *, with_examples: bool = True) -> "Deployment":
        for path, data in _empty_home().items():
            (self.home / path).parent.mkdir(parents=True, exist_ok=True)
            (self.home / path).write_bytes(data)
        if with_examples:
            shutil.copytree(RAW_EXAMPLES, self.raw)
        else:
            self.raw.mkdir(exist_ok=True)
        return self

    def copy(self, root: Path) -> "Deployment":
        """All that is here, in another folder. Raw objects keep their e_tags, for they are the same files."""
        shutil.copytree(self.root, root, dirs_exist_ok=True, ignore=shutil.ignore_patterns(self.raw.name))
        shutil.copytree(self.raw, root / self.raw.name, copy_function=os.link)
        return Deployment(root)

    def environment(self, **changed: object) -> dict[str, str]:
        """``changed`` are settings: ``days_per_run=3``."""
        settings = {
            "raw_url": self.raw,
            "lake_url": self.lake,
            "start_date": FIRST,
            "workers": 1,
            "memory_mb": 512,
        } | changed
        named = {f"AUDIT_{name.upper()}": str(value) for name, value in settings.items()}
        return named | {"DAGSTER_HOME": str(self.home)}

    def write(self, key: str, *events: str) -> None:
        path = self.raw / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # it may be another deployment's as well
        path.write_bytes(gzip.compress("".join(events).encode(), mtime=0))

    def data_files(self, partition: str) -> list[Path]:
        return sorted((self.lake / "auditlog_parquet").glob(f"dt=*/source=*/{partition}*.parquet"))

    def manifest_path(self, partition: str) -> Path:
        return self.lake / "auditlog_manifest" / f"{partition}.json"

    @contextmanager
    def instance(self) -> Iterator["Instance"]:
        with dg.DagsterInstance.from_config(str(self.home)) as instance:
            yield Instance(instance)


@dataclass(frozen=True)
class Instance:
    """A Dagster instance, with the queries that the UI makes."""

    dagster: dg.DagsterInstance

    def run(
        self,
        *partitions: str,
        assets: Collection[str] = ASSETS,
        checks: Collection[str] = OWN_CHECKS,
        check: str | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """One run of one partition, or of the range from the first to the last. ``check`` runs a check alone.

        Of the checks, those of ``checks`` that are about ``assets`` are run.
        """
        defs = build_defs(resource_overrides=overrides)
        if check is None:
            job = defs.resolve_job_def(JOB).get_subset(
                asset_selection={dg.AssetKey(asset) for asset in assets},
                asset_check_selection={_key_of(name) for name in checks if CHECKS[name] in assets},
            )
        else:
            selection = dg.AssetSelection.checks(_key_of(check))
            job = dg.Definitions.merge(defs, dg.Definitions(jobs=[dg.define_asset_job("alone", selection)]))
            job = job.resolve_job_def("alone")
        # a job of checks alone takes its partition by tag only, as the UI gives it
        tags = (
            {"dagster/partition": partitions[0]}
            if len(partitions) == 1
            else {
                "dagster/asset_partition_range_start": partitions[0],
                "dagster/asset_partition_range_end": partitions[-1],
            }
        )
        return job.execute_in_process(
            instance=self.dagster,
            tags=tags,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )

    def statuses(self, asset: str, partitions: Sequence[str] = DAYS) -> dict[str, str | None]:
        definition = build_defs().resolve_asset_graph().get(dg.AssetKey(asset)).partitions_def
        assert definition is not None
        found = self.dagster.get_status_by_partition(dg.AssetKey(asset), list(partitions), definition)
        assert found is not None
        return {partition: status.value if status else None for partition, status in found.items()}

    def all_statuses(self, partitions: Sequence[str] = DAYS) -> dict[str, dict[str, str | None]]:
        return {asset: self.statuses(asset, partitions) for asset in ASSETS}

    def materializations(self, asset: str, partition: str) -> list[dg.AssetMaterialization]:
        found = self.dagster.fetch_materializations(
            dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[partition]), limit=100
        )
        return [record.asset_materialization for record in found.records if record.asset_materialization]

    def metadata(self, asset: str, partition: str) -> Values:
        """Of the newest materialization."""
        return {name: value.value for name, value in self.materializations(asset, partition)[0].metadata.items()}

    def check_history(self, check: str, partition: str | None = None) -> list[AssetCheckExecutionRecord]:
        """All records of a check, newest first; those of one partition if it is given."""
        return list(
            self.dagster.event_log_storage.get_asset_check_execution_history(
                _key_of(check),
                limit=1000,
                partition_filter=PartitionKeyFilter(key=partition) if partition else None,
            )
        )

    def evaluation(self, check: str, partition: str) -> dg.AssetCheckEvaluation:
        record = self.check_history(check, partition)[0]
        assert record.status.value != "PLANNED"
        evaluation = record.evaluation
        assert isinstance(evaluation, dg.AssetCheckEvaluation)
        return evaluation

    def failed_checks(self, partition: str) -> dict[str, dg.AssetCheckEvaluation]:
        """The newest evaluations of a day that did not pass, by the check's name; of the checks that have run."""
        found = {check: self.evaluation(check, partition) for check in CHECKS if self.check_history(check, partition)}
        return {check: evaluation for check, evaluation in found.items() if not evaluation.passed}


def said(evaluation: dg.AssetCheckEvaluation) -> str:
    """Everything that a check tells a person: its description, and its metadata as text."""
    values = [f"{name}: {value.value}" for name, value in evaluation.metadata.items()]
    return "\n".join([str(evaluation.description), *values])


@cache
def _empty_home() -> dict[str, bytes]:
    """The files of a DAGSTER_HOME in which nothing has happened: making its databases takes longer than a small run."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "dagster.yaml").write_text(_DAGSTER_YAML)
        with dg.DagsterInstance.from_config(folder) as instance:
            instance.get_runs_count()
            instance.all_instigator_state()
            instance.get_asset_keys()
        return {str(p.relative_to(folder)): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def _key_of(check: str) -> dg.AssetCheckKey:
    return dg.AssetCheckKey(dg.AssetKey(CHECKS[check]), check)


def failure_text(result: dg.ExecuteInProcessResult) -> str:
    """The description of the failed step, as the UI shows it."""
    (failure,) = result.get_step_failure_events()
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    assert data.description is not None
    return data.description


def event(event_id: str, time: str, source: str = "shop") -> str:
    detail = {"entities": [{"entity": {"id": "1", "name": "order"}}]}
    return json.dumps({"id": event_id, "source": source, "time": time, "detail": detail})


def order_change(time: str, *, sound: bool = True) -> str:
    """An event on which no quality check warns, its id is its time. One that is not sound goes to quarantine."""
    entity = {"name": "Order #500"} | ({"id": "500"} if sound else {})
    detail = {
        "action": "Create",
        "entity_type": "Order",
        "actor": {"type": 1, "name": "jane@example.com"},
        "entities": [{"entity": entity, "after": {"status": "Paid"}}],
    }
    return json.dumps({"id": time, "source": "myapp.orderservice", "time": time, "detail": detail})


def subprocess_environment(**variables: str | None) -> dict[str, str]:
    """This environment, without settings but for ``variables``, fit to import the package under test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUDIT_", "DAGSTER_", "AWS_"))}
    kept["PYTHONPATH"] = str(REPOSITORY)
    return kept | {name: value for name, value in variables.items() if value is not None}
