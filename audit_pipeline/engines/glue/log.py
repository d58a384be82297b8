"""The log of a job run in CloudWatch: its new lines, and its end. A log that cannot be read is not an error."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

__all__ = ["JobLog"]

_log = logging.getLogger(__name__)

#: Where Glue's jobs log, unless a security configuration has a group of its own.
_DEFAULT_GROUP: Final = "/aws-glue/jobs"
_TAIL_LINES: Final = 30
_PAGES_AT_ONCE: Final = 20


class JobLog:
    """The log streams of one job run: stdout in ``<group>/output``, stderr with Spark's log in ``<group>/error``.

    ``client`` is boto3's for CloudWatch Logs; both streams are named after the job run's id.
    """

    def __init__(self, client: Any, job_run_id: str, group: str) -> None:
        self._client = client
        self._stream = job_run_id
        self._group = group.rstrip("/") or _DEFAULT_GROUP
        self._token: str | None = None
        self._has_warned = False

    def follow(self, on_line: Callable[[str], None]) -> None:
        """Call ``on_line`` with each line of the output since the last call."""
        for _ in range(_PAGES_AT_ONCE):
            given = {"nextToken": self._token} if self._token else {}
            answer = self._events("output", startFromHead=True, **given)
            if answer is None:
                return
            for event in answer["events"]:
                for line in event["message"].splitlines():
                    on_line(line)
            if answer["nextForwardToken"] == self._token:
                return
            self._token = answer["nextForwardToken"]

    def tail(self) -> str:
        """The last lines of both streams, each under the name of its group; empty where there is no log."""
        return "\n".join(part for name in ("output", "error") if (part := self._tail_of(name)))

    def _tail_of(self, name: str) -> str:
        answer = self._events(name, startFromHead=False, limit=_TAIL_LINES)
        lines = _lines(answer["events"]) if answer else []
        return "\n".join([f"{self._group}/{name}, stream {self._stream}:", *lines[-_TAIL_LINES:]]) if lines else ""

    def _events(self, name: str, **given: Any) -> Any:
        """The answer of GetLogEvents; None where there is no log, for it begins some time after its job run."""
        try:
            return self._client.get_log_events(
                logGroupName=f"{self._group}/{name}", logStreamName=self._stream, **given
            )
        except (ClientError, BotoCoreError) as error:
            if not _is_missing(error) and not self._has_warned:
                self._has_warned = True
                _log.warning("cannot read the log %s/%s of Glue's run %s: %s", self._group, name, self._stream, error)
            return None


def _is_missing(error: Exception) -> bool:
    return isinstance(error, ClientError) and error.response["Error"]["Code"] == "ResourceNotFoundException"


def _lines(events: Sequence[Any]) -> list[str]:
    return [line.rstrip() for event in events for line in event["message"].splitlines() if line.strip()]
