"""The outbox: what the application committed reaches the bus, whichever process is killed, and nothing else does."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from audit_pipeline.producer import AuditPublisher, EventBridge, EventBuilder, SetupError
from audit_pipeline.producer.entries import Entry
from audit_pipeline.producer.outbox import OutboxRelay, SqliteOutbox
from audit_pipeline.producer.outbox.sqlalchemy import SqlAlchemyOutbox
from tests.servers.aws_clients import REGION
from tests.servers.event_bus import EventBus, Fault
from tests.servers.postgres import PASSWORD, USER, PostgresServer, postgres  # noqa: F401
from tests.servers.processes import HOST
from tests.support.paths import REPOSITORY
from tests.support.producer_harness import QUICK, bare_aws, bridge, numbers, order  # noqa: F401 - a fixture
from tests.support.waiting import HANGS_SECONDS, wait_until

BUILDER = EventBuilder("shop")


@pytest.fixture
def bus() -> Iterator[EventBus]:
    with EventBus() as started:
        yield started


class AnyOutbox(Protocol):
    def add(self, entry: Entry) -> None: ...
    def pending(self, limit: int) -> Any: ...
    def parked(self) -> Any: ...
    def send_again(self, positions: Any) -> None: ...
    def hold_lease(self, owner: str, seconds: float) -> bool: ...
    def release_lease(self, owner: str) -> None: ...
    def remove(self, positions: Any) -> None: ...
    def park(self, position: int, problem: str) -> None: ...


def through_sqlalchemy(url: str) -> SqlAlchemyOutbox:
    outbox = SqlAlchemyOutbox(create_engine(url))
    outbox.create_tables()
    return outbox


@pytest.fixture(params=["sqlite", "sqlalchemy", "postgresql"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], AnyOutbox]:
    """Opens the same outbox at each call."""
    if request.param == "sqlite":
        return lambda: SqliteOutbox(tmp_path / "app.db")
    if request.param == "sqlalchemy":
        return lambda: through_sqlalchemy(f"sqlite:///{tmp_path / 'app.db'}")
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"outbox_{time.time_ns()}"
    server.create_database(name)
    return lambda: through_sqlalchemy(f"postgresql+psycopg2://{USER}:{quote(PASSWORD, '')}@{HOST}:{server.port}/{name}")


def relay(outbox: Any, bus: EventBus, **options: Any) -> OutboxRelay:
    return OutboxRelay(outbox, bridge(bus), **({"backoff": QUICK, "poll_seconds": 0.02} | options))


def test_what_was_written_is_sent_in_order_and_then_gone(make: Callable[[], AnyOutbox], bus: EventBus) -> None:
    outbox = make()
    entries = [BUILDER.build(order(number % 3, number, after={"text": "é𝄞"})) for number in range(40)]
    for entry in entries:
        outbox.add(entry)
    assert [record.entry for record in outbox.pending(100)] == entries
    assert relay(make(), bus).drain() == 40
    assert [numbers(bus, str(n)) for n in range(3)] == [list(range(n, 40, 3)) for n in range(3)]
    assert {detail["event_id"] for detail in bus.details} == {entry.event_id for entry in entries}
    assert outbox.pending(100) == []
    assert relay(outbox, bus).drain() == 0


def test_faults_delay_an_outbox_and_lose_nothing(make: Callable[[], AnyOutbox], bus: EventBus) -> None:
    outbox = make()
    for number in range(30):
        outbox.add(BUILDER.build(order(number % 5, number)))
    bus.fail(
        Fault(error=(500, "InternalException")),
        Fault(lost_answer=True),
        Fault(entry_code="ThrottlingException"),
        Fault(reset=True),
    )
    assert relay(outbox, bus).drain() == 30
    for entity in range(5):
        assert numbers(bus, str(entity)) == list(range(entity, 30, 5))
    assert len(bus.envelopes) > 30


def test_what_the_bus_refuses_is_parked_with_the_reason_until_it_is_sent_again(
    make: Callable[[], AnyOutbox], bus: EventBus
) -> None:
    outbox = make()
    for number in range(5):
        outbox.add(BUILDER.build(order(number, number)))
    bus.fail(Fault(entry_code="MalformedDetail", entries=lambda entry: '"number":2' in entry["Detail"]))
    assert relay(outbox, bus).drain() == 4
    (parked,) = outbox.parked()
    assert parked.problem == "MalformedDetail: a fault of the test"
    assert relay(outbox, bus).drain() == 0
    outbox.send_again([parked.position])
    assert relay(outbox, bus).drain() == 1
    assert numbers(bus) == [0, 1, 3, 4, 2]
    assert not outbox.parked()


def test_a_relay_without_credentials_says_what_to_set_and_parks_nothing(
    make: Callable[[], AnyOutbox],
    bus: EventBus,
    bare_aws: pytest.MonkeyPatch,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    bare_aws.setenv("AWS_DEFAULT_REGION", REGION)
    bare_aws.setenv("AWS_ENDPOINT_URL_EVENTBRIDGE", bus.endpoint)
    outbox = make()
    for number in range(12):
        outbox.add(BUILDER.build(order(number, number)))
    stuck = OutboxRelay(outbox, EventBridge(bus.name), backoff=QUICK, poll_seconds=0.02)
    with pytest.raises(SetupError, match=r"NoCredentialsError: .* Give this process credentials"):
        stuck.drain()
    stop = threading.Event()
    running = threading.Thread(target=stuck.run, args=(stop,))
    running.start()
    wait_until(
        lambda: "nothing can be sent from this process: NoCredentialsError" in caplog.text, "the error in the log"
    )
    assert len(outbox.pending(100)) == 12
    assert not outbox.parked()
    bare_aws.setenv("AWS_ACCESS_KEY_ID", "test")
    bare_aws.setenv("AWS_SECRET_ACCESS_KEY", "test")
    wait_until(lambda: not outbox.pending(1), "an empty outbox")
    stop.set()
    running.join(HANGS_SECONDS)
    assert sorted(numbers(bus)) == list(range(12))


def test_of_two_relays_one_works_and_the_other_takes_over(make: Callable[[], AnyOutbox], bus: EventBus) -> None:
    outbox = make()
    for number in range(200):
        outbox.add(BUILDER.build(order(number % 7, number)))
    stop = threading.Event()
    relays = [relay(make(), bus) for _ in range(2)]
    threads = [threading.Thread(target=each.run, args=(stop,)) for each in relays]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(numbers(bus)) == 200 and not outbox.pending(1), "an empty outbox")
    outbox.add(BUILDER.build(order(0, 200)))
    wait_until(lambda: not outbox.pending(1), "an empty outbox")
    stop.set()
    for thread in threads:
        thread.join()
    assert len(bus.envelopes) == 201, "none was sent by both"
    for entity in range(7):
        expected = list(range(entity, 200, 7)) + ([200] if entity == 0 else [])
        assert numbers(bus, str(entity)) == expected


def test_a_lease_is_one_relays_until_it_ends_or_is_given_back(make: Callable[[], AnyOutbox]) -> None:
    one, other = make(), make()
    assert one.hold_lease("a", 60)
    assert not other.hold_lease("b", 60)
    assert one.hold_lease("a", 0.01)
    time.sleep(0.02)
    assert other.hold_lease("b", 60)
    assert not one.hold_lease("a", 60)
    other.release_lease("b")
    assert one.hold_lease("a", 60)


# In the caller's transaction


def test_an_event_shares_the_fate_of_the_sqlite_transaction_that_wrote_it(tmp_path: Path, bus: EventBus) -> None:
    outbox = SqliteOutbox(tmp_path / "app.db")
    connection = sqlite3.connect(tmp_path / "app.db")
    connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, number INTEGER)")
    for number in range(10):
        connection.execute("INSERT INTO orders VALUES (?, ?)", (number, number))
        outbox.add(BUILDER.build(order(number, number)), connection)
        (connection.rollback if number % 2 else connection.commit)()
    assert relay(outbox, bus).drain() == 5
    assert (
        numbers(bus) == [kept for (kept,) in connection.execute("SELECT id FROM orders ORDER BY id")] == [0, 2, 4, 6, 8]
    )


def test_an_event_shares_the_fate_of_the_session_that_wrote_it(tmp_path: Path, bus: EventBus) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'app.db'}")
    outbox = SqlAlchemyOutbox(engine)
    outbox.create_tables()
    for number in range(10):
        with Session(engine) as session:
            outbox.add(BUILDER.build(order(number, number)), session)
            if number % 2 == 0:
                session.commit()
    with engine.begin() as connection:
        outbox.add(BUILDER.build(order(10, 10)), connection)
    assert relay(outbox, bus).drain() == 6
    assert numbers(bus) == [0, 2, 4, 6, 8, 10]


def test_a_publisher_keeps_what_it_cannot_send_in_an_outbox(tmp_path: Path, bus: EventBus) -> None:
    outbox = SqliteOutbox(tmp_path / "outbox.db")
    bus.fail(Fault(None, error=(500, "InternalException")))
    shop = AuditPublisher("shop", bridge(bus), backoff=QUICK, close_seconds=0.1, on_undelivered=outbox.keep)
    for number in range(5):
        shop.publish(order(number, number))
    shop.close()
    bus.fail()
    assert relay(outbox, bus).drain() == 5
    assert numbers(bus) == list(range(5))


def test_a_relay_outlives_a_database_that_is_away(
    tmp_path: Path, bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = SqliteOutbox(tmp_path / "app.db")
    outbox.add(BUILDER.build(order(1, 1)))
    (tmp_path / "app.db").rename(tmp_path / "away.db")
    stop = threading.Event()
    thread = threading.Thread(target=relay(outbox, bus).run, args=(stop,))
    thread.start()
    wait_until(lambda: "could not be drained" in caplog.text, "the error in the log")
    (tmp_path / "away.db").replace(tmp_path / "app.db")
    wait_until(lambda: numbers(bus) == [1], "the event")
    stop.set()
    thread.join()


# kill -9

APPLICATION = """
import sqlite3, sys
from pathlib import Path
from tests.support.producer_harness import order
from audit_pipeline.producer import EventBuilder
from audit_pipeline.producer.outbox import SqliteOutbox
outbox, builder = SqliteOutbox(sys.argv[1]), EventBuilder("shop")
connection = sqlite3.connect(sys.argv[1], timeout=30)
number = connection.execute("SELECT coalesce(max(number), -1) FROM orders").fetchone()[0]
while True:
    number += 1
    with connection:
        connection.execute("INSERT INTO orders VALUES (?)", (number,))
        outbox.add(builder.build(order(number % 5, number)), connection)
    print(number, flush=True)
