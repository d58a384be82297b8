"""How alerts get to where they go, and that a dead channel neither loses one nor keeps it from the others."""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import msgspec
import pytest
from dagster_slack import SlackResource
from moto.server import ThreadedMotoServer
from slack_sdk import WebClient

from audit_pipeline.orchestration.alerts import Alert, channels, delivery, sensor
from audit_pipeline.orchestration.alerts.channels import (
    ChannelError,
    FileChannel,
    LogChannel,
    RefusedError,
    SlackChannel,
    SnsChannel,
    WebhookChannel,
)
from audit_pipeline.orchestration.alerts.delivery import deliver
from audit_pipeline.orchestration.alerts.state import Undelivered, decode
from audit_pipeline.settings import load_settings
from tests.support.alerts_harness import EARLY, Watch

TOKEN = "xoxb-the-token"
SECRET_PATH = "/services/the-secret-path"
LOG = logging.getLogger("channels-under-test")


def alert(name: str = "a", **changed: Any) -> Alert:
    made = Alert(
        id=f"id-{name}",
        finding=f"finding-{name}",
        kind="failed_check",
        severity="error",
        status="open",
        partition="2026-05-01",
        title=f"Check {name} failed for 2026-05-01",
        text=f"Check {name} failed:\n20 <rows> & more",
        what_to_do="Look at the rows.",
        at=datetime(2026, 5, 2, 3, tzinfo=UTC),
    )
    return msgspec.structs.replace(made, **changed)


# --- stand-ins -------------------------------------------------------------------------------------------------------


@dataclass
class Receiver:
    """An HTTP server for the webhook and for Slack. ``status`` by path; ``pause``: seconds before an answer."""

    port: int
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    status: dict[str, int] = field(default_factory=dict)
    slack_error: str | None = None
    pause: float = 0
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _Handler)
        self._server.daemon_threads = True
        self._server.receiver = self  # type: ignore[attr-defined]
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def alerts(self) -> list[Alert]:
        """That the webhook took."""
        return [msgspec.convert(body, Alert) for path, _, body in self.requests if path == SECRET_PATH]

    def slack_titles(self) -> list[str]:
        return [body["text"] for path, _, body in self.requests if path == "/api/chat.postMessage"]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        receiver: Receiver = self.server.receiver  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(receiver.pause)
        status = receiver.status.get(self.path, 200)
        answer: dict[str, Any] = {"ok": True}
        if self.path.startswith("/api") and receiver.slack_error:
            answer = {"ok": False, "error": receiver.slack_error}
        if status < 300 and answer["ok"]:
            receiver.requests.append((self.path, dict(self.headers.items()), json.loads(body)))
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        if 300 <= status < 400:
            self.send_header("Location", f"{receiver.url}/elsewhere")
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver(0)
    made.start()
    yield made
    made.stop()


@dataclass(frozen=True)
class Topic:
    """An SNS topic on moto, with a queue that takes all its messages."""

    endpoint: str
    arn: str
    queue: Any
    queue_url: str

    def messages(self) -> list[dict[str, Any]]:
        """Those that came since the last time."""
        found: list[dict[str, Any]] = []
        while True:
            received = self.queue.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10)
            for message in received.get("Messages", []):
                found.append(json.loads(message["Body"]))
                self.queue.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
            if not received.get("Messages"):
                return found


@pytest.fixture(scope="module")
def moto_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def topic(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Topic:
    aws = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "the-aws-secret", "AWS_ENDPOINT_URL": moto_endpoint}
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    # the topic's ARN names its region
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    queue = boto3.client("sqs", region_name="eu-central-1")
    sns = boto3.client("sns", region_name="eu-central-1")
    name = f"alerts-{uuid4().hex}"
    url = queue.create_queue(QueueName=name)["QueueUrl"]
    arn = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=f"arn:aws:sqs:eu-central-1:123456789012:{name}")
    return Topic(moto_endpoint, arn, queue, url)


