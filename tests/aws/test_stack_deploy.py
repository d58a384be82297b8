"""The stacks are deployed to an emulator by AWS's own command line, and read back through AWS's APIs.

The emulator (ministack) supports neither an archive of EventBridge nor an OIDC provider: the tests deploy a copy
without the former, and pass the ARN of the latter. It ignores lifecycles, encryption and Object Lock of buckets,
Firehose's file extension and the boundary of roles, checks no policy and delivers nothing:
:mod:`tests.aws.test_stack` asserts those on the template.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from audit_pipeline.catalog.definition import TableDefinition, definitions_of, glue_table_input
from audit_pipeline.catalog.glue import ensure_table
from audit_pipeline.settings import Settings
from tests.servers.aws_emulator import Emulator, emulator
from tests.support.paths import REPOSITORY
from tests.support.stack_template import GITHUB, GITHUB_STACK_NAME, STACK, STACK_NAME

pytestmark = pytest.mark.slow

PROVIDER = "arn:aws:iam::000000000000:oidc-provider/token.actions.githubusercontent.com"
BOUNDARY = "arn:aws:iam::000000000000:policy/boundary"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with emulator(tmp_path_factory.mktemp("aws")) as running:
        yield running


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stack without the archive."""
    block = re.compile(r"^  Archive:\n    Type: AWS::Events::Archive\n(?:    .*\n)+", re.MULTILINE)
    text, count = block.subn("", STACK.read_text())
    assert count == 1
    path = tmp_path_factory.mktemp("template") / STACK.name
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def deployed(aws: Emulator, template: Path) -> dict[str, str]:
    """The outputs of the stack, made by the command of docs/operate/aws.md."""
    assert "Successfully created/updated stack" in aws.deploy(template, STACK_NAME)
    return aws.outputs(STACK_NAME)


def test_a_second_deployment_changes_nothing(aws: Emulator, template: Path, deployed: dict[str, str]) -> None:
    assert "No changes to deploy" in aws.deploy(template, STACK_NAME)
    assert aws.outputs(STACK_NAME) == deployed


def definitions(outputs: dict[str, str]) -> tuple[TableDefinition, TableDefinition]:
    return definitions_of(
        Settings(
            _env_file=None,
            raw_url=outputs["AuditRawUrl"],
            lake_url=outputs["AuditLakeUrl"],
            start_date=outputs["AuditStartDate"],  # type: ignore[arg-type]
            database=outputs["AuditDatabase"],
            table=outputs["AuditTable"],
        )
    )


def test_glue_holds_the_tables_of_the_code_and_the_pipeline_has_nothing_to_change(
    aws: Emulator, deployed: dict[str, str]
) -> None:
    glue = aws.client("glue")
    for definition in definitions(deployed):
        wanted: dict[str, Any] = dict(glue_table_input(definition))
        found = glue.get_table(DatabaseName=definition.database, Name=definition.name)["Table"]
        assert {name: found[name] for name in wanted} == wanted
        ensure_table(glue, definition)
        assert glue.get_table(DatabaseName=definition.database, Name=definition.name)["Table"] == found


def test_firehose_has_its_prefixes_delimiter_and_buffer(aws: Emulator, deployed: dict[str, str]) -> None:
    answer = aws.client("firehose").describe_delivery_stream(DeliveryStreamName=deployed["DeliveryStreamName"])
    (destination,) = answer["DeliveryStreamDescription"]["Destinations"]
    found = destination["ExtendedS3DestinationDescription"]
    hour = "year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}/"
    assert found["BucketARN"] == f"arn:aws:s3:::{deployed['RawBucket']}"
    assert f"s3://{deployed['RawBucket']}/{found['Prefix']}" == f"{deployed['AuditRawUrl']}/{hour}"
    assert found["ErrorOutputPrefix"].startswith("errors/firehose/!{firehose:error-output-type}/")
    assert found["CompressionFormat"] == "GZIP"
    assert {name: int(value) for name, value in found["BufferingHints"].items()} == {
        "IntervalInSeconds": 900,
        "SizeInMBs": 128,
    }
    assert found["ProcessingConfiguration"]["Processors"] == [
        {
            "Type": "AppendDelimiterToRecord",
            "Parameters": [{"ParameterName": "Delimiter", "ParameterValue": "\\n"}],
        }
    ]
    assert found["EncryptionConfiguration"]["KMSEncryptionConfig"]["AWSKMSKeyARN"] == deployed["KeyArn"]


