"""The alert policies for Dagster+, as far as that can be shown without Dagster+."""

import json
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest
import yaml
from dagster_cloud_cli.entrypoint import app
from dagster_rest_resources.__generated__ import fragments
from dagster_rest_resources.__generated__.enums import AlertPolicyEventType, InstigatorType
from dagster_rest_resources.schemas.alert_policy import DgApiAlertPolicyOptions, DgApiNotificationService
from pydantic import TypeAdapter
from typer.testing import CliRunner

from audit_pipeline.orchestration.build import build_defs
from tests.support.dagster_harness import Deployment
from tests.support.paths import REPOSITORY

FILE = REPOSITORY / "deploy" / "alert_policies.yaml"
POLICIES: list[dict[str, Any]] = yaml.safe_load(FILE.read_text())["alert_policies"]

#: By what an event is about, the target that a policy of it may have (Dagster's YAML reference).
TARGETS = {"ASSET": "asset_group_target", "JOB": "run_result_target", "TICK": "schedule_or_sensor_target"} | {
    "CODE": "code_location_target"
}
#: Where the document and the API that it becomes have other names.
RENAMED = {"schedule_or_sensor_target": "schedule_sensor_target", "location_names": "code_location_names"}


class _DagsterPlus(BaseHTTPRequestHandler):
    """Answers the CLI as Dagster+ does where it takes the policies."""

    documents: ClassVar[list[Any]] = []

    def do_POST(self) -> None:
        document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["variables"]["document"]
        self.documents.append(document)
        policies = [{"name": policy["name"]} for policy in document["alert_policies"]]
        taken = {"__typename": "ReconcileAlertPoliciesSuccess", "alertPolicies": policies}
        body = json.dumps({"data": {"reconcileAlertPoliciesFromDocument": taken}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def dagster_plus() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _DagsterPlus)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_cli_reads_the_file_and_sends_every_policy(dagster_plus: str) -> None:
    command = ["deployment", "alert-policies", "sync", "--alert-policies", str(FILE)]
    result = CliRunner().invoke(app, [*command, "--url", dagster_plus, "--api-token", "none"])
    assert result.exit_code == 0, result.output
    assert all(policy["name"] in result.output.replace("\n", " ") for policy in POLICIES)
    assert _DagsterPlus.documents[-1] == {"alert_policies": POLICIES}


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy["name"])
def test_a_policy_has_the_names_that_dagster_knows(policy: dict[str, Any]) -> None:
    assert set(policy) == {
        *("name", "description", "enabled", "event_types", "alert_targets", "notification_service", "policy_options")
    }
    categories = {AlertPolicyEventType(event).value.partition("_")[0] for event in policy["event_types"]}
    (category,) = categories  # Dagster takes no policy of several
    (target,) = policy["alert_targets"]
    ((name, fields),) = target.items()
    assert name == TARGETS[category]
    model = "".join(part.capitalize() for part in RENAMED.get(name, name).split("_"))
    known = getattr(fragments, f"AlertPolicyFieldsAlertTargets{model}").model_fields
    assert {RENAMED.get(field, field) for field in fields} <= set(known)
    assert [InstigatorType(kind).value for kind in fields.get("types", [])] == fields.get("types", [])
    ((service, settings),) = policy["notification_service"].items()
    TypeAdapter(DgApiNotificationService).validate_python({"kind": service, **settings})
    assert set(policy["policy_options"]) <= set(DgApiAlertPolicyOptions.model_fields)
    assert ("consecutive_failure_threshold" in policy["policy_options"]) == (category == "TICK")


def test_the_policies_name_this_project(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in Deployment(tmp_path).environment().items():
        monkeypatch.setenv(name, value)
    groups = {spec.group_name for spec in build_defs().resolve_all_asset_specs()}
    location = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    named = [fields for policy in POLICIES for target in policy["alert_targets"] for fields in target.values()]
    assert {fields["asset_group"] for fields in named if "asset_group" in fields} == groups
    locations = {name for f in named for name in f.get("location_names", [f.get("location_name")])}
    assert locations == {location["code_location_name"]}


def test_every_kind_of_alert_and_every_setting_is_documented() -> None:
    from typing import get_args

    from audit_pipeline.orchestration.alerts.alert import Kind
    from audit_pipeline.settings import Settings

    text = (REPOSITORY / "docs" / "operate" / "alerts.md").read_text()
    assert [kind for kind in get_args(Kind) if f"`{kind}`" not in text] == []
    settings = [name for name in Settings.model_fields if name.startswith("alert_")]
    assert [name for name in settings if f"`AUDIT_{name.upper()}`" not in text] == []