"""

RELAY = """
import sys, threading
from tests.support.producer_harness import QUICK
from audit_pipeline.producer import EventBridge
from audit_pipeline.producer.outbox import OutboxRelay, SqliteOutbox
outbox, bus = SqliteOutbox(sys.argv[1]), EventBridge("audit")
OutboxRelay(outbox, bus, backoff=QUICK, poll_seconds=0.01, lease_seconds=0.5).run(threading.Event())
"""


def start(code: str, database: Path, bus: EventBus) -> "subprocess.Popen[str]":
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "AWS_ENDPOINT_URL_EVENTBRIDGE": bus.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    command = [sys.executable, "-c", code, str(database)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def kill(process: "subprocess.Popen[str]") -> str:
    process.send_signal(signal.SIGKILL)
    output, _ = process.communicate(timeout=HANGS_SECONDS)
    assert process.returncode == -signal.SIGKILL
    return output


def test_kills_of_the_application_and_of_relays_lose_nothing_and_invent_nothing(tmp_path: Path, bus: EventBus) -> None:
    """Three lives of an application, with two relays beside it, of which one is killed each time too."""
    database = tmp_path / "app.db"
    SqliteOutbox(database)
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE orders (number INTEGER PRIMARY KEY)")
    rng = random.Random(3)
    bus.fail(Fault(None, latency=0.005))
    relays = [start(RELAY, database, bus) for _ in range(2)]
    acknowledged: list[int] = []
    for life in range(3):
        application = start(APPLICATION, database, bus)
        assert application.stdout
        acknowledged += [int(application.stdout.readline()) for _ in range(20)]
        time.sleep(rng.uniform(0.1, 0.5))
        acknowledged += map(int, kill(application).split())
        kill(relays[life % 2])
        relays[life % 2] = start(RELAY, database, bus)
    outbox = SqliteOutbox(database)
    wait_until(lambda: not outbox.pending(1), "an empty outbox")
    for process in relays:
        kill(process)
    with sqlite3.connect(database) as connection:
        committed = [number for (number,) in connection.execute("SELECT number FROM orders ORDER BY number")]
    assert set(acknowledged) <= set(committed)
    assert len(committed) > 50
    assert sorted(numbers(bus)) == committed, "what was committed arrived, each once by event_id, and nothing else"
    copies: dict[str, object] = {}
    for detail in bus.details:
        assert copies.setdefault(detail["event_id"], detail) == detail, "copies are equal"


def test_a_relay_killed_between_the_bus_and_the_outbox_sends_again_what_was_sent(tmp_path: Path, bus: EventBus) -> None:
    database = tmp_path / "app.db"
    outbox = SqliteOutbox(database)
    entry = BUILDER.build(order(1, 1))
    outbox.add(entry)
    process = start(RELAY, database, bus)
    bus.targets.append(lambda envelope: process.kill())
    process.wait(timeout=HANGS_SECONDS)
    bus.targets.clear()
    assert [record.entry for record in outbox.pending(10)] == [entry]
    time.sleep(0.5)  # its lease
    assert relay(outbox, bus).drain() == 1
    assert [detail["event_id"] for detail in bus.details] == [entry.event_id] * 2
    first, second = (json.loads(envelope) for envelope in bus.envelopes)
    assert first["detail"] == second["detail"]
    assert first["time"] == second["time"]
    assert first["id"] != second["id"]
