"""Where alerts go. A channel sends one alert, or raises a :class:`ChannelError` with the reason."""

import http.client
import logging
import os
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

import boto3
import dagster as dg
import msgspec
import requests
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from dagster_slack import SlackResource
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from audit_pipeline.errors import AuditPipelineError
from audit_pipeline.orchestration.alerts.alert import Alert
from audit_pipeline.orchestration.home import dagster_home
from audit_pipeline.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

__all__ = [
    "Channel",
    "ChannelError",
    "FileChannel",
    "LogChannel",
    "RefusedError",
    "SlackChannel",
    "SnsChannel",
    "WebhookChannel",
    "open_channels",
]

_SECONDS: Final = 10
_FILE: Final = "alerts.jsonl"


class ChannelError(AuditPipelineError):
    """A channel could not be reached or failed. The text holds no secrets."""


class RefusedError(ChannelError):
    """A channel refused this alert; it may accept others."""


class Channel(Protocol):
    @property
    def name(self) -> str: ...

    def send(self, alert: Alert) -> None:
        """Returns when the alert has arrived, within some 15 seconds; raises :class:`ChannelError` otherwise."""


def open_channels(settings: Settings, instance: dg.DagsterInstance, log: logging.Logger) -> Sequence[Channel]:
    """The file and the log, and what the settings name. No connection is made before an alert is sent."""
    home = dagster_home() or Path(instance.root_directory)
    channels: list[Channel] = [FileChannel(settings.alert_file or home / _FILE), LogChannel(log)]
    if settings.alert_sns_topic_arn:
        channels.append(SnsChannel(settings.alert_sns_topic_arn))
    if settings.alert_slack_token and settings.alert_slack_channel:
        slack = SlackResource(token=settings.alert_slack_token.get_secret_value())
        channels.append(SlackChannel(slack.get_client, settings.alert_slack_channel))
    if settings.alert_webhook_url:
        channels.append(WebhookChannel(settings.alert_webhook_url.get_secret_value()))
    return channels


def _error_for(status: int, problem: str) -> ChannelError:
    is_about_the_alert = 400 <= status < 500 and status not in (408, 429)
    return RefusedError(problem) if is_about_the_alert else ChannelError(problem)


# --- local ------------------------------------------------------------------------------------------------------------


class FileChannel:
    """A JSON Lines file."""

    name: ClassVar[str] = "file"

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, alert: Alert) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+", buffering=0) as file:
                line = msgspec.json.encode(alert) + b"\n"
                if self._is_cut_off(file):
                    line = b"\n" + line
                if file.write(line) != len(line):
                    raise ChannelError(f"{self._path} holds only a part of the line: is the disk full?")
        except OSError as error:
            raise ChannelError(f"{self._path} cannot be written: {error.strerror or error}") from error

    @staticmethod
    def _is_cut_off(file: Any) -> bool:
        """Whether the last line is incomplete, for its writer was killed."""
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return False
        file.seek(size - 1)
        return bool(file.read(1) != b"\n")


class LogChannel:
    """The log of the sensor's tick, in the UI and on the daemon's console."""

    name: ClassVar[str] = "log"

    def __init__(self, log: logging.Logger) -> None:
        self._log = log

    def send(self, alert: Alert) -> None:
        level = logging.INFO
        if alert.status == "open":
            level = {"info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}[alert.severity]
        self._log.log(level, "%s\n%s", alert.title, _body(alert))


# --- remote ----------------------------------------------------------------------------------------------------------


class SnsChannel:
    """An Amazon SNS topic, in the region of its ARN."""

    name: ClassVar[str] = "sns"
    _LONGEST_SUBJECT: Final = 100

    def __init__(self, topic_arn: str) -> None:
        self._topic_arn = topic_arn

    @cached_property
    def _client(self) -> "SNSClient":
        config = Config(connect_timeout=3, read_timeout=4, retries={"total_max_attempts": 2, "mode": "standard"})
        return boto3.client("sns", region_name=self._topic_arn.split(":")[3], config=config)

    def send(self, alert: Alert) -> None:
        attributes = {
            "id": alert.id,
            "kind": alert.kind,
            "severity": alert.severity,
            "status": alert.status,
            "partition": alert.partition,
        }
        try:
            self._client.publish(
                TopicArn=self._topic_arn,
                Subject=self._subject(alert),
                Message=_body(alert),
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in attributes.items() if value
                },
            )
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            is_throttled = "Throttl" in error.response.get("Error", {}).get("Code", "")
            raise (ChannelError(str(error)) if is_throttled else _error_for(status, str(error))) from error
        except BotoCoreError as error:
            raise ChannelError(str(error)) from error

    def _subject(self, alert: Alert) -> str:
        """SNS accepts up to 100 printable ASCII characters."""
        mark = "" if alert.status == "recovered" else f"{alert.severity.upper()}: "
        text = re.sub(r"[^ -~]+", "?", " ".join(f"{mark}{alert.title}".split()))
        return text[: self._LONGEST_SUBJECT]


class SlackChannel:
    """A channel of a Slack workspace."""

    name: ClassVar[str] = "slack"
    _MARKS: Final = {"error": ":red_circle:", "warn": ":large_yellow_circle:", "info": ":large_blue_circle:"}
    _LONGEST_TEXT: Final = 3000

    def __init__(self, new_client: Callable[[], WebClient], channel: str) -> None:
        self._new_client = new_client
        self._channel = channel

    @cached_property
    def _client(self) -> WebClient:
        client = self._new_client()
        client.timeout = _SECONDS
        return client

    def send(self, alert: Alert) -> None:
        mark = ":large_green_circle:" if alert.status == "recovered" else self._MARKS[alert.severity]
        title = f"{mark} *{_escape(alert.title)}*"
        texts = [title, _escape(alert.text), f"*What to do:* {_escape(alert.what_to_do)}"]
        blocks = [self._section(text) for text in texts]
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": f"{alert.kind}, {alert.id}"}]})
        try:
            self._client.chat_postMessage(channel=self._channel, text=alert.title, blocks=blocks, unfurl_links=False)
        except SlackApiError as error:
            status, code = error.response.status_code, error.response.get("error", "no error code")
            problem = f"Slack answered {status}, {code}"
            # Slack refuses with status 200
            raise (RefusedError(problem) if status == 200 else _error_for(status, problem)) from None
        except (SlackClientError, OSError, http.client.HTTPException) as error:
            raise ChannelError(f"cannot reach Slack ({type(error).__name__})") from None

    def _section(self, text: str) -> dict[str, Any]:
        return {"type": "section", "text": {"type": "mrkdwn", "text": text[: self._LONGEST_TEXT]}}


class WebhookChannel:
    """A URL that accepts the alert as JSON by POST. Any 2xx means that it has arrived."""

    name: ClassVar[str] = "webhook"

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, alert: Alert) -> None:
        try:
            # only the status of the response is read; a redirect that is followed would turn the POST into a GET
            with requests.post(
                self._url,
                data=msgspec.json.encode(alert),
                headers={"Content-Type": "application/json", "Idempotency-Key": alert.id},
                timeout=_SECONDS / 2,
                allow_redirects=False,
                stream=True,
            ) as response:
                status = response.status_code
        except requests.RequestException as error:  # its text contains the URL, which is a secret
            raise ChannelError(f"cannot reach the webhook ({type(error).__name__})") from None
        if not 200 <= status < 300:
            raise _error_for(status, f"the webhook answered {status}")


def _body(alert: Alert) -> str:
    return f"{alert.text}\nWhat to do: {alert.what_to_do}\nAlert: {alert.id}"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
