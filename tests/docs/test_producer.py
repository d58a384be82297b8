"""docs/publish/producer.md: every example runs and its events arrive, and every argument and error is described."""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from audit_pipeline.contract.schema import SCHEMA_FILE
from audit_pipeline.producer import AuditPublisher, errors
from audit_pipeline.producer.asynchronous import AsyncAuditPublisher
from audit_pipeline.producer.entries import DEFAULT_EVENT_BYTES, MAX_EVENT_BYTES
from tests.servers.aws_clients import AWS_VARIABLES
from tests.servers.event_bus import EventBus
from tests.servers.s3 import S3Server, s3_server
from tests.support.paths import DOCS
from tests.support.producer_harness import client

PAGE = (DOCS / "publish" / "producer.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        running.client.create_bucket(Bucket="audit-raw")
        yield running


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[EventBus]:
    monkeypatch.chdir(tmp_path)
    with EventBus() as started:
        for name, value in (AWS_VARIABLES | {"AWS_ENDPOINT_URL_EVENTBRIDGE": started.endpoint}).items():
            monkeypatch.setenv(name, value)
        yield started


def run(code: str) -> None:
    exec(compile(code, "docs/publish/producer.md", "exec"), {"__name__": "example"})


def test_there_are_examples_and_all_are_run() -> None:
    assert len(blocks("python")) == 7
    assert len(blocks("json")) == 1
    assert len(re.findall("^```", PAGE, re.MULTILINE)) == 2 * 8


@pytest.mark.parametrize(
    "code", [c for c in blocks("python") if "ClaimCheck" not in c], ids=lambda code: re.sub(r"\W+", " ", code)[-50:]
)
def test_a_python_example_gets_its_event_to_the_bus(
    code: str, bus: EventBus, capsys: pytest.CaptureFixture[str]
) -> None:
    run(code)
    (detail,) = bus.details
    assert detail["event_id"]
    assert "refused" not in capsys.readouterr().out
    if "redact_fields" in code:
        after = {"password": "[redacted]", "card": {"number": "[redacted]", "name": "Jane"}}
        assert detail["entities"][0]["after"] == after
    if "only_changed" in code:
        assert detail["entities"][0]["after"] == {"status": "Processing"}


def test_the_example_of_a_claim_check_writes_to_the_raw_bucket(
    bus: EventBus, server: S3Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
    (code,) = (c for c in blocks("python") if "ClaimCheck" in c)
    run(code)
    (key,) = server.objects("audit-raw", "raw/eventbridge")
    assert capsys.readouterr().out == f"s3://audit-raw/raw/eventbridge/{key}\n"
    assert not bus.envelopes


def test_the_example_of_the_architecture_gets_its_event_to_the_bus(bus: EventBus) -> None:
    page = (DOCS / "develop" / "architecture.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    run(code)
    assert [detail["action"] for detail in bus.details] == ["Create"]


def test_the_entry_for_other_languages_is_accepted_and_follows_the_contract(bus: EventBus) -> None:
    (text,) = blocks("json")
    answer = client("events", bus.endpoint).put_events(Entries=[json.loads(text)])
    assert answer["FailedEntryCount"] == 0
    jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text())).validate(json.loads(bus.envelopes[0]))


@pytest.mark.parametrize("publisher", [AuditPublisher, AsyncAuditPublisher])
def test_every_argument_is_described_with_its_default(publisher: type) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*?) ?\|$", PAGE, re.MULTILINE))
    for name, parameter in inspect.signature(publisher).parameters.items():
        assert name in rows, name
        if isinstance(parameter.default, int | float):
            assert rows[name] == str(parameter.default), name


def test_every_error_and_limit_is_described() -> None:
    for name in set(errors.__all__) - {"ProducerError", "Undelivered"}:
        assert f"| `{name}` |" in PAGE, name
    assert f"{DEFAULT_EVENT_BYTES:,} bytes on the bus, and {MAX_EVENT_BYTES:,} at most" in PAGE
