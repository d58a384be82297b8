"""Loading the definitions, the schedule, and the files that name the code location."""

import importlib
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._core.workspace.load import location_origins_from_yaml_paths
from dagster_cloud_cli.config.models import load_dagster_cloud_yaml

from audit_pipeline.errors import SettingsError
from audit_pipeline.orchestration.build import build_defs
from audit_pipeline.orchestration.names import ASSETS, CHECKS, JOB
from audit_pipeline.orchestration.resources import AuditLake
from audit_pipeline.settings import load_settings
from tests.support.dagster_harness import Deployment, subprocess_environment
from tests.support.paths import REPOSITORY
from tests.support.waiting import HANGS_SECONDS

#: Ends the interpreter when anything connects, resolves a name, or makes a folder.
LOAD_WITHOUT_STORE = """
import importlib, os, sys
def forbid(event, args):
    if event.startswith("socket.") and event != "socket.__new__" or event == "os.mkdir":
        print("touched", event, args, flush=True)
        os._exit(3)
sys.dont_write_bytecode = True
sys.addaudithook(forbid)
from audit_pipeline import definitions
from dagster import Definitions
for engine in ("local", "glue"):
    os.environ |= {"AUDIT_ENGINE": engine, "AUDIT_GLUE_JOB": "a-job"}
    Definitions.validate_loadable(importlib.reload(definitions).defs)
    print("loaded", engine)
"""


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    return Deployment(tmp_path).environment()


def test_definitions_load_without_a_store_or_a_connection(tmp_path: Path) -> None:
    stores = {"AUDIT_RAW_URL": "s3://no-such-bucket/raw", "AUDIT_LAKE_URL": "s3://no-such-bucket/lake"}
    result = subprocess.run(
        [sys.executable, "-c", LOAD_WITHOUT_STORE],
        env=subprocess_environment(AUDIT_START_DATE="2026-05-01", **stores),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=HANGS_SECONDS,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "loaded local\nloaded glue\n", "")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, r"^AUDIT_START_DATE is not set \(first partition, YYYY-MM-DD \(UTC\)\)$"),
        ("yesterday", "^AUDIT_START_DATE is wrong: .*'yesterday'.*$"),
    ],
    ids=["missing", "wrong"],
)
def test_a_start_date_that_is_missing_or_wrong_is_one_clear_line(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch, value: str | None, said: str
) -> None:
    del settings["AUDIT_START_DATE"]
    for name, setting in settings.items() if value is None else (settings | {"AUDIT_START_DATE": value}).items():
        monkeypatch.setenv(name, setting)
    monkeypatch.delitem(sys.modules, "audit_pipeline.definitions", raising=False)
    with pytest.raises(SettingsError, match=said) as refused:
        importlib.import_module("audit_pipeline.definitions")
    assert "\n" not in str(refused.value)


@pytest.fixture
def defs(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return build_defs()


def test_the_assets_stand_in_a_row_with_daily_partitions_in_utc_until_today(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    raw, parquet, table = (graph.get(dg.AssetKey(asset)) for asset in ASSETS)
    assert (raw.parent_keys, parquet.parent_keys, table.parent_keys) == (set(), {raw.key}, {parquet.key})
    for asset in (raw, parquet, table):
        partitions = asset.partitions_def
        assert isinstance(partitions, dg.DailyPartitionsDefinition)
        assert (partitions.timezone, partitions.get_first_partition_key()) == ("UTC", "2026-05-01")
        assert partitions.get_last_partition_key() == str(datetime.now(UTC).date())
    assert {key.name: key.asset_key.to_user_string() for key in graph.asset_check_keys} == dict(CHECKS)


@pytest.mark.parametrize("days", [1, 7])
def test_a_backfill_takes_as_many_days_a_run_as_the_setting_says(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    for name, value in Deployment(Path("/nowhere")).environment(days_per_run=days).items():
        monkeypatch.setenv(name, value)
    graph = build_defs().resolve_asset_graph()
    policies = {graph.get(dg.AssetKey(asset)).backfill_policy for asset in ASSETS}
    assert policies == {dg.BackfillPolicy.multi_run(max_partitions_per_run=days)}


def test_the_job_runs_in_one_process(defs: dg.Definitions) -> None:
    assert defs.resolve_job_def(JOB).executor_def is dg.in_process_executor
    assert defs.resolve_implicit_global_asset_job_def().executor_def is dg.in_process_executor


def test_a_resource_can_be_replaced(defs: dg.Definitions) -> None:
    lake = AuditLake(load_settings())
    replaced = build_defs(resource_overrides={"lake": lake})
    assert (replaced.resources or {})["lake"] is lake


def test_the_environment_is_read_once_when_the_definitions_are_built(
    defs: dg.Definitions, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIT_LAKE_URL", "elsewhere")
    lake = (defs.resources or {})["lake"]
    assert str(lake.settings.lake_url) == settings["AUDIT_LAKE_URL"]


def test_secrets_are_not_in_what_the_ui_shows_of_the_definitions(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = ("AUDIT_CURSOR_KEY", "AUDIT_ALERT_SLACK_TOKEN", "AUDIT_ALERT_WEBHOOK_URL")
    for name in secrets:
        settings[name] = f"https://example.com/secret-{name}"
    for name, value in (settings | {"AUDIT_ALERT_SLACK_CHANNEL": "#audit"}).items():
        monkeypatch.setenv(name, value)
    shown = dg.serialize_value(RepositorySnap.from_def(build_defs().get_repository_def()))
    assert "audit_log_parquet" in shown
    assert "secret-" not in shown


def test_workspace_yaml_names_the_definitions(settings: dict[str, str]) -> None:
    origins = location_origins_from_yaml_paths([str(REPOSITORY / "workspace.yaml")])
    (origin,) = origins
    target = origin.loadable_target_origin  # type: ignore[attr-defined]
    assert (origin.location_name, target.module_name) == ("audit_pipeline", "audit_pipeline.definitions")
    assert target.working_directory == "."  # from a checkout, whether the package is installed or not


def test_dagster_cloud_yaml_names_the_definitions() -> None:
    (location,) = load_dagster_cloud_yaml((REPOSITORY / "dagster_cloud.yaml").read_text()).locations
    assert (location.location_name, location.code_source.module_name) == (
        "audit_pipeline",
        "audit_pipeline.definitions",
    )
