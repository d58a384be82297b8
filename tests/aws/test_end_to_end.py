"""The whole path through unchanged clients: publish → bus → Firehose → hour folders → Dagster → table → client."""

import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest

from audit_pipeline import AuditLogClient, AuditLogQuery
from audit_pipeline.producer import (
    Actor,
    ActorType,
    AuditEvent,
    AuditPublisher,
    Backoff,
    Entity,
    EntityChange,
    EventBridge,
    Parent,
)
from audit_pipeline.query import AuditLogItem
from audit_pipeline.settings import load_settings
from tests.servers.event_bus import Fault
from tests.servers.firehose import Faults
from tests.support.cli_harness import Commands
from tools.dev_aws import BUS, DevAws, dev_aws

pytestmark = pytest.mark.slow

SOURCES: Final = ("myapp.orderservice", "myapp.billing")
EVENTS_OF_EACH: Final = 5_000
#: Events with a second entity.
EVERY: Final = 10
_FIREHOSE_FAULTS: Final = Faults(duplicates=0.02, repeated_objects=0.2, late_objects=0.2, late_seconds=2)

Change = tuple[str, str, int]


@dataclass(frozen=True)
class Path:
    """What was published, and the whole path that it has gone."""

    aws: DevAws
    commands: Commands
    days: tuple[date, date]


def published(source: str) -> Iterator[AuditEvent]:
    for number in range(EVENTS_OF_EACH):
        order = EntityChange(
            Entity(number % 500, f"Order #{number % 500}"),
            before={"total": Decimal("10.10"), "lines": number, "note": None},
            after={"total": Decimal("10.20"), "lines": number + 1, "note": 'a "quoted" }{ text, é'},
        )
        line = EntityChange(Entity(f"{number}-1", "Line"), after={"quantity": 1}, parent=Parent(number % 500, "Order"))
        yield AuditEvent(
            [order, line] if number % EVERY == 0 else [order],
            entity_type="Order",
            action="Update",
            actor=Actor("jane@example.com", ActorType.USER),
            event_id=f"{source}/{number}",
        )


def changes_expected() -> Counter[Change]:
    return Counter(
        (source, f"{source}/{number}", index)
        for source in SOURCES
        for number in range(EVENTS_OF_EACH)
        for index in range(2 if number % EVERY == 0 else 1)
    )


def faults_of_the_bus() -> list[Fault]:
    chances = random.Random(7)

    def now_and_then(share: float) -> Any:
        return lambda *_: chances.random() < share

    return [
        Fault(times=None, entry_code="ThrottlingException", entries=now_and_then(0.3), only=now_and_then(0.1)),
        Fault(times=None, error=(500, "InternalException"), only=now_and_then(0.03)),
        Fault(times=None, lost_answer=True, only=now_and_then(0.03)),
        Fault(times=None, reset=True, only=now_and_then(0.03)),
    ]


def publish_all(source: str) -> None:
    with AuditPublisher(source, EventBridge(BUS), backoff=Backoff(first=0.01, longest=0.1)) as publisher:
        for event in published(source):
            publisher.publish(event)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("path")
    (folder / "dagster").mkdir()
    first = datetime.now(UTC).date()
    with (
        dev_aws(folder / "aws", buffer_seconds=1, buffer_bytes=200_000, faults=_FIREHOSE_FAULTS) as aws,
        pytest.MonkeyPatch.context() as patch,
    ):
        settings = {"AUDIT_START_DATE": str(first), "AUDIT_WORKERS": "1", "DAGSTER_HOME": str(folder / "dagster")}
        for name, value in {**aws.variables, **settings}.items():
            patch.setenv(name, value)
        aws.bus.fail(*faults_of_the_bus())
        with ThreadPoolExecutor(len(SOURCES)) as pool:
            list(pool.map(publish_all, SOURCES))
        while not aws.stream.is_empty:
            time.sleep(0.05)
        last = datetime.now(UTC).date()
        commands = Commands({})
        commands.shows("materialize", "--from", str(first), "--to", str(last))
        yield Path(aws, commands, (first, last))


@pytest.fixture(scope="module")
def items(path: Path) -> Sequence[AuditLogItem]:
    """All that the client finds, page by page."""
    first, last = path.days
    with AuditLogClient(load_settings()) as client:
        query = AuditLogQuery(from_date=first, to_date=last + timedelta(days=1), sources=list(SOURCES), limit=1000)
        return list(client.iterate(query))


def test_every_change_is_found_once_though_much_of_it_was_sent_and_delivered_twice(
    path: Path, items: Sequence[AuditLogItem]
) -> None:
    assert len(path.aws.bus.envelopes) > len(SOURCES) * EVENTS_OF_EACH  # lost answers were sent again
    assert Counter((item.source, item.id, item.entity_index) for item in items) == changes_expected()


def test_before_and_after_are_what_the_application_said(items: Sequence[AuditLogItem]) -> None:
    for item in items:
        number = int(item.id.rpartition("/")[2])
        if item.entity_index == 0:
            assert item.before == f'{{"total":10.10,"lines":{number},"note":null}}'
            assert item.after == f'{{"total":10.20,"lines":{number + 1},"note":"a \\"quoted\\" }}{{ text, é"}}'
        else:
            assert (item.before, item.after) == (None, '{"quantity":1}')
            assert (item.entity_parent_id, item.entity_parent_name) == (str(number % 500), "Order")


def test_every_event_that_firehose_delivered_is_accounted_for(path: Path) -> None:
    first, last = path.days
    shown = path.commands.shows("status", "--from", str(first), "--to", str(last), "--json")
    days = [json.loads(line) for line in shown.splitlines()]
    events = Counter[str]()
    for day in days:
        events.update(day["events"])
        assert day["raw_changes"] == {"new": 0, "changed": 0, "vanished": 0}
    assert events["kept"] == len(SOURCES) * EVENTS_OF_EACH
    assert events["read"] == events["kept"] + events["duplicate"] + events["deferred"]
    assert events["duplicate"] > 0.1 * events["kept"]
    assert events["quarantined"] == 0