@pytest.mark.parametrize("output", ["RawBucket", "LakeBucket"])
def test_a_bucket_refuses_plain_http_and_keeps_versions(aws: Emulator, deployed: dict[str, str], output: str) -> None:
    s3 = aws.client("s3")
    policy = json.loads(s3.get_bucket_policy(Bucket=deployed[output])["Policy"])
    refused = [each for each in policy["Statement"] if each["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}]
    arn = f"arn:aws:s3:::{deployed[output]}"
    assert [(each["Effect"], each["Resource"]) for each in refused] == [("Deny", [arn, f"{arn}/*"])]
    assert s3.get_bucket_versioning(Bucket=deployed[output])["Status"] == "Enabled"
    blocked = s3.get_public_access_block(Bucket=deployed[output])["PublicAccessBlockConfiguration"]
    assert set(blocked.values()) == {True}


def test_the_rule_goes_to_firehose_and_its_failures_to_the_queue(aws: Emulator, deployed: dict[str, str]) -> None:
    events, sqs = aws.client("events"), aws.client("sqs")
    bus = deployed["EventBusName"]
    (rule,) = events.list_rules(EventBusName=bus)["Rules"]
    (target,) = events.list_targets_by_rule(EventBusName=bus, Rule=rule["Name"])["Targets"]
    queue = sqs.get_queue_attributes(QueueUrl=deployed["DeadLetterQueueUrl"], AttributeNames=["All"])["Attributes"]
    assert target["Arn"].endswith(f"deliverystream/{deployed['DeliveryStreamName']}")
    assert target["DeadLetterConfig"]["Arn"] == queue["QueueArn"]
    assert int(target["RetryPolicy"]["MaximumEventAgeInSeconds"]) == 86400
    (allowed, _) = json.loads(queue["Policy"])["Statement"]
    assert allowed["Condition"]["ArnEquals"]["aws:SourceArn"] == rule["Arn"]


@pytest.mark.parametrize(
    ("source", "taken"), [("myapp", True), ("myapp.orderservice", True), ("myapplication.orders", False)]
)
def test_the_rule_takes_a_source(aws: Emulator, deployed: dict[str, str], source: str, taken: bool) -> None:
    events = aws.client("events")
    (rule,) = events.list_rules(EventBusName=deployed["EventBusName"])["Rules"]
    event = {
        "id": "1",
        "detail-type": "orderitemupdated.v1",
        "source": source,
        "account": "000000000000",
        "time": "2026-04-02T12:31:01Z",
        "region": "us-east-1",
        "resources": [],
        "detail": {},
    }
    answer = events.test_event_pattern(EventPattern=rule["EventPattern"], Event=json.dumps(event))
    assert answer["Result"] is taken


def test_the_workgroup_is_enforced(aws: Emulator, deployed: dict[str, str]) -> None:
    answer = aws.client("athena").get_work_group(WorkGroup=deployed["AuditAthenaWorkgroup"])
    found = answer["WorkGroup"]["Configuration"]
    assert found["EnforceWorkGroupConfiguration"] is True
    assert int(found["BytesScannedCutoffPerQuery"]) == 10_000_000_000
    assert found["ResultConfiguration"]["EncryptionConfiguration"]["EncryptionOption"] == "SSE_KMS"


def test_alarms_go_to_the_topic(aws: Emulator, deployed: dict[str, str]) -> None:
    alarms = aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert {each["AlarmName"].removeprefix(f"{STACK_NAME}-") for each in alarms} >= {
        "delivery-freshness",
        "delivery-failures",
        "dead-letters",
        "dead-letters-lost",
        "rule-failures",
    }
    assert {tuple(each["AlarmActions"]) for each in alarms} == {(deployed["AuditAlertSnsTopicArn"],)}


def test_an_update_keeps_the_buckets_and_changes_the_given_parameters(
    aws: Emulator, template: Path, deployed: dict[str, str]
) -> None:
    aws.client("s3").put_object(Bucket=deployed["RawBucket"], Key="raw/eventbridge/x", Body=b"{}")
    aws.deploy(template, STACK_NAME, BufferSeconds="60", BufferMegabytes="5", CodeBucket="code")
    updated = aws.outputs(STACK_NAME)
    assert updated == {**deployed, "GlueJobName": STACK_NAME}
    answer = aws.client("firehose").describe_delivery_stream(DeliveryStreamName=deployed["DeliveryStreamName"])
    (destination,) = answer["DeliveryStreamDescription"]["Destinations"]
    hints = destination["ExtendedS3DestinationDescription"]["BufferingHints"]
    assert {name: int(value) for name, value in hints.items()} == {"IntervalInSeconds": 60, "SizeInMBs": 5}
    job = aws.client("glue").get_job(JobName=STACK_NAME)["Job"]
    assert (job["GlueVersion"], job["Command"]["ScriptLocation"]) == ("5.1", "s3://code/glue/job.py")
    assert aws.client("s3").get_object(Bucket=deployed["RawBucket"], Key="raw/eventbridge/x")["Body"].read() == b"{}"


@pytest.fixture(scope="module")
def second(aws: Emulator, template: Path, deployed: dict[str, str]) -> dict[str, str]:
    """The outputs of another environment in the same account."""
    others = {"Environment": "staging", "EventBusName": "staging-eventbus", "Database": "audit_logs_staging"}
    aws.deploy(template, "audit-staging", **others)
    return aws.outputs("audit-staging")


def test_a_second_environment_stands_beside_the_first(deployed: dict[str, str], second: dict[str, str]) -> None:
    assert {name for name in second if second[name] == deployed.get(name)} == {"AuditStartDate", "AuditTable"}


def test_evidence_is_still_there_when_the_stack_is_gone(aws: Emulator, second: dict[str, str]) -> None:
    s3, cloudformation = aws.client("s3"), aws.client("cloudformation")
    s3.put_object(Bucket=second["RawBucket"], Key="raw/eventbridge/x", Body=b"{}")
    cloudformation.delete_stack(StackName="audit-staging")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="audit-staging", WaiterConfig={"Delay": 1})
    assert s3.get_object(Bucket=second["RawBucket"], Key="raw/eventbridge/x")["Body"].read() == b"{}"
    assert aws.client("kms").describe_key(KeyId=second["KeyArn"])["KeyMetadata"]["KeyState"] == "Enabled"
    assert aws.client("sqs").get_queue_attributes(QueueUrl=second["DeadLetterQueueUrl"], AttributeNames=["QueueArn"])
    assert second["DeliveryStreamName"] not in aws.client("firehose").list_delivery_streams()["DeliveryStreamNames"]


def test_the_roles_of_github_trust_one_repository_and_environment(aws: Emulator) -> None:
    aws.deploy(GITHUB, GITHUB_STACK_NAME, Repository="owner/name", OidcProviderArn=PROVIDER)
    outputs = aws.outputs(GITHUB_STACK_NAME)
    for output, environment in {"DeployRoleArn": "production", "PreviewRoleArn": "production-preview"}.items():
        role = aws.client("iam").get_role(RoleName=outputs[output].split("/")[-1])["Role"]
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Federated": PROVIDER}
        assert trust["Condition"]["StringEquals"] == {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": f"repo:owner/name:environment:{environment}",
        }
    assert outputs["OidcProviderArn"] == PROVIDER


# -- the steps of the workflow, as GitHub runs them


def step(job: str, name: str) -> list[str]:
    """Its command, in the shell that GitHub takes."""
    jobs = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "deploy.yml").read_text())["jobs"]
    (found,) = [each["run"] for each in jobs[job]["steps"] if each.get("name") == name]
    return ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", found]


