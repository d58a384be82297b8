"""The stand-in for Firehose does what is documented of Firehose."""

import gzip
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.servers.aws_clients import aws_client
from tests.servers.fault_proxy import Rule, fault_proxy
from tests.servers.firehose import DeliveryStream, Destination, Faults, FirehoseServer, evaluate_prefix
from tests.servers.s3 import S3Server, s3_server
from tests.support.waiting import wait_until

BUCKET = "raw"
HOURS = "raw/year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}/"
MOMENT = datetime(2026, 5, 1, 23, 59, 58, tzinfo=UTC)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        server.client.create_bucket(Bucket=BUCKET)
        yield server


@pytest.fixture
def firehose(s3: S3Server) -> Iterator[FirehoseServer]:
    with FirehoseServer(s3.client) as server:
        yield server


@pytest.fixture
def client(firehose: FirehoseServer) -> Any:
    return aws_client("firehose", firehose.endpoint)


def configuration(folder: str, **changed: Any) -> dict[str, Any]:
    return {
        "RoleARN": "arn:aws:iam::123456789012:role/firehose",
        "BucketARN": f"arn:aws:s3:::{BUCKET}",
        "Prefix": f"{folder}/{HOURS}",
        "ErrorOutputPrefix": "errors/!{firehose:error-output-type}/",
        "BufferingHints": {"IntervalInSeconds": 60, "SizeInMBs": 1},
        "CompressionFormat": "GZIP",
    } | changed


def objects(s3: S3Server, folder: str) -> dict[str, bytes]:
    return {key: gzip.decompress(data) for key, data in s3.objects(BUCKET, folder).items()}


def batch(*data: bytes) -> list[dict[str, bytes]]:
    return [{"Data": record} for record in data]


@pytest.mark.parametrize(
    ("prefix", "evaluated"),
    [
        ("", "2026/05/01/23/"),
        ("raw/", "raw/2026/05/01/23/"),
        (HOURS, "raw/year=2026/month=05/day=01/hour=23/"),
        ("!{timestamp:yyyy'-'MM-dd_HH-mm-ss}/", "2026-05-01_23-59-58/"),
        ("a/!{timestamp:yyyy}/b", "a/2026/b"),
    ],
)
def test_a_prefix_is_evaluated(prefix: str, evaluated: str) -> None:
    assert evaluate_prefix(prefix, MOMENT) == evaluated


def test_a_random_string_is_another_one_each_time() -> None:
    made = {evaluate_prefix("!{firehose:random-string}/!{timestamp:yyyy}/", MOMENT) for _ in range(5)}
    assert len(made) == 5
    assert all(re.fullmatch(r"[A-Za-z0-9]{11}/2026/", made_string) for made_string in made)


@pytest.mark.parametrize(
    "prefix", ["!{timestamp:qqq}/", "!{firehose:error-output-type}/", "!{partitionKeyFromQuery:a}/"]
)
def test_a_prefix_that_is_not_known_is_refused(client: Any, prefix: str) -> None:
    with pytest.raises(ClientError, match="InvalidArgumentException"):
        client.create_delivery_stream(
            DeliveryStreamName="wrong", ExtendedS3DestinationConfiguration=configuration("wrong", Prefix=prefix)
        )


def test_records_are_joined_without_a_delimiter_by_default(client: Any, firehose: FirehoseServer, s3: S3Server) -> None:
    client.create_delivery_stream(DeliveryStreamName="plain", ExtendedS3DestinationConfiguration=configuration("plain"))
    client.put_record(DeliveryStreamName="plain", Record={"Data": b'{"n":1}'})
    answer = client.put_record_batch(DeliveryStreamName="plain", Records=batch(b'{"n":2}', b'{"n":3}'))
    assert (answer["FailedPutCount"], len(answer["RequestResponses"])) == (0, 2)
    assert s3.objects(BUCKET, "plain") == {}
    firehose.streams["plain"].stop()
    ((key, text),) = objects(s3, "plain").items()
    assert text == b'{"n":1}{"n":2}{"n":3}'
    folder = f"{datetime.now(UTC):raw/year=%Y/month=%m/day=%d}"
    assert re.fullmatch(rf"{folder}/hour=\d\d/plain-1-\d{{4}}(-\d\d){{5}}-[0-9a-f-]{{36}}\.gz", key)


def test_a_delimiter_is_appended_to_each_record_where_one_is_set(
    client: Any, firehose: FirehoseServer, s3: S3Server
) -> None:
    processor = {
        "Type": "AppendDelimiterToRecord",
        "Parameters": [{"ParameterName": "Delimiter", "ParameterValue": "\\n"}],
    }
    client.create_delivery_stream(
        DeliveryStreamName="lines",
        ExtendedS3DestinationConfiguration=configuration(
            "lines", ProcessingConfiguration={"Enabled": True, "Processors": [processor]}
        ),
    )
    client.put_record_batch(DeliveryStreamName="lines", Records=batch(b"1", b"2"))
    firehose.streams["lines"].stop()
    assert list(objects(s3, "lines").values()) == [b"1\n2\n"]


def test_a_configured_extension_replaces_that_of_gzip(firehose: FirehoseServer, s3: S3Server) -> None:
    stream = firehose.add("extended", Destination(BUCKET, f"extended/{HOURS}", is_gzip=True, extension=".json.gz"))
    stream.put(b"1")
    stream.stop()
    (key,) = objects(s3, "extended")
    assert re.search(r"-[0-9a-f]{12}\.json\.gz$", key)


