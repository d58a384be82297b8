"""``aws/cf.yaml`` as written: where AWS does otherwise than one would think, a test says so; and so for every right.

An emulator forgets much of it (lifecycles, keys, locks): :mod:`tests.aws.test_stack_deploy` deploys, this reads.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final

import pytest

from audit_pipeline.catalog.definition import definitions_of, glue_table_input
from audit_pipeline.settings import Settings
from audit_pipeline.store.layout import delivery_hour_of
from tests.support.aws_tools import lint
from tests.support.paths import REPOSITORY
from tests.support.stack_template import (
    ACCOUNT,
    GITHUB,
    GITHUB_STACK_NAME,
    STACK,
    STACK_NAME,
    Deployed,
    Statement,
    load_template,
)

BUCKETS: Final = ("RawBucket", "LakeBucket", "WorkBucket")
#: What would take evidence along if it went with the stack.
EVIDENCE: Final = ("Key", "RawBucket", "LakeBucket", "Bus", "Archive", "DeadLetterQueue")
#: Where a right is on "*", and why it cannot be on less.
ON_EVERYTHING: Final = {
    ("Key", "kms"): "in the policy of a key, * is the key",
    ("GlueRole", "cloudwatch:PutMetricData"): "metrics have no ARN; the namespace is a condition",
    ("Boundary", "cloudwatch:PutMetricData"): "metrics have no ARN; the namespace is a condition",
    ("DeployRole", "ecr:GetAuthorizationToken"): "a log-in to the registry, not to a repository",
    ("ExecutionRole", "kms:CreateKey"): "a key has no ARN before it is made; its tag is a condition",
    ("ExecutionRole", "kms:ListAliases"): "it lists all, and has no narrower form",
}


@pytest.fixture(scope="module")
def stack() -> Deployed:
    return Deployed(STACK)


@pytest.fixture(scope="module")
def full() -> Deployed:
    """With all that is optional."""
    return Deployed(STACK, CodeBucket="code", AlertEmail="a@example.com", RawObjectLock="COMPLIANCE")


@pytest.fixture(scope="module")
def github() -> Deployed:
    return Deployed(GITHUB, Repository="owner/name", **{"AWS::StackName": GITHUB_STACK_NAME})


# -- the templates


@pytest.mark.parametrize("template", [STACK, GITHUB], ids=lambda path: path.name)
def test_cfn_lint_finds_nothing(template: Any) -> None:
    assert lint("cfn-lint", template) == ""


@pytest.mark.parametrize("template", [STACK, GITHUB], ids=lambda path: path.name)
def test_the_template_is_small_enough_to_be_sent_without_a_bucket(template: Any) -> None:
    assert len(template.read_bytes()) <= 51_200


@pytest.mark.parametrize("template", [STACK, GITHUB], ids=lambda path: path.name)
def test_the_capability_without_names_is_enough_as_nothing_of_iam_has_one(template: Any) -> None:
    for name, each in load_template(template)["Resources"].items():
        assert not {"RoleName", "ManagedPolicyName", "PolicyName"} & each.get("Properties", {}).keys(), name


def test_the_command_needs_no_parameter() -> None:
    assert all("Default" in each for each in load_template(STACK)["Parameters"].values())


def test_the_docs_name_every_parameter_with_its_default() -> None:
    table = (REPOSITORY / "docs" / "operate" / "aws.md").read_text().split("## Parameters")[1].split("## ")[0]
    for name, each in load_template(STACK)["Parameters"].items():
        (line,) = [line for line in table.splitlines() if f"`{name}`" in line]
        default = "10 GB" if name == "BytesScannedCutoff" else str(each["Default"])
        assert default in line or name in ("CodeBucket", "GlueScriptKey", "GlueWheelKey", "GlueWorkers")


def test_there_is_no_lambda_and_nobody_may_call_one(full: Deployed) -> None:
    assert not [each["Type"] for each in full.resources.values() if "Lambda" in each["Type"]]
    assert not [action for each in full.statements() for action in each.actions if action.startswith("lambda:")]


def test_what_can_have_tags_says_its_environment(full: Deployed) -> None:
    untagged = {
        "AWS::Athena::NamedQuery",
        "AWS::Events::Archive",
        "AWS::Events::Rule",
        "AWS::Glue::Database",
        "AWS::Glue::Table",
        "AWS::IAM::ManagedPolicy",
        "AWS::KMS::Alias",
        "AWS::Logs::LogStream",
        "AWS::S3::BucketPolicy",
        "AWS::SNS::Subscription",
        "AWS::SNS::TopicPolicy",
        "AWS::SQS::QueuePolicy",
    }
    for name, each in full.resources.items():
        if each["Type"] not in untagged:
            tags = each["Properties"]["Tags"]
            assert tags in ([{"Key": "Environment", "Value": "production"}], {"Environment": "production"}), name


# -- the table


def settings(outputs: Mapping[str, str]) -> Settings:
    """The settings that the outputs give: their descriptions name them."""
    described = load_template(STACK)["Outputs"]
    names = {name: each["Description"] for name, each in described.items() if name.startswith("Audit")}
    given: dict[str, Any] = {names[name].removeprefix("AUDIT_").lower(): outputs[name] for name in names}
    # the topic's ARN is only known when it is there
    del given["alert_sns_topic_arn"]
    return Settings(_env_file=None, **given)


@pytest.mark.parametrize(
    "parameters", [{}, {"Database": "other_db", "Table": "other", "StartDate": "2026-05-01"}], ids=["default", "other"]
)
def test_the_tables_of_the_stack_are_those_of_the_code(parameters: dict[str, str]) -> None:
    stack = Deployed(STACK, **parameters)
    wanted = [glue_table_input(definition) for definition in definitions_of(settings(stack.outputs))]
    assert [stack.properties(name)["TableInput"] for name in ("LogTable", "QuarantineTable")] == wanted
    assert stack.properties("GlueDatabase")["DatabaseInput"]["Name"] == parameters.get("Database", "audit_logs_db")


def test_the_outputs_are_the_settings_of_the_layout(stack: Deployed) -> None:
    found = settings(stack.outputs)
    assert (found.raw_url, found.lake_url) == ("s3://RawBucket/raw/eventbridge", "s3://LakeBucket/analytics")
    assert (found.database, found.table, found.start_date) == ("audit_logs_db", "auditlog", date(2024, 1, 1))
    assert found.athena_workgroup == "Workgroup"


# -- buckets


@pytest.mark.parametrize("name", BUCKETS)
def test_a_bucket_is_private_encrypted_with_bucket_keys_and_has_one_owner(stack: Deployed, name: str) -> None:
    bucket = stack.properties(name)
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    # without bucket keys each object needs a request to KMS, which costs more than its storage
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"] == [
        {
            "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "Key.Arn"},
            "BucketKeyEnabled": True,
        }
    ]


@pytest.mark.parametrize("name", BUCKETS)
def test_a_bucket_refuses_requests_without_modern_tls(stack: Deployed, name: str) -> None:
    policy = stack.properties(f"{name}Policy")
    assert policy["Bucket"] == name
    conditions = []
    for statement in policy["PolicyDocument"]["Statement"]:
        assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
        assert statement["Resource"] == [f"{name}.Arn", f"{name}.Arn/*"]
        conditions.append(statement["Condition"])
    assert conditions == [
        {"Bool": {"aws:SecureTransport": "false"}},
        {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
    ]


@pytest.mark.parametrize("name", ["RawBucket", "LakeBucket"])
def test_a_bucket_with_evidence_keeps_versions_for_a_while(stack: Deployed, name: str) -> None:
    assert stack.properties(name)["VersioningConfiguration"] == {"Status": "Enabled"}
    rules = lifecycle(stack, name)
    assert rules["old-versions-expire"]["NoncurrentVersionExpiration"]["NoncurrentDays"] >= 30
    assert rules["delete-markers-expire"]["ExpiredObjectDeleteMarker"] is True


@pytest.mark.parametrize("name", BUCKETS)
def test_parts_of_broken_uploads_do_not_stay_forever(stack: Deployed, name: str) -> None:
    assert lifecycle(stack, name)["broken-uploads-expire"] == {
        "Id": "broken-uploads-expire",
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }


def test_only_objects_go_to_glacier_for_which_it_pays_and_need_no_restore(stack: Deployed) -> None:
    rule = lifecycle(stack, "RawBucket")["large-objects-to-glacier"]
    # a transition is 0.02 $ for a thousand; 60 days of Standard less 90 of Instant Retrieval are 0.034 $ a GB
    pays_above = 0.02 / 1000 / (0.023 * 2 - 0.004 * 3) * 1e9
    assert int(rule["ObjectSizeGreaterThan"]) > pays_above
    # below this S3 moves nothing anyway
    assert int(rule["ObjectSizeGreaterThan"]) >= 128 * 1024
    assert rule["Transitions"] == [{"StorageClass": "GLACIER_IR", "TransitionInDays": 30}]


def test_raw_expires_after_90_days_and_nothing_else_does_that_is_evidence(stack: Deployed) -> None:
    expiring = [rule for rule in lifecycle(stack, "RawBucket").values() if "ExpirationInDays" in rule]
    assert [(rule["Prefix"], rule["ExpirationInDays"]) for rule in expiring] == [("raw/", 90)]
    # what Firehose could not deliver lies beside it
    stream = stack.properties("DeliveryStream")["ExtendedS3DestinationConfiguration"]
    assert stream["Prefix"].startswith("raw/")
    assert not stream["ErrorOutputPrefix"].startswith("raw/")
    assert not [rule for rule in lifecycle(stack, "LakeBucket").values() if "ExpirationInDays" in rule]


def test_object_lock_is_off_and_can_be_turned_on_for_raw_alone(stack: Deployed, full: Deployed) -> None:
    assert not [name for name in BUCKETS if "ObjectLockEnabled" in stack.properties(name)]
    locked = [name for name in BUCKETS if "ObjectLockEnabled" in full.properties(name)]
    assert locked == ["RawBucket"], "the table is rebuilt by replacing files"
    assert full.properties("RawBucket")["ObjectLockConfiguration"] == {
        "ObjectLockEnabled": "Enabled",
        "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 90}},
    }


@pytest.mark.parametrize("name", EVIDENCE)
def test_evidence_outlives_the_stack(stack: Deployed, name: str) -> None:
    resource = stack.resources[name]
    # and is not left behind by a first deployment that failed
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


# -- from the bus to S3


def test_the_rule_takes_the_prefix_and_what_stands_below_it_not_what_only_begins_so(stack: Deployed) -> None:
    rule = stack.properties("Rule")
    assert rule["EventBusName"] == "Bus"
    assert rule["State"] == "ENABLED"
    assert rule["EventPattern"] == {"source": ["myapp", {"prefix": "myapp."}]}


def test_what_eventbridge_gives_up_on_lies_in_a_queue_for_14_days(stack: Deployed) -> None:
    (target,) = stack.properties("Rule")["Targets"]
    assert (target["Arn"], target["RoleArn"]) == ("DeliveryStream.Arn", "EventBridgeRole.Arn")
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}
    assert target["DeadLetterConfig"] == {"Arn": "DeadLetterQueue.Arn"}
    queue = stack.properties("DeadLetterQueue")
    assert queue["MessageRetentionPeriod"] == 14 * 86400
    # with a key of ours, EventBridge would need a right to it and could not send without
    assert queue["SqsManagedSseEnabled"] is True
    assert "KmsMasterKeyId" not in queue


def test_only_the_rule_sends_to_the_dead_letter_queue(stack: Deployed) -> None:
    allowed, denied = [each for each in stack.statements() if each.holder == "DeadLetterQueuePolicy"]
    assert (allowed.actions, allowed.resources) == (("sqs:SendMessage",), ("DeadLetterQueue.Arn",))
    assert allowed.principal == {"Service": "events.amazonaws.com"}
    assert allowed.condition == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnEquals": {"aws:SourceArn": "Rule.Arn"},
    }
    assert denied.effect == "Deny"


def test_the_archive_holds_every_event_of_the_bus(stack: Deployed) -> None:
    archive = stack.properties("Archive")
    assert archive["SourceArn"] == "Bus.Arn"
    assert "EventPattern" not in archive
    assert archive["RetentionDays"] == 14


def test_firehose_puts_a_newline_behind_each_record(stack: Deployed) -> None:
    processing = stack.properties("DeliveryStream")["ExtendedS3DestinationConfiguration"]["ProcessingConfiguration"]
    # AWS wants the two characters: a backslash and an n
    assert processing == {
        "Enabled": True,
        "Processors": [
            {
                "Type": "AppendDelimiterToRecord",
                "Parameters": [{"ParameterName": "Delimiter", "ParameterValue": "\\n"}],
            }
        ],
    }


def test_firehose_writes_gzip_into_the_hour_folders_that_the_pipeline_reads(stack: Deployed) -> None:
    stream = stack.properties("DeliveryStream")["ExtendedS3DestinationConfiguration"]
    assert (stream["CompressionFormat"], stream["FileExtension"]) == ("GZIP", ".json.gz")
    assert "DynamicPartitioningConfiguration" not in stream
    assert "CustomTimeZone" not in stream, "hour folders are UTC"
    key = stream["Prefix"]
    for expression, value in {"yyyy": "2026", "MM": "05", "dd": "01", "HH": "15"}.items():
        key = key.replace(f"!{{timestamp:{expression}}}", value)
    raw_url = stack.outputs["AuditRawUrl"].removeprefix(f"s3://{stream['BucketARN'].removesuffix('.Arn')}/")
    hour = delivery_hour_of(f"{key}firehose-1-2026-05-01-15-00-00.json.gz".removeprefix(f"{raw_url}/"))
    assert (hour.day, hour.hour) == (date(2026, 5, 1), 15)


def test_what_firehose_cannot_deliver_lies_outside_of_the_hour_folders(stack: Deployed) -> None:
    stream = stack.properties("DeliveryStream")["ExtendedS3DestinationConfiguration"]
    assert not stream["ErrorOutputPrefix"].startswith("raw/eventbridge/")
    # AWS refuses a prefix with expressions beside an error prefix without this one
    assert "!{firehose:error-output-type}" in stream["ErrorOutputPrefix"]


@pytest.mark.parametrize(
    ("parameters", "hints"),
    [({}, (900, 128)), ({"BufferSeconds": "60", "BufferMegabytes": "5"}, ("60", "5"))],
    ids=["the cheap default", "a minute's"],
)
def test_the_buffer_is_a_parameter(parameters: dict[str, str], hints: tuple[Any, Any]) -> None:
    stream = Deployed(STACK, **parameters).properties("DeliveryStream")["ExtendedS3DestinationConfiguration"]
    assert (stream["BufferingHints"]["IntervalInSeconds"], stream["BufferingHints"]["SizeInMBs"]) == hints


def test_firehose_says_what_went_wrong_where_it_may_write(stack: Deployed) -> None:
    logging = stack.properties("DeliveryStream")["ExtendedS3DestinationConfiguration"]["CloudWatchLoggingOptions"]
    assert logging == {"Enabled": True, "LogGroupName": "DeliveryLogGroup", "LogStreamName": "DeliveryLogStream"}
    group = stack.properties("DeliveryLogGroup")["LogGroupName"]
    stream = stack.properties("DeliveryLogStream")["LogStreamName"]
    (written,) = [each for each in stack.statements() if "logs:PutLogEvents" in each.actions]
    assert written.resources == (f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{group}:log-stream:{stream}",)
    assert stack.properties("DeliveryLogGroup")["RetentionInDays"] == 90


# -- Athena and Glue


def test_the_settings_of_the_workgroup_cannot_be_overridden(stack: Deployed) -> None:
    workgroup = stack.properties("Workgroup")["WorkGroupConfiguration"]
    assert workgroup["EnforceWorkGroupConfiguration"] is True
    assert workgroup["EngineVersion"] == {"SelectedEngineVersion": "Athena engine version 3"}
    assert workgroup["BytesScannedCutoffPerQuery"] >= 10_000_000, "Athena takes no less"
    assert workgroup["ResultConfiguration"] == {
        "OutputLocation": "s3://WorkBucket/athena-results/",
        "ExpectedBucketOwner": ACCOUNT,
        "EncryptionConfiguration": {"EncryptionOption": "SSE_KMS", "KmsKey": "Key.Arn"},
    }


def test_results_of_queries_expire(stack: Deployed) -> None:
    rule = lifecycle(stack, "WorkBucket")["results-expire"]
    assert (rule["Prefix"], rule["ExpirationInDays"]) == ("athena-results/", 7)


def test_there_is_a_glue_job_only_where_there_is_code_for_it(stack: Deployed, full: Deployed) -> None:
    assert full.resources.keys() - stack.resources.keys() >= {"GlueJob", "GlueRole", "GlueFailuresAlarm"}
    assert not [name for name in stack.resources if name.startswith("GlueJob") or name == "GlueRole"]


def test_the_glue_job_costs_two_workers_and_not_the_default_of_ten(full: Deployed) -> None:
    job = full.properties("GlueJob")
    assert (job["WorkerType"], job["NumberOfWorkers"], job["Timeout"]) == ("G.1X", 2, 60)
    assert (job["GlueVersion"], job["Command"]["Name"]) == ("5.1", "glueetl")
    assert job["MaxRetries"] == 0, "Dagster tries again"


def test_the_glue_job_gets_the_settings_by_their_names(full: Deployed) -> None:
    given = full.properties("GlueJob")["DefaultArguments"]
    names = {name.removeprefix("--AUDIT_").lower(): value for name, value in given.items() if "AUDIT_" in name}
    found = Settings(_env_file=None, **names)
    assert definitions_of(found) == definitions_of(settings(full.outputs))
    assert found.raw_url == full.outputs["AuditRawUrl"]


def test_spark_neither_erases_other_days_nor_writes_timestamps_that_athena_misreads(full: Deployed) -> None:
    configured = full.properties("GlueJob")["DefaultArguments"]["--conf"].split(" --conf ")
    assert configured == [
        "spark.sql.sources.partitionOverwriteMode=dynamic",
        "spark.sql.parquet.outputTimestampType=TIMESTAMP_MILLIS",
        "spark.sql.session.timeZone=UTC",
    ]


def test_no_bookmark_hides_objects_from_a_day_that_runs_again(full: Deployed) -> None:
    assert full.properties("GlueJob")["DefaultArguments"]["--job-bookmark-option"] == "job-bookmark-disable"


# -- alarms


@pytest.mark.parametrize(
    ("name", "metric", "dimensions", "breaches"),
    [
        ("DeliveryFreshnessAlarm", "AWS/Firehose DeliveryToS3.DataFreshness", {"DeliveryStreamName"}, "> 3600"),
        ("DeliveryFailuresAlarm", "AWS/Firehose DeliveryToS3.Success", {"DeliveryStreamName"}, "< 1"),
        ("DeliveryThrottledAlarm", "AWS/Firehose ThrottledRecords", {"DeliveryStreamName"}, "> 0"),
        ("DeadLettersAlarm", "AWS/SQS ApproximateNumberOfMessagesVisible", {"QueueName"}, "> 0"),
        ("RuleFailuresAlarm", "AWS/Events FailedInvocations", {"EventBusName", "RuleName"}, "> 0"),
        ("DeadLettersLostAlarm", "AWS/Events InvocationsFailedToBeSentToDlq", {"EventBusName", "RuleName"}, "> 0"),
        # a rule of the default bus has its name alone for a dimension
        ("GlueFailuresAlarm", "AWS/Events Invocations", {"RuleName"}, "> 0"),
    ],
)
def test_an_alarm_watches(full: Deployed, name: str, metric: str, dimensions: set[str], breaches: str) -> None:
    alarm = full.properties(name)
    sign = {"GreaterThanThreshold": ">", "LessThanThreshold": "<"}[alarm["ComparisonOperator"]]
    assert f"{alarm['Namespace']} {alarm['MetricName']}" == metric
    assert {each["Name"] for each in alarm["Dimensions"]} == dimensions
    assert f"{sign} {alarm['Threshold']}" == breaches
    assert alarm["AlarmActions"] == alarm["OKActions"] == ["AlertTopic"]
    # without traffic there is no metric, and a night without events is not an alarm
    assert alarm["TreatMissingData"] == "notBreaching"


def test_the_freshness_alarm_is_not_set_off_by_the_longest_buffer(full: Deployed) -> None:
    longest = load_template(STACK)["Parameters"]["BufferSeconds"]["MaxValue"]
    assert full.properties("DeliveryFreshnessAlarm")["Threshold"] > longest


def test_alarms_reach_the_encrypted_topic(full: Deployed) -> None:
    assert full.properties("AlertTopic")["KmsMasterKeyId"] == "Key.Arn", "with SNS's own key no alarm could publish"
    rights = [each for each in full.statements() if each.principal == {"Service": "cloudwatch.amazonaws.com"}]
    assert {each.holder: each.actions for each in rights} == {
        "Key": ("kms:Decrypt", "kms:GenerateDataKey"),
        "AlertTopicPolicy": ("sns:Publish",),
    }
    for alarm in full.of_type("AWS::CloudWatch::Alarm").values():
        for right in rights:
            prefix = right.condition["ArnLike"]["aws:SourceArn"].removesuffix("*")
            assert f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:{alarm['AlarmName']}".startswith(prefix)


def test_no_rule_publishes_to_the_topic_as_eventbridge_heeds_no_conditions_there(full: Deployed) -> None:
    targets = [target["Arn"] for rule in full.of_type("AWS::Events::Rule").values() for target in rule["Targets"]]
    assert sorted(targets) == ["DeliveryStream.Arn", "GlueFailureQueue.Arn"]


# -- rights


def everything(*stacks: Deployed) -> Iterable[Statement]:
    return [statement for stack in stacks for statement in stack.statements()]


def test_no_right_is_a_wildcard_of_actions(full: Deployed, github: Deployed) -> None:
    for each in everything(full, github):
        if each.effect == "Allow":
            assert not [action for action in each.actions if "*" in action], each


def test_no_right_is_on_everything_where_an_arn_can_stand(full: Deployed, github: Deployed) -> None:
    used = set()
    for each in everything(full, github):
        if each.effect == "Allow" and "*" in each.resources:
            reasons = {(each.holder, action) for action in each.actions}
            keys = (
                reasons if reasons <= ON_EVERYTHING.keys() else {(each.holder, a.split(":")[0]) for a in each.actions}
            )
            assert keys <= ON_EVERYTHING.keys(), each
            used |= keys
    assert used == ON_EVERYTHING.keys(), "a reason that nothing needs any more"


def test_every_statement_says_its_resources_where_it_is_no_trust(full: Deployed, github: Deployed) -> None:
    for each in everything(full, github):
        assert bool(each.resources) is not each.actions[0].startswith("sts:AssumeRole"), each


@pytest.mark.parametrize(
    ("holder", "service", "source"),
    [
        (
            "EventBridgeRole",
            "events",
            f"arn:aws:events:us-east-1:{ACCOUNT}:rule/myapp-eventbus/{STACK_NAME}-to-firehose",
        ),
        ("FirehoseRole", "firehose", f"arn:aws:firehose:us-east-1:{ACCOUNT}:deliverystream/{STACK_NAME}"),
        ("GlueRole", "glue", f"arn:aws:glue:us-east-1:{ACCOUNT}:job/{STACK_NAME}"),
        ("DagsterRole", "ecs-tasks", f"arn:aws:ecs:us-east-1:{ACCOUNT}:*"),
    ],
)
def test_a_service_takes_a_role_only_for_what_is_ours(full: Deployed, holder: str, service: str, source: str) -> None:
    (trust,) = full.properties(holder)["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": f"{service}.amazonaws.com"}
    (arn,) = [value for name, value in trust["Condition"].items() if name.startswith("Arn")]
    assert arn == {"aws:SourceArn": source}
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT}


def test_every_service_is_held_to_this_account(full: Deployed, github: Deployed) -> None:
    for each in everything(full, github):
        if isinstance(each.principal, dict) and "Service" in each.principal:
            assert each.condition["StringEquals"]["aws:SourceAccount"] == ACCOUNT, each
            assert [name for name in each.condition if name.startswith("Arn")], each


def test_the_names_in_the_trusts_are_those_of_the_resources(full: Deployed) -> None:
    assert full.properties("Rule")["Name"] == f"{STACK_NAME}-to-firehose"
    assert full.properties("Bus")["Name"] == "myapp-eventbus"
    assert full.properties("DeliveryStream")["DeliveryStreamName"] == STACK_NAME
    assert full.properties("GlueJob")["Name"] == STACK_NAME


def test_raw_is_written_by_firehose_alone_and_deleted_by_nobody(full: Deployed) -> None:
    writing = [
        (each.holder, action)
        for each in full.statements()
        for action in each.actions
        if each.effect == "Allow" and action.startswith(("s3:Put", "s3:Delete")) and "RawBucket" in str(each.resources)
    ]
    assert writing == [("FirehoseRole", "s3:PutObject")]


def test_nobody_deletes_versions_or_shortens_locks(full: Deployed, github: Deployed) -> None:
    forbidden = {"s3:DeleteObjectVersion", "s3:BypassGovernanceRetention", "s3:PutObjectRetention"}
    assert not [each for each in everything(full, github) if each.effect == "Allow" and forbidden & {*each.actions}]


def test_producers_publish_on_this_bus_only_what_the_rule_takes(stack: Deployed) -> None:
    (right,) = [each for each in stack.statements() if each.holder == "ProducerPolicy"]
    assert (right.actions, right.resources) == (("events:PutEvents",), ("Bus.Arn",))
    # an event of another source would be dropped silently
    assert right.condition == {
        "ForAllValues:StringLike": {"events:source": ["myapp", "myapp.*"]},
        "Null": {"events:source": "false"},
    }


def test_readers_see_the_table_and_its_manifests_and_not_raw_or_the_quarantine(stack: Deployed) -> None:
    rights = [each for each in stack.statements() if each.holder == "ReaderPolicy"]
    objects = [path for each in rights if "s3:GetObject" in each.actions for path in each.resources]
    assert objects == [
        "LakeBucket.Arn/analytics/auditlog_parquet/*",
        "LakeBucket.Arn/analytics/auditlog_manifest/*",
        "WorkBucket.Arn/athena-results/*",
    ]
    assert not [each for each in rights if "RawBucket" in str(each)]
    assert not [each for each in rights if "quarantine" in str(each)]


def test_the_code_location_has_what_the_program_calls_and_no_more(stack: Deployed) -> None:
    role = stack.properties("DagsterRole")
    assert role["ManagedPolicyArns"] == ["TransformPolicy", "ReaderPolicy", "DagsterPolicy"]
    rights = [each for each in stack.statements() if each.holder in role["ManagedPolicyArns"]]
    lake = [each.actions for each in rights if each.resources == ("LakeBucket.Arn/analytics/*",)]
    assert lake == [("s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject")]
    # docs/operate/deploy.md lists also CreateDatabase and CreateTable: here the stack has made them
    glue = {action for each in rights for action in each.actions if action.startswith("glue:")}
    assert glue == {
        "glue:BatchStopJobRun",
        "glue:GetDatabase",
        "glue:GetJobRun",
        "glue:GetJobRuns",
        "glue:GetPartitions",
        "glue:GetTable",
        "glue:StartJobRun",
        "glue:UpdateTable",
    }


def test_a_missing_object_is_404_to_the_program_and_not_403(stack: Deployed) -> None:
    listing = [
        each for each in stack.statements() if each.holder == "TransformPolicy" and "s3:ListBucket" in each.actions
    ]
    # it reads manifests and locks that may be missing; with a condition on the prefix, S3 returns 403
    assert [(each.resources, each.condition) for each in listing] == [(("RawBucket.Arn", "LakeBucket.Arn"), {})]


def test_the_key_is_used_through_s3_and_sns_only_and_cannot_be_locked_out(stack: Deployed) -> None:
    administration, use, _ = [each for each in stack.statements() if each.holder == "Key"]
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert administration.principal == use.principal == root
    assert {"kms:PutKeyPolicy", "kms:ScheduleKeyDeletion"} <= {*administration.actions}
    assert not {"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"} & {*administration.actions}
    assert use.condition["StringEquals"]["kms:ViaService"] == [
        "s3.us-east-1.amazonaws.com",
        "sns.us-east-1.amazonaws.com",
    ]
    assert stack.properties("Key")["EnableKeyRotation"] is True


def test_who_uses_the_key_does_so_for_named_buckets_or_the_topic(full: Deployed) -> None:
    for each in full.statements():
        if each.resources == ("Key.Arn",):
            via = each.condition["StringEquals"]["kms:ViaService"]
            if via.startswith("s3."):
                # with bucket keys it is the bucket's ARN that S3 names, without them the object's
                bucket, objects = each.condition["StringLike"]["kms:EncryptionContext:aws:s3:arn"]
                assert objects == f"{bucket}/*"
            else:
                assert via == "sns.us-east-1.amazonaws.com"


# -- the deployment from GitHub


@pytest.mark.parametrize(("role", "environment"), [("DeployRole", "production"), ("PreviewRole", "production-preview")])
def test_a_role_is_for_one_repository_and_one_environment(github: Deployed, role: str, environment: str) -> None:
    (trust,) = github.properties(role)["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert trust["Principal"] == {"Federated": "OidcProvider"}
    assert trust["Condition"] == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": f"repo:owner/name:environment:{environment}",
        }
    }


def test_the_provider_is_made_or_given() -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
    given = Deployed(GITHUB, Repository="owner/name", OidcProviderArn=arn)
    assert "OidcProvider" not in given.resources
    (trust,) = given.properties("DeployRole")["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Federated": arn}
    made = Deployed(GITHUB, Repository="owner/name").properties("OidcProvider")
    assert made == {"Url": "https://token.actions.githubusercontent.com", "ClientIdList": ["sts.amazonaws.com"]}


def test_a_pull_request_looks_and_changes_nothing(github: Deployed) -> None:
    actions = {a for each in github.statements() if each.holder == "PreviewRole" for a in each.actions}
    assert actions == {
        "sts:AssumeRoleWithWebIdentity",
        "cloudformation:CreateChangeSet",
        "cloudformation:DeleteChangeSet",
        "cloudformation:DescribeChangeSet",
        "cloudformation:DescribeStacks",
    }


def test_a_deployment_is_one_stack_by_the_execution_role_and_imports_nothing(github: Deployed) -> None:
    rights = [each for each in github.statements() if each.holder == "DeployRole"]
    (create,) = [each for each in rights if "cloudformation:CreateChangeSet" in each.actions]
    assert create.resources == (f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/{STACK_NAME}/*",)
    assert create.condition == {
        "ArnEquals": {"cloudformation:RoleArn": "ExecutionRole.Arn"},
        "Null": {"cloudformation:ImportResourceTypes": "true"},
    }
    (passed,) = [each for each in rights if "iam:PassRole" in each.actions]
    assert passed.resources == ("ExecutionRole.Arn",)
    assert passed.condition == {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}}


def test_the_execution_role_makes_no_role_without_the_boundary(github: Deployed) -> None:
    for each in github.statements():
        if each.holder == "ExecutionRole" and {"iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy"} & {
            *each.actions
        }:
            assert each.condition == {"StringEquals": {"iam:PermissionsBoundary": "Boundary"}}
    assert not [each for each in github.statements() if "iam:DeleteRolePermissionsBoundary" in each.actions]


def test_the_execution_role_cannot_change_itself_the_deploy_role_or_the_boundary(github: Deployed) -> None:
    (denied,) = [each for each in github.statements() if each.holder == "ExecutionRole" and each.effect == "Deny"]
    assert denied.actions == ("iam:*",)
    prefix = f"arn:aws:iam::{ACCOUNT}"
    assert denied.resources == (f"{prefix}:role/{GITHUB_STACK_NAME}-*", f"{prefix}:policy/{GITHUB_STACK_NAME}-*")


def test_the_execution_role_sees_no_evidence(github: Deployed) -> None:
    actions = {a for each in github.statements() if each.holder == "ExecutionRole" for a in each.actions}
    assert not actions & {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "kms:Decrypt", "sqs:ReceiveMessage"}


def test_the_execution_role_can_make_every_type_of_the_stack(full: Deployed, github: Deployed) -> None:
    services = {"KinesisFirehose": "firehose"}
    wanted = {
        (kind := each["Type"].split("::")[1], services.get(kind, kind.lower())) for each in full.resources.values()
    }
    rights = [each for each in github.statements() if each.holder == "ExecutionRole" and each.effect == "Allow"]
    granted = {action.split(":")[0] for each in rights for action in each.actions}
    assert {service for _, service in wanted} <= granted


def test_the_boundary_lets_the_roles_do_what_they_are_for(full: Deployed, github: Deployed) -> None:
    limit = {action for each in github.statements() if each.holder == "Boundary" for action in each.actions}
    policies = {"TransformPolicy", "ReaderPolicy", "DagsterPolicy"}
    held = [each for each in full.statements() if each.kind == "AWS::IAM::Role" or each.holder in policies]
    needed = {action for each in held for action in each.actions if action != "sts:AssumeRole"}
    assert needed <= limit


def test_every_role_of_the_stack_takes_the_boundary() -> None:
    bounded = Deployed(STACK, CodeBucket="code", PermissionsBoundary="arn:of:boundary")
    roles = bounded.of_type("AWS::IAM::Role")
    assert {each["PermissionsBoundary"] for each in roles.values()} == {"arn:of:boundary"}
    assert not [each for each in Deployed(STACK).of_type("AWS::IAM::Role").values() if "PermissionsBoundary" in each]


def test_an_image_stays_what_its_tag_named(github: Deployed) -> None:
    assert github.properties("Images")["ImageTagMutability"] == "IMMUTABLE"


def lifecycle(stack: Deployed, bucket: str) -> dict[str, dict[str, Any]]:
    rules = stack.properties(bucket)["LifecycleConfiguration"]["Rules"]
    assert {rule["Status"] for rule in rules} == {"Enabled"}
    return {rule["Id"]: rule for rule in rules}