@pytest.fixture
def checkout(template: Path, tmp_path: Path) -> Path:
    (tmp_path / "aws").mkdir()
    shutil.copy(template, tmp_path / "aws" / "cf.yaml")
    shutil.copy(REPOSITORY / "aws" / "preview.py", tmp_path / "aws")
    shutil.copytree(REPOSITORY / "aws" / "glue", tmp_path / "aws" / "glue")
    (tmp_path / "summary.md").touch()
    return tmp_path


def test_a_pull_request_shows_what_it_would_change_and_changes_nothing(
    aws: Emulator, deployed: dict[str, str], checkout: Path
) -> None:
    known = {"STACK_NAME": STACK_NAME, "GITHUB_STEP_SUMMARY": str(checkout / "summary.md")}
    aws.run(step("preview", "Change set"), checkout, **known)
    assert (checkout / "summary.md").read_text() == f"{STACK_NAME}: nothing changes.\n"
    written = checkout / "aws" / "cf.yaml"
    written.write_text(written.read_text().replace("DisplayName: Audit log", "DisplayName: Other"))
    (checkout / "summary.md").write_text("")
    aws.run(step("preview", "Change set"), checkout, **known)
    summary = (checkout / "summary.md").read_text()
    assert summary.startswith(f"{STACK_NAME}: 1 changes.")
    assert "| Modify | AlertTopic | AWS::SNS::Topic |" in summary
    topic = aws.client("sns").get_topic_attributes(TopicArn=deployed["AuditAlertSnsTopicArn"])["Attributes"]
    assert topic["DisplayName"] == "Audit log"
    left = aws.client("cloudformation").list_change_sets(StackName=STACK_NAME)["Summaries"]
    assert not [each for each in left if each["ExecutionStatus"] == "AVAILABLE"], "somebody could execute it later"