def test_a_buffer_is_written_when_its_time_is_over_under_the_hour_of_its_oldest_record(
    firehose: FirehoseServer, s3: S3Server
) -> None:
    now = [MOMENT.timestamp()]
    stream = firehose.add("time", Destination(BUCKET, f"time/{HOURS}", 60, is_gzip=True), clock=lambda: now[0])
    stream.put(b"a")
    now[0] += 59
    stream.put(b"b")
    time.sleep(0.2)
    assert objects(s3, "time") == {}
    now[0] += 1
    wait_until(lambda: objects(s3, "time"), "the first object")
    stream.put(b"c")
    stream.stop()
    assert {key.rpartition("/")[0]: text for key, text in objects(s3, "time").items()} == {
        "raw/year=2026/month=05/day=01/hour=23": b"ab",
        "raw/year=2026/month=05/day=02/hour=00": b"c",
    }


def test_a_buffer_is_written_before_it_exceeds_its_size(firehose: FirehoseServer, s3: S3Server) -> None:
    stream = firehose.add("size", Destination(BUCKET, f"size/{HOURS}", 60, 10, is_gzip=True))
    for record in (b"12345", b"67890", b"a", b"123456789012"):
        stream.put(record)
    stream.stop()
    assert sorted(objects(s3, "size").values()) == [b"1234567890", b"123456789012", b"a"]


@pytest.mark.parametrize(
    ("records", "code"),
    [
        (batch(*[b"1"] * 501), "ValidationException"),
        (batch(b"1" * 1_024_001), "ValidationException"),
        (batch(*[b"1" * 1_000_000] * 5), "InvalidArgumentException"),
    ],
)
def test_limits_are_those_of_firehose(
    client: Any, firehose: FirehoseServer, records: Sequence[dict[str, bytes]], code: str
) -> None:
    stream = firehose.add("limits", Destination(BUCKET, "limits/"))
    with pytest.raises(ClientError, match=code):
        client.put_record_batch(DeliveryStreamName="limits", Records=records)
    assert stream.is_empty


def test_an_unknown_stream_is_refused(client: Any) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.put_record(DeliveryStreamName="nobody", Record={"Data": b"1"})


def test_an_event_that_is_too_big_for_a_record_goes_to_the_dead_letters(firehose: FirehoseServer) -> None:
    stream = firehose.add("bus", Destination(BUCKET, "bus/"))
    stream.put_event("x" * 1_024_001)
    assert (len(stream.dead_letters), stream.is_empty) == (1, True)


def put_all(client: Any, stream: str, records: Sequence[bytes]) -> None:
    """Send records, and those that were not accepted again."""
    waiting = list(records)
    while waiting:
        response = client.put_record_batch(DeliveryStreamName=stream, Records=batch(*waiting[:500]))
        results = zip(waiting, response["RequestResponses"], strict=False)
        failed = [record for record, result in results if "ErrorCode" in result]
        waiting = [*failed, *waiting[500:]]


def test_under_all_faults_nothing_is_lost_and_the_faults_happen(firehose: FirehoseServer, s3: S3Server) -> None:
    faults = Faults(
        failed_records=0.1, lost_answers=0.3, errors=0.3, duplicates=0.1, repeated_objects=0.3, late_objects=0.3
    )
    stream = firehose.add("faults", Destination(BUCKET, f"faults/{HOURS}", 60, 200, is_gzip=True), faults=faults)
    records = [b"<%d>" % number for number in range(300)]
    put_all(aws_client("firehose", firehose.endpoint, attempts=10), "faults", records)
    stream.stop()
    found = Counter(re.findall(rb"<\d+>", b"".join(objects(s3, "faults").values())))
    assert set(found) == set(records)
    assert found.total() > 1.3 * len(records)


def test_a_late_object_comes_after_those_that_are_younger(firehose: FirehoseServer, s3: S3Server) -> None:
    faults = Faults(late_objects=0.5, late_seconds=0.5)
    stream = firehose.add("late", Destination(BUCKET, f"late/{HOURS}", 60, 1, is_gzip=True), faults=faults)
    records = [b"%d" % number for number in range(10)]
    for record in records:
        stream.put(record)
    stream.put(b"end")
    wait_until(lambda: len(objects(s3, "late")) == 10, "ten objects")
    listed = s3.client.list_objects_v2(Bucket=BUCKET, Prefix="late/")["Contents"]
    written = {key.rpartition("/")[2]: text for key, text in objects(s3, "late").items()}
    by_time = sorted(listed, key=lambda entry: entry["LastModified"])
    order = [written[entry["Key"].rpartition("/")[2]] for entry in by_time]
    assert order != sorted(order)
    assert sorted(order) == records
    stream.stop()


def test_writes_that_fail_are_retried_until_they_succeed(s3: S3Server) -> None:
    with fault_proxy(s3.endpoint) as proxy, FirehoseServer(aws_client("s3", proxy.endpoint)) as firehose:
        stream = firehose.add("outage", Destination(BUCKET, f"outage/{HOURS}", 60, 1, is_gzip=True))
        with proxy.faults(Rule("PutObject", times=4, error=(503, "SlowDown"))):
            for record in (b"a", b"b", b"c"):
                stream.put(record)
            stream.stop()
            assert len(proxy.fired) == 4
    assert sorted(objects(s3, "outage").values()) == [b"a", b"b", b"c"]


def test_a_stream_can_be_described(client: Any, firehose: FirehoseServer) -> None:
    stream: DeliveryStream = firehose.add("described", Destination(BUCKET))
    description = client.describe_delivery_stream(DeliveryStreamName="described")["DeliveryStreamDescription"]
    assert (description["DeliveryStreamARN"], description["DeliveryStreamStatus"]) == (stream.arn, "ACTIVE")
