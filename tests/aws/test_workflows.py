"""The workflows of GitHub: linted, pinned, and with no more rights than they need; what a pull request shows."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.support.aws_tools import lint
from tests.support.paths import REPOSITORY
from tests.support.stack_template import GITHUB, STACK, load_template

WORKFLOWS: Final = REPOSITORY / ".github" / "workflows"
FILES: Final = sorted(WORKFLOWS.glob("*.yml"))


def workflow(path: Path) -> dict[Any, Any]:
    # "on" is true in YAML 1.1
    found: dict[Any, Any] = yaml.safe_load(path.read_text())
    return found


def commands(job: dict[str, Any]) -> str:
    return "\n".join(step.get("run", "") for step in job["steps"])


def test_actionlint_finds_nothing() -> None:
    assert lint("actionlint", *FILES) == ""


def test_zizmor_finds_nothing() -> None:
    assert lint("zizmor", "--offline", "--quiet", WORKFLOWS) == ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_action_is_pinned_by_its_commit_and_says_its_version(path: Path) -> None:
    used = re.findall(r"uses: +(\S.*)", path.read_text())
    ours = [each for each in used if each.startswith("$/")]
    assert all((REPOSITORY / each.removeprefix("$/")).is_file() for each in ours)
    for each in set(used) - set(ours):
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each), each


def test_one_action_has_one_version_everywhere() -> None:
    used = {each for path in FILES for each in re.findall(r"uses: +(\w\S+@\S+ # \S+)", path.read_text())}
    assert len(used) == len({each.split("@")[0] for each in used})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_workflow_has_no_right_by_itself_and_no_job_may_write(path: Path) -> None:
    found = workflow(path)
    assert found["permissions"] == {}
    for name, job in found["jobs"].items():
        allowed = {"contents": "read"}
        if "configure-aws-credentials" in str(job):
            allowed["id-token"] = "write"
        assert job["permissions"] == allowed, name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_there_is_no_long_lived_key_and_no_secret(path: Path) -> None:
    assert not re.search(r"secrets\.|aws-access-key-id|AKIA", path.read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_checkout_leaves_no_token_behind(path: Path) -> None:
    steps = [step for job in workflow(path)["jobs"].values() for step in job.get("steps", ())]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_a_job_with_credentials_of_aws_runs_in_an_environment() -> None:
    jobs = workflow(WORKFLOWS / "deploy.yml")["jobs"]
    credited = {name: job["environment"] for name, job in jobs.items() if "configure-aws-credentials" in str(job)}
    # the names that the roles of aws/github.yaml trust
    assert credited == {"preview": "production-preview", "deploy": "${{ inputs.environment || 'production' }}"}


def test_ci_runs_what_has_to_pass() -> None:
    jobs = workflow(WORKFLOWS / "ci.yml")["jobs"]
    assert 'JAVA25_HOME="$JAVA_HOME_25_X64" bash .ci/run' in commands(jobs["test"])
    assert workflow(WORKFLOWS / "deploy.yml")["jobs"]["deploy"]["needs"] == ["test", "package"]


def test_ci_installs_each_entrance_on_every_python_that_the_package_names() -> None:
    job = workflow(WORKFLOWS / "ci.yml")["jobs"]["entrances"]
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    named = [line.rpartition(" ")[2] for line in project["classifiers"] if line.startswith("Programming Language")]
    assert job["strategy"]["matrix"]["python"] == named
    assert "pytest tests/entrances" in commands(job)


def test_nothing_of_others_is_built_while_credentials_are_there() -> None:
    jobs = workflow(WORKFLOWS / "deploy.yml")["jobs"]
    assert "id-token" not in jobs["package"]["permissions"]
    steps = [step.get("uses", step.get("run", "")) for step in jobs["deploy"]["steps"]]
    (credentials,) = [place for place, step in enumerate(steps) if "configure-aws-credentials" in step]
    (image,) = [place for place, step in enumerate(steps) if "docker build" in step]
    assert image < credentials


def test_a_deployment_is_not_cut_off_by_the_next() -> None:
    concurrency = workflow(WORKFLOWS / "deploy.yml")["concurrency"]
    assert concurrency["cancel-in-progress"] is False


def test_a_pull_request_makes_a_change_set_and_executes_none() -> None:
    preview = workflow(WORKFLOWS / "deploy.yml")["jobs"]["preview"]
    assert "github.event.pull_request.head.repo.full_name == github.repository" in preview["if"]
    assert "--no-execute-changeset" in commands(preview)
    assert "execute-change-set" not in commands(preview)
    assert "PREVIEW_ROLE_ARN" in str(preview)
    assert "DEPLOY_ROLE_ARN" not in str(preview)


def test_the_deployment_goes_through_the_execution_role_with_parameters_that_there_are() -> None:
    deployment = commands(workflow(WORKFLOWS / "deploy.yml")["jobs"]["deploy"])
    assert '--role-arn "$EXECUTION_ROLE_ARN"' in deployment
    assert "--capabilities CAPABILITY_IAM --no-fail-on-empty-changeset" in deployment
    given = set(re.findall(r'"(\w+)=\$', deployment))
    assert given == {"Environment", "PermissionsBoundary", "CodeBucket", "GlueScriptKey", "GlueWheelKey"}
    assert given <= load_template(STACK)["Parameters"].keys()


def test_every_variable_is_an_output_of_the_roles_stack_or_in_the_docs() -> None:
    used = set(re.findall(r"vars\.(\w+)", (WORKFLOWS / "deploy.yml").read_text()))
    outputs = " ".join(each["Description"] for each in load_template(GITHUB)["Outputs"].values())
    assert {name for name in used if name not in outputs} == {"AWS_REGION", "STACK_NAME"}
    docs = (REPOSITORY / "docs" / "operate" / "aws.md").read_text()
    assert not [name for name in used if f"`{name}`" not in docs]


def test_the_image_is_that_of_the_server() -> None:
    deployment = commands(workflow(WORKFLOWS / "deploy.yml")["jobs"]["deploy"])
    (path,) = re.findall(r"docker build --file (\S+)", deployment)
    assert (REPOSITORY / path).is_file()


# -- what a pull request shows


def preview(change_set: dict[str, Any]) -> str:
    command = [sys.executable, REPOSITORY / "aws" / "preview.py"]
    return subprocess.run(
        command, input=json.dumps(change_set), capture_output=True, text=True, check=True, timeout=60
    ).stdout


def change(resource: str, replacement: str | None, **details: str) -> dict[str, Any]:
    target = {"Attribute": "Properties", **details}
    described = {"Action": "Modify", "LogicalResourceId": resource, "ResourceType": "AWS::S3::Bucket"}
    replaced = {} if replacement is None else {"Replacement": replacement}
    return {"Type": "Resource", "ResourceChange": described | replaced | {"Details": [{"Target": target}]}}


def test_what_is_replaced_is_first_and_emphasized() -> None:
    changes = [change("Alarm", "False", Name="Threshold"), change("RawBucket", "True", Name="BucketName")]
    assert preview({"StackName": "audit", "Changes": changes}).splitlines() == [
        "audit: 2 changes.",
        "",
        "| what | resource | type | replaced | because of |",
        "|---|---|---|---|---|",
        "| Modify | RawBucket | AWS::S3::Bucket | **True** | BucketName |",
        "| Modify | Alarm | AWS::S3::Bucket | no | Threshold |",
    ]


def test_a_change_without_a_property_or_a_replacement_is_shown_too() -> None:
    text = preview({"StackName": "audit", "Changes": [change("Key", None, Attribute="Tags")]})
    assert text.splitlines()[-1] == "| Modify | Key | AWS::S3::Bucket | no | Tags |"
    assert preview({"StackName": "audit", "Changes": []}) == "audit: nothing changes.\n"
