"""The README: every command works as written on a store like the demo's, and every example in Python runs."""

import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from audit_pipeline.cli.sandbox import Sandbox, environment
from audit_pipeline.engines import run_partition
from audit_pipeline.settings import load_settings
from tests.servers.aws_clients import AWS_VARIABLES
from tests.servers.event_bus import EventBus
from tests.support.cli_harness import Commands
from tests.support.paths import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (audit-pipeline .*?)(?: +#.*)?$", README, re.MULTILINE)
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The settings of a store as the demo makes it, filled by the engine alone: what Dagster adds, no command needs."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    days = [yesterday - timedelta(days=1), yesterday]
    sandbox = Sandbox.prepare(tmp_path_factory.mktemp("readme"), first=days[0], events_per_day=1000, seed=0)
    variables = sandbox.variables()
    Commands(variables).shows("simulate", "--from", str(days[0]), "--to", str(days[1]), "--events-per-day", "1000")
    with environment(variables):
        settings = load_settings()
    for day in days:
        run_partition(settings, day, run_id=str(day))
    return variables


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[EventBus]:
    with EventBus() as started:
        for name, value in (AWS_VARIABLES | {"AWS_ENDPOINT_URL_EVENTBRIDGE": started.endpoint}).items():
            monkeypatch.setenv(name, value)
        yield started


def test_there_are_commands_for_each_reader_and_examples_for_two() -> None:
    assert {shlex.split(command)[1] for command in COMMANDS} == {"history", "quarantine", "query", "sql", "status"}
    assert README.count("audit-pipeline materialize --from … --to …") == 1
    assert len(EXAMPLES) == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_works_as_written_and_shows_what_is_there(command: str, store: dict[str, str]) -> None:
    shown = Commands({**store, "COLUMNS": "150"}).shows(*shlex.split(command)[1:])
    assert re.search(r"\d{4}-\d\d-\d\d|myapp\.", shown)
    assert "no change\n" not in shown
    assert "no row" not in shown


def test_the_example_of_the_client_prints_changes(
    store: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in store.items():
        monkeypatch.setenv(name, value)
    (code,) = (example for example in EXAMPLES if "AuditLogClient" in example)
    exec(compile(code, "README.md", "exec"), {"__name__": "example"})
    assert re.search(r"^\d{4}-\d\d-\d\d .* (Create|Update|Delete) ", capsys.readouterr().out, re.MULTILINE)


def test_the_example_of_the_producer_gets_its_event_to_the_bus(bus: EventBus) -> None:
    (code,) = (example for example in EXAMPLES if "AuditPublisher" in example)
    exec(compile(code, "README.md", "exec"), {"__name__": "example"})
    (detail,) = bus.details
    assert detail["entities"][0]["after"] == {"status": "Paid"}
