"""The examples in ``examples/producer`` run, and what they audit arrives."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.aws_clients import AWS_VARIABLES
from tests.servers.event_bus import EventBus, Fault
from tests.support.paths import REPOSITORY
from tests.support.waiting import HANGS_SECONDS, wait_until

EXAMPLES = REPOSITORY / "examples" / "producer"


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[EventBus]:
    with EventBus() as started:
        for name, value in AWS_VARIABLES.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL_EVENTBRIDGE", started.endpoint)
        monkeypatch.setenv("AUDIT_BUS", started.name)
        monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
        yield started


def run(*arguments: object) -> str:
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, timeout=HANGS_SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout


def changes(bus: EventBus) -> list[tuple[str, Any, Any]]:
    found = []
    for detail in bus.details:
        (change,) = detail["entities"]
        assert change["entity"] == {"id": "500", "name": "Order #500"}
        assert (detail["entity_type"], detail["actor"]) == ("Order", {"type": 1, "name": "jane@example.com"})
        found.append((detail["action"], change.get("before"), change.get("after")))
    return found


def test_sqlalchemy(tmp_path: Path, bus: EventBus) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    run("sqlalchemy_orders.py", url)
    assert run("relay.py", url, "--once") == "3 events sent\n"
    assert changes(bus) == [
        ("Create", None, {"id": 500, "status": "Pending", "total": 99.9}),
        ("Update", {"status": "Pending"}, {"status": "Processing"}),
        ("Delete", {"id": 500, "status": "Processing", "total": 99.9}, None),
    ]
    assert '"total":99.90' in bus.envelopes[0]


def test_django(tmp_path: Path, bus: EventBus) -> None:
    assert run("django_orders.py", tmp_path / "shop.db") == "rolled back, and its event with it\n"
    assert run("relay.py", f"sqlite:///{tmp_path / 'shop.db'}", "--once") == "2 events sent\n"
    assert changes(bus) == [
        ("Update", {"status": "Pending"}, {"status": "Processing"}),
        ("Update", {"status": "Processing"}, {"status": "Shipped"}),
    ]


def test_fastapi(bus: EventBus, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi.testclient import TestClient

    monkeypatch.syspath_prepend(str(EXAMPLES))
    import fastapi_orders

    headers = {"user": "jane@example.com", "request-id": "r-1"}
    with TestClient(fastapi_orders.app) as client:
        bus.fail(Fault(error=(500, "InternalException")))
        assert client.put("/orders/500/status/Processing", headers=headers).status_code == 200
        bus.fail(Fault(entry_code="NotAuthorizedForSourceException"))
        assert client.put("/orders/500/status/Shipped", headers=headers).status_code == 503
        bus.fail()
        with pytest.raises(Exception, match="1 audit events were not delivered"):
            client.__exit__(None, None, None)
    ((action, before, after),) = changes(bus)
    assert (action, before["status"], after["status"]) == ("Update", "Pending", "Processing")
    assert before["card_number"] == after["card_number"] == "[redacted]"
    assert json.loads(bus.envelopes[0])["detail"]["correlation_id"] == "r-1"


def test_the_relay_runs_until_it_is_stopped(tmp_path: Path, bus: EventBus) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    run("sqlalchemy_orders.py", url)
    process = subprocess.Popen([sys.executable, "relay.py", url], cwd=EXAMPLES, env=os.environ)
    wait_until(lambda: len(bus.envelopes) == 3, "three events")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=HANGS_SECONDS) == 0
