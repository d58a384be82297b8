"""The transport of entries to the bus, and its outcome for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from audit_pipeline.producer.entries import Entry
from audit_pipeline.producer.setup_advice import setup_advice

__all__ = ["Accepted", "EventBridge", "Outcome", "Refused", "Transport", "TryAgain", "outcome_of"]

#: Codes of an entry that will never be accepted as it is (PutEventsResultEntry, "non-retryable errors").
_REFUSED_ENTRIES: Final = frozenset(
    {
        "AccessDeniedException",
        "InvalidAccountIdException",
        "InvalidArgument",
        "MalformedDetail",
        "NotAuthorizedForDetailTypeException",
        "NotAuthorizedForSourceException",
        "RedactionFailure",
    }
)

#: Codes of requests with status 4xx that a retry may fix: throttling, clocks, and credentials about to be renewed.
_TEMPORARY: Final = frozenset(
    {
        "ConditionalRequestConflict",
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
    }
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The bus has the event; ``receipt`` is the bus's own id, a different one for each copy."""

    receipt: str


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The event did not arrive, or it is unknown whether it did; it is to be retried."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The event will not be accepted as it is. With ``whole_request``, any entry of the request may be the reason.

    With ``by_setup``, no event is the reason: nothing can be sent until the setup of this process (region, credentials,
    …) is fixed.
    """

    code: str
    message: str
    whole_request: bool = False
    by_setup: bool = False


Outcome: TypeAlias = Accepted | TryAgain | Refused


class Transport(Protocol):
    """Sends entries. Failures of the bus or the network are outcomes, not exceptions."""

    def put(self, entries: Sequence[Entry]) -> Sequence[Outcome]:
        """One outcome for each entry, in their order; at most 10 entries of less than 1 MB in all."""

    def reset(self) -> None:
        """Drop connections, which a forked child must not share with its parent."""


class EventBridge:
    """An event bus of EventBridge, by its name or ARN.

    ``make_client`` returns a boto3 client of ``events``, for a region, credentials or an endpoint that boto3 would not
    find by itself. It is called again in a forked child. Turn off the client's own retries: they repeat whole requests,
    and hide failures from the publisher.
    """

    def __init__(self, event_bus: str = "default", make_client: Callable[[], Any] | None = None) -> None:
        self.event_bus = event_bus
        self._make_client = make_client or _events_client
        self._client: Any = None

    def put(self, entries: Sequence[Entry]) -> Sequence[Outcome]:
        try:
            self._client = self._client or self._make_client()
            response = self._client.put_events(Entries=[self._request(entry) for entry in entries])
        except (BotoCoreError, ClientError) as error:
            outcome = outcome_of(error)
            if isinstance(outcome, Refused) and outcome.by_setup:
                self._client = None  # it caches its credentials: a new one finds those that were fixed
            return [outcome] * len(entries)
        return [_entry_outcome(result) for result in response["Entries"]]

    def reset(self) -> None:
        self._client = None

    def _request(self, entry: Entry) -> dict[str, Any]:
        return {
            "EventBusName": self.event_bus,
            "Source": entry.source,
            "DetailType": entry.detail_type,
            "Time": entry.time,
            "Detail": entry.detail,
        }


def outcome_of(error: BotoCoreError | ClientError) -> TryAgain | Refused:
    """The outcome of an error of a whole request: refused only by a clear answer of the bus, or by a wrong setup."""
    if isinstance(error, ClientError):
        code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", str(error))
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 500)
        if 400 <= status < 500 and status not in (408, 429) and code not in _TEMPORARY:
            return Refused(code, message, whole_request=True)
        return TryAgain(code, message)
    if isinstance(error, ParamValidationError):
        return Refused(type(error).__name__, str(error), whole_request=True)
    if advice := setup_advice(error):
        return Refused(type(error).__name__, f"{str(error).rstrip('.')}. {advice}", by_setup=True)
    return TryAgain(type(error).__name__, str(error))


def _entry_outcome(result: dict[str, Any]) -> Outcome:
    if "EventId" in result:
        return Accepted(result["EventId"])
    code, message = result.get("ErrorCode", "Unknown"), result.get("ErrorMessage", "")
    return Refused(code, message) if code in _REFUSED_ENTRIES else TryAgain(code, message)


def _events_client() -> Any:
    config = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 1, "mode": "standard"})
    return boto3.client("events", config=config)