@pytest.fixture
def everywhere(watch: Watch, topic: Topic, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """A watch with all channels set up."""
    slack_at(receiver, monkeypatch)
    named = {
        "SNS_TOPIC_ARN": topic.arn,
        "SLACK_TOKEN": TOKEN,
        "SLACK_CHANNEL": "#audit",
        "WEBHOOK_URL": f"{receiver.url}{SECRET_PATH}",
    }
    for name, value in named.items():
        monkeypatch.setenv(f"AUDIT_ALERT_{name}", value)
    return watch


def slack_at(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    def client_of(slack: SlackResource) -> WebClient:
        return WebClient(slack.token, base_url=f"{receiver.url}/api/")

    monkeypatch.setattr(SlackResource, "get_client", client_of)


def undelivered(watch: Watch) -> dict[str, int]:
    assert watch.cursor is not None
    shown: dict[str, int] = msgspec.json.decode(watch.cursor)["undelivered"]
    return shown


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- each channel ----------------------------------------------------------------------------------------------------


def test_every_channel_gets_an_alert_once(
    everywhere: Watch, topic: Topic, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    everywhere.evaluate()
    (filed,) = everywhere.tick()
    assert receiver.alerts() == [filed]
    assert receiver.slack_titles() == [filed.title]
    (message,) = topic.messages()
    assert message["MessageAttributes"]["id"]["Value"] == filed.id
    assert caplog.text.count(filed.title) == 1
    everywhere.tick()
    assert (len(everywhere.sent()), len(receiver.requests), topic.messages()) == (1, 2, [])


def test_sns_gets_a_subject_a_text_and_attributes_to_filter_by(topic: Topic) -> None:
    SnsChannel(topic.arn).send(alert(title="Prüfung\nnicht bestanden " + "x" * 200, partition=None))
    (message,) = topic.messages()
    assert message["Subject"].startswith("ERROR: Pr?fung nicht bestanden xxx")
    assert len(message["Subject"]) == 100
    assert message["Message"].splitlines()[:3] == [
        "Check a failed:",
        "20 <rows> & more",
        "What to do: Look at the rows.",
    ]
    attributes = {name: value["Value"] for name, value in message["MessageAttributes"].items()}
    assert attributes == {"id": "id-a", "kind": "failed_check", "severity": "error", "status": "open"}


def test_sns_says_what_is_wrong_with_a_topic(topic: Topic) -> None:
    with pytest.raises(RefusedError, match="NotFound"):
        SnsChannel(f"{topic.arn}-that-is-none").send(alert())


def test_slack_gets_what_happened_and_what_to_do(receiver: Receiver) -> None:
    def new_client() -> WebClient:
        return WebClient(TOKEN, base_url=f"{receiver.url}/api/")

    SlackChannel(new_client, "#audit").send(alert())
    SlackChannel(new_client, "#audit").send(alert(status="recovered", text="x" * 10_000))
    (_, headers, body), (_, _, recovered) = receiver.requests
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert body["channel"] == "#audit"
    shown = [block["text"]["text"] for block in body["blocks"][:3]]
    assert shown == [
        ":red_circle: *Check a failed for 2026-05-01*",
        "Check a failed:\n20 &lt;rows&gt; &amp; more",
        "*What to do:* Look at the rows.",
    ]
    assert recovered["blocks"][0]["text"]["text"].startswith(":large_green_circle:")
    assert len(recovered["blocks"][1]["text"]["text"]) == 3000  # Slack refuses more


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (200, "channel_not_found", RefusedError),
        (200, "msg_too_long", RefusedError),
        (429, "ratelimited", ChannelError),
        (503, "service_unavailable", ChannelError),
    ],
)
def test_slack_that_does_not_take_it_says_why(
    receiver: Receiver, status: int, code: str, kind: type[ChannelError]
) -> None:
    receiver.status["/api/chat.postMessage"] = status
    receiver.slack_error = code
    channel = SlackChannel(lambda: WebClient(TOKEN, base_url=f"{receiver.url}/api/"), "#audit")
    with pytest.raises(ChannelError, match=f"Slack answered {status}, {code}") as failed:
        channel.send(alert())
    assert type(failed.value) is kind


def test_the_webhook_gets_the_alert_as_json_with_a_key_to_drop_repeats_by(receiver: Receiver) -> None:
    WebhookChannel(f"{receiver.url}{SECRET_PATH}").send(alert())
    ((_, headers, body),) = receiver.requests
    assert (headers["Idempotency-Key"], headers["Content-Type"]) == ("id-a", "application/json")
    assert body["at"] == "2026-05-02T03:00:00Z"
    assert msgspec.convert(body, Alert) == alert()


@pytest.mark.parametrize("status", [200, 202, 204])
def test_any_2xx_of_the_webhook_is_an_arrival(receiver: Receiver, status: int) -> None:
    receiver.status[SECRET_PATH] = status
    WebhookChannel(f"{receiver.url}{SECRET_PATH}").send(alert())


@pytest.mark.parametrize(
    ("status", "kind"),
    [(302, ChannelError), (307, ChannelError), (400, RefusedError), (429, ChannelError), (500, ChannelError)],
)
def test_any_other_answer_of_the_webhook_is_none(receiver: Receiver, status: int, kind: type[ChannelError]) -> None:
    receiver.status[SECRET_PATH] = status
    with pytest.raises(ChannelError, match=f"answered {status}") as failed:
        WebhookChannel(f"{receiver.url}{SECRET_PATH}").send(alert())
    assert type(failed.value) is kind
    assert receiver.requests == []


def test_a_webhook_that_does_not_answer_is_given_up(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "_SECONDS", 0.4)
    receiver.pause = 2
    began = time.monotonic()
    with pytest.raises(ChannelError, match=r"^cannot reach the webhook \(ReadTimeout\)$"):
        WebhookChannel(f"{receiver.url}{SECRET_PATH}").send(alert())
    assert time.monotonic() - began < 1.5


def test_slack_that_does_not_answer_is_given_up(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "_SECONDS", 1)
    receiver.pause = 3
    began = time.monotonic()
    with pytest.raises(ChannelError, match=r"^cannot reach Slack \("):
        SlackChannel(lambda: WebClient(TOKEN, base_url=f"{receiver.url}/api/"), "#audit").send(alert())
    assert time.monotonic() - began < 2.5


def test_the_log_has_a_level_for_each_severity(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for severity in ("info", "warn", "error"):
            LogChannel(LOG).send(alert(severity=severity))
        LogChannel(LOG).send(alert(status="recovered"))
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "ERROR", "INFO"]


# --- the file --------------------------------------------------------------------------------------------------------


def test_the_file_has_a_line_an_alert_and_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "not" / "yet" / "alerts.jsonl"
    for name in "ab":
        FileChannel(path).send(alert(name, text="two\nlines"))
    assert [msgspec.json.decode(line, type=Alert).id for line in path.read_bytes().splitlines()] == ["id-a", "id-b"]


def test_after_a_line_that_was_cut_off_a_new_one_begins(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(b'{"id": "cut o')
    FileChannel(path).send(alert())
    cut, whole = path.read_bytes().splitlines()
    assert cut == b'{"id": "cut o'
    assert msgspec.json.decode(whole, type=Alert) == alert()


@pytest.mark.parametrize("problem", ["folder", "parent", "full"])
def test_a_file_that_cannot_be_written_says_why(tmp_path: Path, problem: str) -> None:
    if problem == "folder":
        path, said = tmp_path, "Is a directory"
    elif problem == "parent":
        (tmp_path / "file").write_bytes(b"")
        path, said = tmp_path / "file" / "alerts.jsonl", "Not a directory|File exists"
    else:
        path, said = Path("/dev/full"), "No space left on device"
    with pytest.raises(ChannelError, match=said):
        FileChannel(path).send(alert())


def test_the_alert_file_can_be_elsewhere(watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIT_ALERT_FILE", str(tmp_path / "elsewhere.jsonl"))
    watch.evaluate()
    watch.tick()
    assert len((tmp_path / "elsewhere.jsonl").read_bytes().splitlines()) == 1


def test_without_dagster_home_the_file_is_in_the_folder_of_the_instance(
    watch: Watch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DAGSTER_HOME")
    watch.evaluate()
    assert len(watch.tick()) == 1


# --- dead channels ---------------------------------------------------------------------------------------------------


def test_a_dead_webhook_gets_exactly_what_it_missed_in_order_and_the_others_at_once(
    everywhere: Watch, topic: Topic, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = Receiver(free_port())
    monkeypatch.setenv("AUDIT_ALERT_WEBHOOK_URL", f"{hook.url}{SECRET_PATH}")
    for n in range(3):
        everywhere.evaluate(f"check_{n}")
        everywhere.tick()
    assert (len(everywhere.sent()), len(receiver.slack_titles()), len(topic.messages())) == (3, 3, 3)
    assert undelivered(everywhere) == {"webhook": 3}
    hook.start()
    everywhere.evaluate("check_3")
    everywhere.tick()
    assert hook.alerts() == everywhere.sent()
    everywhere.tick()
    assert (len(hook.alerts()), len(receiver.slack_titles()), len(topic.messages())) == (4, 4, 1)
    assert undelivered(everywhere) == {}
    hook.stop()


def test_a_dead_slack_gets_exactly_what_it_missed(everywhere: Watch, receiver: Receiver) -> None:
    receiver.status["/api/chat.postMessage"] = 500
    for n in range(2):
        everywhere.evaluate(f"check_{n}")
        everywhere.tick()
    assert (receiver.slack_titles(), len(receiver.alerts())) == ([], 2)
    receiver.status.clear()
    everywhere.tick()
    assert receiver.slack_titles() == [filed.title for filed in everywhere.sent()]


def test_a_dead_sns_gets_exactly_what_it_missed(
    everywhere: Watch, topic: Topic, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    for n in range(2):
        everywhere.evaluate(f"check_{n}")
        everywhere.tick()
    assert (len(receiver.slack_titles()), len(receiver.alerts())) == (2, 2)
    monkeypatch.setenv("AWS_ENDPOINT_URL", topic.endpoint)
    everywhere.tick()
    ids = [message["MessageAttributes"]["id"]["Value"] for message in topic.messages()]
    assert ids == [filed.id for filed in everywhere.sent()]


def test_a_folder_in_the_place_of_the_file_keeps_nothing_from_the_others(
    everywhere: Watch, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    path = everywhere.deployment.home / "alerts.jsonl"
    path.mkdir()
    everywhere.evaluate()
    everywhere.cursor = sensor.tick(everywhere.instance.dagster, load_settings(), everywhere.cursor, EARLY, LOG)
    assert (len(receiver.alerts()), undelivered(everywhere)) == (1, {"file": 1})
    assert "alert channel file" in caplog.text
    assert "Is a directory" in caplog.text
    path.rmdir()
    everywhere.tick()
    assert everywhere.sent() == receiver.alerts()


def test_a_recovery_follows_the_alert_also_where_the_channel_was_dead_at_both(
    everywhere: Watch, receiver: Receiver
) -> None:
    receiver.status[SECRET_PATH] = 503
    everywhere.evaluate()
    everywhere.tick()
    everywhere.evaluate(passed=True)
    everywhere.tick()
    receiver.status.clear()
    everywhere.tick()
    assert [got.status for got in receiver.alerts()] == ["open", "recovered"]


def test_a_process_killed_after_sending_repeats_with_the_same_ids_and_loses_nothing(
    everywhere: Watch, receiver: Receiver
) -> None:
    saved = everywhere.cursor
    everywhere.evaluate("check_0")
    everywhere.tick()
    everywhere.cursor = saved  # the tick's cursor was not saved
    everywhere.evaluate("check_1")
    everywhere.tick()
    ids = [got.id for got in receiver.alerts()]
    assert ids[:1] == ids[1:2]
    assert len(ids) == 3
    first, again, _ = receiver.alerts()
    assert first == again


def test_a_missed_deadline_that_is_sent_again_has_the_same_id(everywhere: Watch, receiver: Receiver) -> None:
    saved = everywhere.cursor
    for hour in (7, 8):
        everywhere.cursor = saved
        everywhere.tick(datetime(2026, 5, 2, hour, tzinfo=UTC))
    first, again = receiver.alerts()
    assert first == again


def test_a_channel_that_is_no_longer_set_up_gets_nothing(
    everywhere: Watch, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.status[SECRET_PATH] = 503
    everywhere.evaluate()
    everywhere.tick()
    assert undelivered(everywhere) == {"webhook": 1}
    monkeypatch.delenv("AUDIT_ALERT_WEBHOOK_URL")
    everywhere.tick()
    assert undelivered(everywhere) == {}


def test_no_secret_is_in_the_logs(
    everywhere: Watch, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(channels, "_SECONDS", 1)
    for trouble in ("dead", "slow", "refusing", "broken"):
        if trouble == "dead":
            receiver.stop()
        elif trouble == "slow":
            receiver.start()
            receiver.pause = 1.5
        else:
            receiver.pause = 0
            status = 401 if trouble == "refusing" else 500
            receiver.status = {SECRET_PATH: status, "/api/chat.postMessage": status}
        everywhere.evaluate(f"check_{trouble}")
        everywhere.tick()
    assert caplog.text.count("alert channel webhook") == 4
    assert caplog.text.count("alert channel slack") == 4
    assert everywhere.cursor is not None
    state = msgspec.json.encode(decode(everywhere.cursor)).decode()
    for secret in (TOKEN, SECRET_PATH, "the-aws-secret"):
        for text in (caplog.text, everywhere.cursor, state):
            assert secret not in text


# --- delivery --------------------------------------------------------------------------------------------------------


class Scripted:
    """A channel that raises a given error for an alert."""

    def __init__(self, name: str, **errors: Exception) -> None:
        self.name = name
        self.errors = errors
        self.tried: list[str] = []
        self.pause = 0.0

    def send(self, alert: Alert) -> None:
        self.tried.append(alert.id)
        time.sleep(self.pause)
        if error := self.errors.get(alert.id.removeprefix("id-")):
            raise error


def waiting(owed: Any) -> list[str]:
    return [item.alert.id for item in owed]


def test_after_a_channel_could_not_be_reached_it_is_left_alone_until_the_next_look() -> None:
    dead = Scripted("dead", a=ChannelError("away"))
    alive = Scripted("alive")
    left = deliver([], [alert("a"), alert("b")], [dead, alive], LOG)
    assert (dead.tried, alive.tried) == (["id-a"], ["id-a", "id-b"])
    assert [(item.alert.id, item.channels) for item in left] == [("id-a", ("dead",)), ("id-b", ("dead",))]


def test_an_alert_that_is_refused_waits_and_does_not_hold_up_those_behind_it() -> None:
    picky = Scripted("picky", b=RefusedError("too long"))
    left = deliver([], [alert(name) for name in "abcd"], [picky], LOG)
    assert picky.tried == ["id-a", "id-b", "id-c", "id-d"]
    assert waiting(left) == ["id-b"]


def test_a_channel_that_refuses_everything_is_left_alone_after_three() -> None:
    closed = Scripted("closed", **{name: RefusedError("not authorised") for name in "abcde"})
    left = deliver([], [alert(name) for name in "abcde"], [closed], LOG)
    assert closed.tried == ["id-a", "id-b", "id-c"]
    assert waiting(left) == ["id-a", "id-b", "id-c", "id-d", "id-e"]


def test_a_defect_of_a_channel_keeps_nothing_from_the_others(caplog: pytest.LogCaptureFixture) -> None:
    defective = Scripted("defective", a=ZeroDivisionError("of xoxb-secret"))
    alive = Scripted("alive")
    left = deliver([], [alert()], [defective, alive], LOG)
    assert (alive.tried, waiting(left)) == (["id-a"], ["id-a"])
    assert "a defect (ZeroDivisionError); 1 alerts wait" in caplog.text
    assert "xoxb" not in caplog.text


def test_what_is_undelivered_goes_before_what_is_new() -> None:
    channel = Scripted("one")
    assert deliver([Undelivered(alert("old"), ("one",))], [alert("new")], [channel], LOG) == ()
    assert channel.tried == ["id-old", "id-new"]


def test_a_slow_channel_gets_the_rest_at_the_next_look(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(delivery, "_SECONDS_PER_CHANNEL", 0.15)
    slow, quick = Scripted("slow"), Scripted("quick")
    slow.pause = 0.1
    left = deliver([], [alert(name) for name in "abcde"], [slow, quick], LOG)
    assert (slow.tried, len(quick.tried)) == (["id-a", "id-b"], 5)
    assert waiting(left) == ["id-c", "id-d", "id-e"]
    assert "alert channel slow: out of time; 3 alerts wait for the next tick" in caplog.text


def test_all_channels_together_have_their_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_SECONDS_FOR_ALL", 0.15)
    first, second = Scripted("first"), Scripted("second")
    first.pause = second.pause = 0.2
    left = deliver([], [alert(name) for name in "ab"], [first, second], LOG)
    assert (first.tried, second.tried) == (["id-a"], [])
    assert [item.channels for item in left] == [("second",), ("first", "second")]


def test_what_waits_is_small_in_the_cursor(everywhere: Watch, receiver: Receiver) -> None:
    receiver.status[SECRET_PATH] = 503
    for n in range(60):
        everywhere.evaluate(f"check_{n}", metadata={"rows": [{"Id": f"{n}-{row}"} for row in range(20)]})
    everywhere.tick()
    assert undelivered(everywhere) == {"webhook": 60}
    assert everywhere.cursor is not None
    assert len(everywhere.cursor) < 15_000
