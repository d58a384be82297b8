"""A large event goes to the raw store as an object of its own, and becomes the rows that the bus would have given."""

import gzip
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from audit_pipeline.producer import AuditPublisher, ClaimCheck, DeliveryError, EventBuilder
from audit_pipeline.producer.delivery import Pending, Sender
from audit_pipeline.producer.outbox import OutboxRelay, SqliteOutbox
from audit_pipeline.producer.transport import Accepted, Refused
from audit_pipeline.store.layout import delivery_hour_of
from tests.servers.event_bus import EventBus, Fault
from tests.servers.s3 import S3Server, s3_server
from tests.support.lake import Lake
from tests.support.producer_harness import QUICK, bridge, client, numbers, order

BUCKET = "audit-raw"
LARGE = {"text": "é" * 200_000}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        running.client.create_bucket(Bucket=BUCKET)
        yield running


@pytest.fixture
def bus() -> Iterator[EventBus]:
    with EventBus() as started:
        yield started


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return f"{request.node.name}/raw/eventbridge"


@pytest.fixture
def claim_check(server: S3Server, prefix: str) -> ClaimCheck:
    return ClaimCheck(BUCKET, prefix, lambda: client("s3", server.endpoint))


def test_a_large_event_becomes_the_same_rows_as_by_the_bus(
    server: S3Server, bus: EventBus, claim_check: ClaimCheck, prefix: str, lake: Lake
) -> None:
    before = datetime.now(UTC)
    with AuditPublisher("shop", bridge(bus), claim_check=claim_check, backoff=QUICK) as shop:
        small = shop.publish(order(1, 1))
        large = shop.publish(order(1, 2, after=LARGE))
        shop.publish(order(1, 3))
    assert numbers(bus) == [1, 3]
    (key, data), *others = server.objects(BUCKET, prefix).items()
    assert not others
    assert large.result(0) == f"s3://{BUCKET}/{prefix}/{key}"
    hour = delivery_hour_of(key)
    assert datetime(hour.day.year, hour.day.month, hour.day.day, hour.hour, tzinfo=UTC) in {
        moment.replace(minute=0, second=0, microsecond=0) for moment in (before, datetime.now(UTC))
    }
    lake.first = hour.day
    lake.write(key, data)
    lake.write(f"{key.rsplit('/', 1)[0]}/firehose", "".join(bus.envelopes))
    manifest = lake.run(hour.day)
    assert (manifest.events.read, manifest.events.quarantined, manifest.rows) == (3, 0, 3)
    rows = {row["Id"]: row for row in lake.rows()}
    assert rows[large.event_id]["After"] == json.dumps({"number": 2} | LARGE, ensure_ascii=False, separators=(",", ":"))
    assert set(rows[small.event_id]) == set(rows[large.event_id])


def test_the_same_event_twice_leaves_one_object_and_counts_as_delivered(
    server: S3Server, claim_check: ClaimCheck, prefix: str
) -> None:
    entry = EventBuilder("shop", allow_large=True).build(order(1, 1, after=LARGE))
    first = claim_check.put(entry)
    assert isinstance(first, Accepted)
    key = first.receipt.removeprefix(f"s3://{BUCKET}/")
    written = server.client.head_object(Bucket=BUCKET, Key=key)["LastModified"]
    time.sleep(1.1)
    assert claim_check.put(entry) == first
    assert server.client.head_object(Bucket=BUCKET, Key=key)["LastModified"] == written, "it was not written over"
    (data,) = server.objects(BUCKET, prefix).values()
    assert json.loads(gzip.decompress(data))["detail"]["event_id"] == entry.event_id


def test_a_large_event_keeps_its_place_among_its_entitys_events(
    server: S3Server, bus: EventBus, claim_check: ClaimCheck, prefix: str
) -> None:
    """Nothing is sent after it until the raw store has it."""
    seen: list[tuple[int, int]] = []
    bus.targets.append(
        lambda envelope: seen.append(
            (json.loads(envelope)["detail"]["entities"][0]["after"]["number"], len(server.objects(BUCKET, prefix)))
        )
    )
    with AuditPublisher("shop", bridge(bus), claim_check=claim_check, backoff=QUICK) as shop:
        for number in range(6):
            shop.publish(order(1, number, after=LARGE if number % 3 == 1 else {}))
    assert seen == [(0, 0), (2, 1), (3, 1), (5, 2)]


def test_large_events_go_their_own_way_among_many_others(
    server: S3Server, bus: EventBus, claim_check: ClaimCheck, prefix: str
) -> None:
    bus.fail(Fault(latency=0.3))
    with AuditPublisher("shop", bridge(bus), claim_check=claim_check, backoff=QUICK) as shop:
        for number in range(20):
            shop.publish(order(number, number, after=LARGE if number in (5, 6, 12) else {}))
    assert numbers(bus) == [n for n in range(20) if n not in (5, 6, 12)]
    assert len(server.objects(BUCKET, prefix)) == 3


def test_an_outbox_takes_large_events_too(
    server: S3Server, bus: EventBus, claim_check: ClaimCheck, prefix: str, tmp_path: Any
) -> None:
    outbox = SqliteOutbox(tmp_path / "outbox.db")
    outbox.add(EventBuilder("shop", allow_large=True).build(order(1, 1, after=LARGE)))
    outbox.add(EventBuilder("shop").build(order(1, 2)))
    assert OutboxRelay(outbox, bridge(bus), claim_check=claim_check, backoff=QUICK).drain() == 2
    assert numbers(bus) == [2]
    assert len(server.objects(BUCKET, prefix)) == 1


def test_a_large_event_without_a_claim_check_is_refused_not_sent(bus: EventBus) -> None:
    entry = EventBuilder("shop", allow_large=True).build(order(1, 1, after=LARGE))
    (outcome,) = Sender(bridge(bus)).send([Pending(1, entry)])
    assert isinstance(outcome, Refused)
    assert "no claim check is configured" in outcome.message
    assert not bus.requests


def test_a_raw_store_that_refuses_is_an_error_that_names_the_event(server: S3Server, bus: EventBus) -> None:
    def with_wrong_key() -> Any:
        return client("s3", server.endpoint, secret="wrong")

    shop = AuditPublisher(
        "shop", bridge(bus), claim_check=ClaimCheck(BUCKET, "raw", with_wrong_key), backoff=QUICK, close_seconds=10
    )
    receipt = shop.publish(order(1, 1, after=LARGE))
    with pytest.raises(DeliveryError, match=rf"{receipt.event_id}.*SignatureDoesNotMatch"):
        shop.close()
