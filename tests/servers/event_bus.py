"""EventBridge's PutEvents for tests: a server on this machine that an unchanged boto3 client takes for EventBridge.

It keeps to what is documented of PutEvents: JSON 1.1, 1 to 10 entries, less than 1 MB by the documented count, an
outcome per entry of a request that may succeed in part, an ``id`` of the bus's own for every copy of an event. Accepted
events are delivered to its targets, as EventBridge's envelopes, in order and once. Tests configure its faults. Sources:

- https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html and its model in botocore: limits;
- https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html : codes of entries;
- https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html : sizes, ids, partial success.
"""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from tests.servers.aws_clients import REGION
from tests.servers.json_http import JsonService, Refused, Reset

__all__ = ["ACCOUNT", "EventBus", "Fault"]

ACCOUNT: Final = "123456789012"
MAX_ENTRIES: Final = 10
MAX_BYTES: Final = 1_048_576
_TIME_BYTES: Final = 14
_REQUIRED: Final = ("Source", "DetailType", "Detail")

_Json = dict[str, Any]
#: Receives each event that the bus accepts, as the text that EventBridge delivers to a target of a rule.
Target = Callable[[str], None]


@dataclass(frozen=True)
class Fault:
    """What happens to ``times`` requests (None: to all), of those for whose entries ``only`` is true."""

    times: int | None = 1
    #: (HTTP status, code) of an error of the whole request.
    error: tuple[int, str] | None = None
    #: The connection is reset before any entry is accepted.
    reset: bool = False
    #: The entries are accepted, and the connection is reset before the response.
    lost_answer: bool = False
    #: The code of the entries that fail, and which these are: by default all.
    entry_code: str | None = None
    entries: Callable[[_Json], bool] = lambda entry: True
    #: Seconds before the response.
    latency: float = 0.0
    only: Callable[[Sequence[_Json]], bool] = lambda entries: True


@dataclass
class EventBus(JsonService):
    """A bus. ``envelopes`` are the texts of accepted events, in order; ``requests`` the entries of all requests."""

    name: str = "audit"
    targets: list[Target] = field(default_factory=list)
    envelopes: list[str] = field(default_factory=list)
    requests: list[list[_Json]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[tuple[Fault, list[int]]] = []
        self._is_answering = threading.Event()
        self._is_answering.set()

    def fail(self, *faults: Fault) -> None:
        """Replace all faults by these; the first one that matches a request applies."""
        with self._lock:
            self._faults = [(fault, [0]) for fault in faults]

    @contextmanager
    def held(self) -> Iterator[None]:
        """No request is answered before the end of this block, or before :meth:`release`."""
        self._is_answering.clear()
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        self._is_answering.set()

    @property
    def details(self) -> list[Any]:
        """The parsed ``detail`` of each accepted event, in order."""
        return [json.loads(text)["detail"] for text in list(self.envelopes)]

    # One request

    def respond(self, operation: str, request: _Json) -> _Json:
        if operation != "PutEvents":
            raise Refused("UnknownOperationException", "this stand-in only has PutEvents")
        entries = request.get("Entries")
        if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_ENTRIES:
            raise Refused(
                "ValidationException",
                f"Value at 'entries' failed to satisfy constraint: Member must have length from 1 to {MAX_ENTRIES}",
            )
        fault = self._fault_for(entries)
        self._is_answering.wait()
        if fault and fault.latency:
            time.sleep(fault.latency)
        if fault and fault.error:
            status, code = fault.error
            raise Refused(code, "a fault of the test", status)
        if sum(map(_size, entries)) >= MAX_BYTES:
            raise Refused("ValidationException", "Total size of the entries in the request is over the limit.")
        if fault and fault.reset:
            raise Reset
        with self._lock:
            results = [self._take(entry, fault) for entry in entries]
        if fault and fault.lost_answer:
            raise Reset
        return {"FailedEntryCount": sum("ErrorCode" in result for result in results), "Entries": results}

    def _fault_for(self, entries: list[_Json]) -> Fault | None:
        with self._lock:
            self.requests.append(entries)
            for fault, used in self._faults:
                if (fault.times is None or used[0] < fault.times) and fault.only(entries):
                    used[0] += 1
                    return fault
        return None

    def _take(self, entry: _Json, fault: Fault | None) -> _Json:
        if fault and fault.entry_code and fault.entries(entry):
            return {"ErrorCode": fault.entry_code, "ErrorMessage": "a fault of the test"}
        if missing := [name for name in _REQUIRED if not entry.get(name)]:
            return {"ErrorCode": "InvalidArgument", "ErrorMessage": f"Parameter {missing[0]} is not valid."}
        if not _is_object(entry["Detail"]):
            return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
        if entry["Source"].startswith("aws."):
            return {"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": "Not authorized for the source."}
        if entry.get("EventBusName", "default").rsplit("/", 1)[-1] != self.name:
            return {"ErrorCode": "InvalidArgument", "ErrorMessage": "The event bus does not exist."}
        event_id = str(uuid.uuid4())
        envelope = _envelope(entry, event_id)
        self.envelopes.append(envelope)
        for target in self.targets:
            target(envelope)
        return {"EventId": event_id}


def _size(entry: _Json) -> int:
    texts = [entry.get("Source", ""), entry.get("DetailType", ""), entry.get("Detail", ""), *entry.get("Resources", [])]
    return sum(len(text.encode()) for text in texts) + (_TIME_BYTES if "Time" in entry else 0)


def _is_object(detail: str) -> bool:
    """Whether PutEvents accepts the detail: an object with integers of at most 64 bits."""
    try:
        parsed = json.loads(detail, parse_int=_int64, parse_constant=_no_constant)
    except ValueError:
        return False
    return isinstance(parsed, dict)


def _int64(digits: str) -> int:
    number = int(digits)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{digits} is beyond 64 bits")
    return number


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _envelope(entry: _Json, event_id: str) -> str:
    head = {
        "version": "0",
        "id": event_id,
        "detail-type": entry["DetailType"],
        "source": entry["Source"],
        "account": ACCOUNT,
        "time": f"{datetime.fromtimestamp(entry.get('Time', time.time()), UTC):%Y-%m-%dT%H:%M:%SZ}",
        "region": REGION,
        "resources": entry.get("Resources", []),
    }
    return f'{json.dumps(head, ensure_ascii=False, separators=(",", ":"))[:-1]},"detail":{entry["Detail"]}}}'
