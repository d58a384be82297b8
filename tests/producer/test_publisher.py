"""The publisher against a bus that fails: no event is lost, counted twice, or overtaken by its entity's next."""

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from audit_pipeline.producer import (
    Accepted,
    AsyncAuditPublisher,
    AuditPublisher,
    Backoff,
    BufferFullError,
    DeliveryError,
    Entry,
    EventBridge,
    FlushTimeoutError,
    InvalidEventError,
    PublisherClosedError,
    Undelivered,
)
from audit_pipeline.producer.transport import Outcome
from tests.servers.aws_clients import REGION
from tests.servers.event_bus import MAX_BYTES, EventBus, Fault
from tests.support.paths import REPOSITORY
from tests.support.producer_harness import (
    QUICK,
    bare_aws,  # noqa: F401 - a fixture
    bridge,
    client,
    numbers,
    order,
)
from tests.support.waiting import HANGS_SECONDS, wait_until

#: Nothing goes wrong with a request.
NO_FAULT = Fault()


@pytest.fixture
def bus() -> Iterator[EventBus]:
    with EventBus() as started:
        yield started


def publisher(bus: EventBus, **options: Any) -> AuditPublisher:
    return AuditPublisher("shop", bridge(bus), **({"backoff": QUICK} | options))


def put_numbers(request: list[dict[str, Any]]) -> list[int]:
    return [json.loads(entry["Detail"])["entities"][0]["after"]["number"] for entry in request]


def test_the_package_needs_neither_dagster_nor_arrow_nor_pandas() -> None:
    code = "import sys, audit_pipeline.producer, audit_pipeline.producer.outbox; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    roots = {name.split(".")[0] for name in run.stdout.split()}
    assert "boto3" in roots
    assert not roots & {"dagster", "pyarrow", "pandas", "numpy", "duckdb", "sqlalchemy", "pydantic", "obstore"}


# What goes into a request


def test_a_request_has_at_most_ten_entries_and_as_many_as_wait(bus: EventBus) -> None:
    with publisher(bus) as shop, bus.held():
        for number in range(45):
            shop.publish(order(number, number))
    assert max(map(len, bus.requests)) == 10
    assert numbers(bus) == list(range(45))
    assert len(bus.requests) <= 10


def test_a_request_stays_under_the_limit_of_bytes(bus: EventBus) -> None:
    with publisher(bus, max_event_bytes=900 * 1024) as shop, bus.held():
        for number, size in enumerate([10, 600_000, 500_000, 400_000, 90_000, 900_000, 5]):
            shop.publish(order(number, number, after={"text": "x" * size}))
    assert sorted(numbers(bus)) == list(range(7))
    sizes = [sum(len(entry["Detail"]) for entry in request) for request in bus.requests]
    assert max(sizes) < 1_000_000 < MAX_BYTES
    assert len(bus.requests) < 7


def test_two_events_of_an_entity_are_never_in_one_request(bus: EventBus) -> None:
    with publisher(bus) as shop, bus.held():
        for number in range(30):
            shop.publish(order(number % 3, number))
    for request in bus.requests:
        entities = [json.loads(entry["Detail"])["entities"][0]["entity"]["id"] for entry in request]
        assert len(entities) == len(set(entities))
    assert [numbers(bus, str(n)) for n in range(3)] == [list(range(n, 30, 3)) for n in range(3)]


# Faults


def test_only_the_entries_that_failed_are_sent_again_and_byte_for_byte(bus: EventBus) -> None:
    def is_odd(entry: dict[str, Any]) -> bool:
        return put_numbers([entry])[0] % 2 == 1

    bus.fail(NO_FAULT, Fault(entry_code="InternalFailure", entries=is_odd))
    with publisher(bus) as shop, bus.held():
        for number in range(11):
            shop.publish(order(number, number))
    first, second, *again = bus.requests
    assert len(first) + len(second) == 11
    failed = [entry for entry in second if is_odd(entry)]
    assert sorted(entry["Detail"] for request in again for entry in request) == [entry["Detail"] for entry in failed]
    assert len(bus.envelopes) == 11