def test_a_deployment_puts_the_code_into_s3_and_the_stack_knows_it(
    aws: Emulator, template: Path, checkout: Path
) -> None:
    aws.deploy(template, "audit-step", EventBusName="step-eventbus", Database="audit_logs_step", BufferSeconds="60")
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="code")
    (checkout / "dist").mkdir()
    (checkout / "dist" / "audit_pipeline-0.1.0-py3-none-any.whl").write_bytes(b"wheel")

    def deploy(commit: str) -> set[str]:
        aws.run(
            step("deploy", "Wheel and Glue files to S3, then the stack"),
            checkout,
            CODE_BUCKET="code",
            ENVIRONMENT="staging",
            EXECUTION_ROLE_ARN="arn:aws:iam::000000000000:role/execution",
            GITHUB_SHA=commit,
            PERMISSIONS_BOUNDARY_ARN=BOUNDARY,
            STACK_NAME="audit-step",
        )
        return {each["Key"] for each in s3.list_objects_v2(Bucket="code", Prefix=commit)["Contents"]}

    assert deploy("first") == {"first/audit_pipeline-0.1.0-py3-none-any.whl", "first/glue/job.py"}
    (found,) = aws.client("cloudformation").describe_stacks(StackName="audit-step")["Stacks"]
    given = {each["ParameterKey"]: each["ParameterValue"] for each in found["Parameters"]}
    assert (given["Environment"], given["PermissionsBoundary"]) == ("staging", BOUNDARY)

    assert deploy("second") == {"second/audit_pipeline-0.1.0-py3-none-any.whl", "second/glue/job.py"}
    job = aws.client("glue").get_job(JobName="audit-step")["Job"]
    assert job["Command"]["ScriptLocation"] == "s3://code/second/glue/job.py"
    wheel = "s3://code/second/audit_pipeline-0.1.0-py3-none-any.whl"
    assert job["DefaultArguments"]["--additional-python-modules"].split(",")[0] == wheel
    # what the deployment does not set keeps its value
    answer = aws.client("firehose").describe_delivery_stream(DeliveryStreamName="audit-step")
    (destination,) = answer["DeliveryStreamDescription"]["Destinations"]
    assert int(destination["ExtendedS3DestinationDescription"]["BufferingHints"]["IntervalInSeconds"]) == 60


# -- the page for a newcomer


def test_the_commands_of_the_docs_give_the_settings_of_the_pipeline(
    aws: Emulator, deployed: dict[str, str], tmp_path: Path
) -> None:
    text = (REPOSITORY / "docs" / "operate" / "aws.md").read_text()
    (command,) = re.findall(r"^    (aws cloudformation describe-stacks (?:.*\\\n)*.*)$", text, re.MULTILINE)
    aws.run(["bash", "-ec", command], tmp_path)
    found = Settings(_env_file=tmp_path / "audit.env")
    assert (found.raw_url, found.lake_url) == (deployed["AuditRawUrl"], deployed["AuditLakeUrl"])
    assert (found.database, found.athena_workgroup) == ("audit_logs_db", STACK_NAME)
    assert found.alert_sns_topic_arn == deployed["AuditAlertSnsTopicArn"]