def test_what_failed_is_not_overtaken_by_its_entitys_next_but_by_others(bus: EventBus) -> None:
    """Order 7's first change fails for as long as the other orders need; its own later changes wait for it."""

    def is_first_of_7(entry: dict[str, Any]) -> bool:
        return put_numbers([entry]) == [700]

    bus.fail(
        Fault(None, entry_code="InternalFailure", entries=is_first_of_7, only=lambda es: any(map(is_first_of_7, es)))
    )
    with publisher(bus) as shop:
        shop.publish(order(7, 700))
        for number in range(20):
            shop.publish(order(number + 100, number))
            shop.publish(order(7, 701 + number))
        wait_until(lambda: len(numbers(bus)) == 20, "the events of the other orders")
        assert not numbers(bus, "7")
        bus.fail()
    assert numbers(bus, "7") == list(range(700, 721))
    assert len(bus.envelopes) == 41


FAULTS = {
    "throttled": Fault(error=(400, "ThrottlingException")),
    "internal": Fault(error=(500, "InternalException")),
    "unavailable": Fault(error=(503, "ServiceUnavailable")),
    "expired": Fault(error=(400, "ExpiredTokenException")),
    "reset": Fault(reset=True),
    "lost answer": Fault(lost_answer=True),
    "entry throttled": Fault(entry_code="ThrottlingException"),
    "entry of a code yet unknown": Fault(entry_code="SomethingNew"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_temporary_failure_is_retried_until_it_has_passed(bus: EventBus, fault: Fault) -> None:
    bus.fail(*[fault] * 3)
    with publisher(bus) as shop:
        receipts = [shop.publish(order(number, number)) for number in range(15)]
    assert Counter(numbers(bus)) == Counter(range(15))
    assert len({detail["event_id"] for detail in bus.details}) == 15
    assert all(receipt.result(0) for receipt in receipts)
    assert len(bus.requests) >= 5


def test_a_bus_that_was_not_there_yet_gets_everything_in_the_end(bus: EventBus) -> None:
    bus.stop()
    with publisher(bus) as shop:
        receipt = shop.publish(order(1, 1))
        with pytest.raises(FlushTimeoutError, match="1 events are still to be sent"):
            shop.flush(0.2)
        with pytest.raises(TimeoutError):
            receipt.result(0)
        bus.start()
        shop.flush(HANGS_SECONDS)
    assert numbers(bus) == [1]


def test_a_storm_of_faults_loses_nothing_and_keeps_the_order_of_each_entity(bus: EventBus) -> None:
    rng = random.Random(7)

    def sometimes(_: object) -> bool:
        return rng.random() < 0.06

    partial = Fault(None, entry_code="InternalFailure", entries=sometimes, only=sometimes)
    lost = replace(FAULTS["lost answer"], times=3)
    bus.fail(lost, partial, *(replace(kind, times=None, only=sometimes) for kind in FAULTS.values()))
    with publisher(bus) as shop:
        threads = [threading.Thread(target=publish_some, args=(shop, thread)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        shop.flush(HANGS_SECONDS)
        bus.fail()
    for thread in range(4):
        for entity in range(5):
            found = numbers(bus, f"{thread}-{entity}")
            assert found == list(range(entity, 100, 5)), "none lost, none before its time"
    assert len(bus.envelopes) > 400, "answers were lost, so some came twice"


def publish_some(shop: AuditPublisher, thread: int) -> None:
    for number in range(100):
        shop.publish(order(f"{thread}-{number % 5}", number))


def test_a_transport_that_returns_nonsense_or_raises_loses_nothing() -> None:
    class Odd:
        def __init__(self) -> None:
            self.answers: list[Any] = [[], ValueError("what?"), [Accepted("1")] * 3, [Accepted("1")]]

        def put(self, entries: Sequence[Entry]) -> Sequence[Outcome]:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer  # type: ignore[no-any-return]

        def reset(self) -> None: ...

    with AuditPublisher("shop", Odd(), backoff=QUICK) as shop:
        assert shop.publish(order(1, 1)).result(HANGS_SECONDS) == "1"


def test_the_waits_grow_differ_and_have_a_limit() -> None:
    backoff = Backoff(first=0.1, longest=5)
    for failures, most in ((1, 0.1), (2, 0.2), (5, 1.6), (7, 5), (1000, 5)):
        waits = [backoff.seconds(failures) for _ in range(500)]
        assert 0 <= min(waits) < 0.1 * most
        assert 0.9 * most < max(waits) <= most


def test_a_bus_that_fails_gets_no_more_requests_for_more_events(bus: EventBus) -> None:
    bus.fail(Fault(None, error=(400, "ThrottlingException")))
    shop = publisher(bus, backoff=Backoff(first=0.2, longest=0.4), close_seconds=0)
    for number in range(200):
        shop.publish(order(number, number))
    wait_until(lambda: bus.requests, "a request")
    time.sleep(1)
    assert len(bus.requests) < 20
    with pytest.raises(DeliveryError, match="200 audit events were not delivered"):
        shop.close()


# What the bus refuses


def test_a_refused_event_is_raised_whole_by_flush_and_the_others_arrive(bus: EventBus) -> None:
    bus.fail(Fault(None, entry_code="NotAuthorizedForDetailTypeException", entries=lambda e: put_numbers([e]) == [3]))
    with publisher(bus) as shop:
        receipts = [shop.publish(order(number, number)) for number in range(8)]
        with pytest.raises(DeliveryError, match=rf"event {receipts[3].event_id} .*NotAuthorized") as caught:
            shop.flush()
        (undelivered,) = caught.value.undelivered
        assert undelivered.entry.event_id == receipts[3].event_id
        with pytest.raises(DeliveryError):
            receipts[3].result(0)
        bus.fail()
        shop.send(undelivered.entry)
    assert numbers(bus) == [0, 1, 2, 4, 5, 6, 7, 3]
    assert bus.details[-1]["event_id"] == receipts[3].event_id


def test_a_request_that_is_refused_as_a_whole_costs_only_the_event_that_is_the_reason(bus: EventBus) -> None:
    bus.fail(Fault(None, error=(400, "ValidationException"), only=lambda some: 5 in put_numbers(some)))
    shop = publisher(bus)
    with bus.held():
        for number in range(12):
            shop.publish(order(number, number))
    with pytest.raises(DeliveryError, match=r"1 audit events were not delivered.*ValidationException"):
        shop.close()
    assert sorted(numbers(bus)) == [n for n in range(12) if n != 5]


def test_a_handler_takes_what_is_refused_and_flush_raises_nothing(bus: EventBus) -> None:
    bus.fail(Fault(entry_code="MalformedDetail"))
    taken: list[Undelivered] = []
    with publisher(bus, on_undelivered=taken.append) as shop:
        receipt = shop.publish(order(1, 1))
        shop.flush()
    assert [(u.entry.event_id, u.code) for u in taken] == [(receipt.event_id, "MalformedDetail")]


def test_a_handler_that_fails_does_not_lose_the_event(bus: EventBus, caplog: pytest.LogCaptureFixture) -> None:
    def handler(undelivered: Undelivered) -> None:
        raise OSError("disk full")

    bus.fail(Fault(entry_code="MalformedDetail"))
    shop = publisher(bus, on_undelivered=handler)
    receipt = shop.publish(order(1, 1))
    with pytest.raises(DeliveryError, match=receipt.event_id):
        shop.close()
    assert f"on_undelivered failed for event {receipt.event_id}" in caplog.text


def test_credentials_that_are_refused_are_an_error(bus: EventBus) -> None:
    bus.fail(Fault(None, error=(400, "AccessDeniedException")))
    shop = publisher(bus)
    receipt = shop.publish(order(1, 1))
    with pytest.raises(DeliveryError, match="AccessDeniedException"):
        receipt.result(HANGS_SECONDS)
    with pytest.raises(DeliveryError, match=receipt.event_id):
        shop.close()


@pytest.mark.parametrize(
    ("variables", "code", "advice"),
    [
        ({}, "NoRegionError", "Set AWS_DEFAULT_REGION"),
        ({"AWS_DEFAULT_REGION": "us east"}, "InvalidRegionError", "Set AWS_DEFAULT_REGION"),
        ({"AWS_DEFAULT_REGION": REGION}, "NoCredentialsError", "Give this process credentials"),
        ({"AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": "x"}, "PartialCredentialsError", "AWS_SECRET_ACCESS_KEY"),
        ({"AWS_PROFILE": "nobody"}, "ProfileNotFound", "Give this process credentials"),
        (
            {"AWS_DEFAULT_REGION": REGION, "AWS_DEFAULTS_MODE": "x"},
            "InvalidDefaultsMode",
            "Fix the configuration of boto3",
        ),
    ],
)
def test_a_process_that_can_send_nothing_gets_an_error_at_once_with_what_to_set(
    variables: dict[str, str],
    code: str,
    advice: str,
    bare_aws: pytest.MonkeyPatch,  # noqa: F811
) -> None:
    for name, value in variables.items():
        bare_aws.setenv(name, value)
    shop = AuditPublisher("shop")
    receipts = [shop.publish(order(number, number)) for number in range(12)]
    with pytest.raises(DeliveryError, match=rf"12 audit events were not delivered.* {code}: .*{advice}"):
        shop.flush(HANGS_SECONDS)
    with pytest.raises(DeliveryError, match=advice):
        receipts[0].result(0)
    shop.close()


def test_an_event_refused_without_credentials_can_be_sent_again_when_they_are_there(
    bus: EventBus,
    bare_aws: pytest.MonkeyPatch,  # noqa: F811
) -> None:
    bare_aws.setenv("AWS_DEFAULT_REGION", REGION)
    bare_aws.setenv("AWS_ENDPOINT_URL_EVENTBRIDGE", bus.endpoint)
    with AuditPublisher("shop", EventBridge(bus.name)) as shop:
        shop.publish(order(1, 1))
        with pytest.raises(DeliveryError, match="NoCredentialsError") as caught:
            shop.flush(HANGS_SECONDS)
        bare_aws.setenv("AWS_ACCESS_KEY_ID", "test")
        bare_aws.setenv("AWS_SECRET_ACCESS_KEY", "test")
        for undelivered in caught.value.undelivered:
            shop.send(undelivered.entry)
    assert numbers(bus) == [1]


# The buffer


def test_a_full_buffer_makes_publish_wait_until_there_is_room(bus: EventBus) -> None:
    bus.fail(Fault(latency=0.4))
    with publisher(bus, buffer_bytes=1000, publish_seconds=None) as shop:
        started = time.monotonic()
        for number in range(20):
            shop.publish(order(number, number))
        assert time.monotonic() - started > 0.3
    assert numbers(bus) == list(range(20))


def test_a_buffer_that_stays_full_is_an_error_that_names_the_event(bus: EventBus) -> None:
    bus.fail(Fault(times=30, error=(500, "InternalException")))
    with publisher(bus, buffer_bytes=1000, publish_seconds=0.1, backoff=Backoff(0.05, 0.05)) as shop:
        taken = 0
        full = pytest.raises(BufferFullError, match=r"event 01.* was not accepted: \d+ events .* wait in the buffer")
        with full:
            while True:
                shop.publish(order(taken, taken))
                taken += 1
        assert taken >= 2
        bus.fail()
    assert numbers(bus) == list(range(taken))


def test_events_that_nobody_takes_fill_the_buffer_and_publish_says_so(bus: EventBus) -> None:
    bus.fail(Fault(None, entry_code="MalformedDetail"))
    shop = publisher(bus, buffer_bytes=1000, publish_seconds=0.1)
    with pytest.raises(BufferFullError, match=r"of which \d+ were refused: flush\(\) says why"):  # noqa: PT012
        while True:
            receipt = shop.publish(order(1, 1))
            with suppress(DeliveryError):
                receipt.result(HANGS_SECONDS)
    with pytest.raises(DeliveryError):
        shop.flush()
    bus.fail()
    shop.publish(order(1, 1))
    shop.close()
    assert numbers(bus) == [1]


def test_an_event_larger_than_the_buffer_goes_through_when_it_is_empty(bus: EventBus) -> None:
    with publisher(bus, buffer_bytes=10) as shop:
        shop.publish(order(1, 1))
        shop.publish(order(2, 2))
    assert numbers(bus) == [1, 2]


# The end


def test_flush_waits_for_what_was_published_before_it_and_not_for_what_comes_after(bus: EventBus) -> None:
    with publisher(bus) as shop:
        shop.publish(order(1, 1))
        shop.flush()
        assert numbers(bus) == [1]
        bus.fail(Fault(None, error=(500, "InternalException"), only=lambda some: 3 in put_numbers(some)))
        shop.publish(order(2, 2))
        shop.flush(HANGS_SECONDS)
        shop.publish(order(3, 3))
        bus.fail()


def test_flush_that_runs_out_of_time_says_why_the_first_event_is_still_there(bus: EventBus) -> None:
    bus.fail(Fault(None, error=(503, "ServiceUnavailable")))
    shop = publisher(bus, close_seconds=0)
    receipt = shop.publish(order(1, 1))
    wait_for_second_attempt(bus)
    with pytest.raises(FlushTimeoutError, match=rf"1 events .* {receipt.event_id} .*: the last .* ServiceUnavailable"):
        shop.flush(0.01)
    with pytest.raises(DeliveryError):
        shop.close()


def test_close_says_of_an_event_that_was_never_sent_that_it_was_not(bus: EventBus) -> None:
    bus.fail(Fault(None, error=(503, "ServiceUnavailable")))
    shop = publisher(bus, close_seconds=0)
    for number in range(2):
        shop.publish(order("the same", number))
    wait_for_second_attempt(bus)
    with pytest.raises(DeliveryError) as caught:
        shop.close()
    first, second = caught.value.undelivered
    assert first.message.endswith("the last attempt ended with ServiceUnavailable: a fault of the test")
    assert second.message.endswith("it has not been sent yet")


def test_close_leaves_nothing_behind_without_saying_so(bus: EventBus) -> None:
    bus.fail(Fault(None, error=(500, "InternalException")))
    shop = publisher(bus, close_seconds=0.1)
    receipts = [shop.publish(order(number, number)) for number in range(5)]
    wait_for_second_attempt(bus)
    with pytest.raises(DeliveryError) as caught:
        shop.close()
    assert [u.entry.event_id for u in caught.value.undelivered] == [receipt.event_id for receipt in receipts]
    assert "it may have arrived; the last attempt ended with InternalException: a fault of the test" in str(
        caught.value
    )
    with pytest.raises(DeliveryError):
        receipts[0].result(0)
    shop.close()
    with pytest.raises(PublisherClosedError, match="was not accepted"):
        shop.publish(order(9, 9))


def wait_for_second_attempt(bus: EventBus) -> None:
    """Then the publisher has recorded how the first ended."""
    wait_until(lambda: len(bus.requests) >= 2, "a second request")


def child(code: str, bus: EventBus, close_seconds: float = HANGS_SECONDS) -> "subprocess.Popen[str]":
    """A process that publishes; ``shop`` is its publisher."""
    start = (
        "import os, sys, time, threading\nfrom tests.support.producer_harness import QUICK, order\n"
        "from audit_pipeline.producer import AuditPublisher, EventBridge\n"
        f"shop = AuditPublisher('shop', EventBridge('audit'), backoff=QUICK, close_seconds={close_seconds})\n"
    )
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "AWS_ENDPOINT_URL_EVENTBRIDGE": bus.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    return subprocess.Popen(
        [sys.executable, "-c", start + code],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_is_in_the_buffer_at_exit_is_sent_before_the_interpreter_ends(bus: EventBus) -> None:
    bus.fail(Fault(latency=0.5), Fault(error=(500, "InternalException")))
    process = child("for n in range(300): shop.publish(order(n, n))", bus)
    _, errors = process.communicate(timeout=HANGS_SECONDS)
    assert process.returncode == 0, errors
    assert sorted(numbers(bus)) == list(range(300))


def test_the_buffer_is_sent_also_when_the_program_ends_with_an_error(bus: EventBus) -> None:
    process = child("shop.publish(order(1, 1))\nraise SystemExit('no')", bus)
    process.communicate(timeout=HANGS_SECONDS)
    assert numbers(bus) == [1]


def test_what_cannot_be_sent_at_exit_is_named(bus: EventBus) -> None:
    bus.fail(Fault(None, error=(500, "InternalException")))
    process = child("print(shop.publish(order(1, 1)).event_id)", bus, close_seconds=0.1)
    output, errors = process.communicate(timeout=HANGS_SECONDS)
    assert f"event {output.strip()} (orderupdated.v1 from shop) is lost at exit" in errors


def test_a_forked_child_has_a_buffer_of_its_own_and_nothing_is_sent_twice(bus: EventBus) -> None:
    bus.fail(Fault(latency=0.3))
    code = (
        "for n in range(50): shop.publish(order(n, n))\n"
        "children = []\n"
        "for c in (1, 2):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        for n in range(50): shop.publish(order(f'{c}-{n}', 100 * c + n))\n"
        "        shop.close()\n"
        "        os._exit(0)\n"
        "    children.append(pid)\n"
        "for n in range(50, 80): shop.publish(order(n, n))\n"
        "codes = [os.waitpid(pid, 0)[1] for pid in children]\n"
        "shop.close()\n"
        "sys.exit(1 if any(codes) else 0)"
    )
    process = child(code, bus)
    _, errors = process.communicate(timeout=HANGS_SECONDS)
    assert process.returncode == 0, errors
    expected = [*range(80), *range(100, 150), *range(200, 250)]
    assert sorted(numbers(bus)) == expected
    assert len(bus.envelopes) == len(expected), "a child sent again what its parent had in the buffer"


# asyncio


def test_the_async_publisher_sends_keeps_order_and_its_receipts_can_be_awaited(bus: EventBus) -> None:
    async def main() -> list[str]:
        async with AsyncAuditPublisher("shop", bridge(bus), backoff=QUICK) as shop:
            receipts = [await shop.publish(order(number % 3, number)) for number in range(30)]
            return list(await asyncio.gather(*receipts))

    bus.fail(Fault(error=(500, "InternalException")))
    assert len(set(asyncio.run(main()))) == 30
    assert [numbers(bus, str(n)) for n in range(3)] == [list(range(n, 30, 3)) for n in range(3)]


def test_the_async_publisher_lets_other_tasks_run_while_the_buffer_is_full(bus: EventBus) -> None:
    async def release_later() -> None:
        for _ in range(5):
            await asyncio.sleep(0.01)
        bus.release()

    async def main() -> None:
        releasing = asyncio.create_task(release_later())
        async with AsyncAuditPublisher("shop", bridge(bus), buffer_bytes=500, publish_seconds=30) as shop:
            for number in range(5):
                await shop.publish(order(number, number))
        await releasing

    with bus.held():
        asyncio.run(main())
    assert numbers(bus) == list(range(5))


def test_a_task_that_is_cancelled_while_it_waits_has_published_nothing(bus: EventBus) -> None:
    async def main() -> None:
        async with AsyncAuditPublisher("shop", bridge(bus), buffer_bytes=10) as shop:
            with bus.held():
                receipt = await shop.publish(order(1, 1))
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(shop.publish(order(2, 2)), 0.1)
                waiting = asyncio.ensure_future(receipt)
                await asyncio.sleep(0)
                waiting.cancel()
            await receipt

    asyncio.run(main())
    assert numbers(bus) == [1]


def test_the_async_publisher_says_when_the_buffer_stays_full(bus: EventBus) -> None:
    async def main() -> None:
        async with AsyncAuditPublisher("shop", bridge(bus), buffer_bytes=10, publish_seconds=0.05) as shop:
            with bus.held():
                await shop.publish(order(1, 1))
                with pytest.raises(BufferFullError):
                    await shop.publish(order(2, 2))
            with pytest.raises(InvalidEventError):
                await shop.publish(order("", 3))

    asyncio.run(main())


# The stand-in itself


@pytest.mark.parametrize("count", [0, 11])
def test_the_bus_of_the_tests_refuses_what_the_real_one_refuses(bus: EventBus, count: int) -> None:
    entry = {"EventBusName": "audit", "Source": "shop", "DetailType": "t", "Detail": "{}"}
    events = client("events", bus.endpoint, parameter_validation=False)
    with pytest.raises(ClientError, match="ValidationException"):
        events.put_events(Entries=[entry] * count)


def test_the_bus_of_the_tests_judges_each_entry(bus: EventBus) -> None:
    good = {"EventBusName": "audit", "Source": "shop", "DetailType": "t", "Detail": '{"a":1.10}'}
    bad = [
        good | {"Detail": "{"},
        good | {"Detail": "[]"},
        good | {"Detail": '{"a":9223372036854775808}'},
        good | {"Source": "aws.ec2"},
        good | {"EventBusName": "other"},
        {"EventBusName": "audit", "Source": "shop", "Detail": "{}"},
    ]
    received: list[str] = []
    bus.targets.append(received.append)
    response = client("events", bus.endpoint).put_events(Entries=[good, *bad, good])
    assert response["FailedEntryCount"] == 6
    assert ["ErrorCode" in result for result in response["Entries"]] == [False, *[True] * 6, False]
    assert received == bus.envelopes
    first, second = map(json.loads, bus.envelopes)
    assert first["id"] != second["id"]
    assert '"detail":{"a":1.10}}' in bus.envelopes[0]
    with pytest.raises(ClientError, match="over the limit"):
        client("events", bus.endpoint).put_events(Entries=[good | {"Detail": f'{{"a":"{"x" * 600_000}"}}'}] * 2)
