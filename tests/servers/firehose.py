"""Firehose for tests and development: a server on this machine that an unchanged boto3 client takes for Firehose.

It keeps to what is documented of a stream to S3: records are accepted one by one or in batches, buffered by time and
size, joined (with a delimiter only where one is set), compressed, and written under a prefix that is evaluated at the
arrival of the oldest record; writes that fail are retried. As in Firehose, a record may be delivered twice, an object
may be late, and a request may succeed in part: tests configure these faults. Unlike Firehose, it loses its buffer when
it is killed. Sources:

- https://docs.aws.amazon.com/firehose/latest/dev/limits.html : limits;
- https://docs.aws.amazon.com/firehose/latest/dev/s3-prefixes.html : prefixes;
- https://docs.aws.amazon.com/firehose/latest/dev/basic-deliver.html : buffering, names of objects, retries;
- https://docs.aws.amazon.com/firehose/latest/APIReference/ and its model in botocore: operations, processors, errors.
"""

import base64
import binascii
import gzip
import heapq
import itertools
import random
import re
import string
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self

from botocore.exceptions import BotoCoreError, ClientError

from tests.servers.json_http import JsonService, Refused, Reset

__all__ = ["DeliveryStream", "Destination", "Faults", "FirehoseServer", "evaluate_prefix"]

MAX_RECORDS: Final = 500
MAX_RECORD_BYTES: Final = 1_024_000
MAX_REQUEST_BYTES: Final = 4 << 20
_ACCOUNT: Final = "123456789012"
_REGION: Final = "us-east-1"
_TICK_SECONDS: Final = 0.02

_Json = dict[str, Any]


# Prefixes ----------------------------------------------------------------------------------------------------------

_EXPRESSION: Final = re.compile(r"!\{([^:}]*):([^}]*)\}")
#: The patterns of Java's DateTimeFormatter that are used in prefixes.
_JAVA_TIMES: Final = {"yyyy": "%Y", "YYYY": "%G", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_JAVA_LETTERS: Final = re.compile(r"'([^']*)'|([A-Za-z])\2*")


def evaluate_prefix(prefix: str, moment: datetime, *, error_type: str | None = None) -> str:
    """The prefix of an object whose oldest record arrived at ``moment`` (UTC).

    ``ValueError`` for what Firehose refuses, and for a pattern of time that this stand-in does not support.
    """

    def value_of(found: re.Match[str]) -> str:
        namespace, value = found.groups()
        if namespace == "timestamp":
            return _formatted(value, moment)
        if namespace == "firehose" and value == "random-string":
            return "".join(random.SystemRandom().choices(string.ascii_letters + string.digits, k=11))
        if namespace == "firehose" and value == "error-output-type" and error_type is not None:
            return error_type
        raise ValueError(f"!{{{namespace}:{value}}} is not an expression of an S3 prefix")

    evaluated = _EXPRESSION.sub(value_of, prefix)
    return evaluated if "!{timestamp:" in prefix else f"{evaluated}{moment:%Y/%m/%d/%H}/"


def _formatted(pattern: str, moment: datetime) -> str:
    def value_of(found: re.Match[str]) -> str:
        if found[1] is not None:
            return found[1] or "'"
        if found[0] not in _JAVA_TIMES:
            raise ValueError(f"{found[0]} of !{{timestamp:{pattern}}} is not supported here")
        return moment.strftime(_JAVA_TIMES[found[0]])

    return _JAVA_LETTERS.sub(value_of, pattern)


# Settings ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Destination:
    """The supported part of an ``ExtendedS3DestinationConfiguration``."""

    bucket: str
    prefix: str = ""
    buffer_seconds: float = 300
    buffer_bytes: int = 5 << 20
    is_gzip: bool = False
    delimiter: bytes = b""
    extension: str = ""

    @classmethod
    def of(cls, configuration: Mapping[str, Any]) -> Self:
        """From the API or a CloudFormation template, which use the same names. ``ValueError`` for invalid values."""
        hints = configuration.get("BufferingHints", {})
        seconds, megabytes = hints.get("IntervalInSeconds", 300), hints.get("SizeInMBs", 5)
        if not 0 <= seconds <= 900 or not 1 <= megabytes <= 128:
            raise ValueError("BufferingHints: IntervalInSeconds is 0 to 900, SizeInMBs 1 to 128")
        compression = configuration.get("CompressionFormat", "UNCOMPRESSED")
        if compression not in ("UNCOMPRESSED", "GZIP"):
            raise ValueError(f"CompressionFormat {compression} is not supported here")
        prefix, error_prefix = configuration.get("Prefix", ""), configuration.get("ErrorOutputPrefix", "")
        evaluate_prefix(prefix, datetime.now(UTC))
        evaluate_prefix(error_prefix, datetime.now(UTC), error_type="processing-failed")
        if "!{" in prefix and "!{firehose:error-output-type}" not in error_prefix:
            raise ValueError("ErrorOutputPrefix with !{firehose:error-output-type} is required beside such a Prefix")
        return cls(
            configuration["BucketARN"].removeprefix("arn:aws:s3:::"),
            prefix,
            seconds,
            megabytes << 20,
            compression == "GZIP",
            _delimiter_of(configuration.get("ProcessingConfiguration", {})),
            configuration.get("FileExtension", ""),
        )


def _delimiter_of(processing: Mapping[str, Any]) -> bytes:
    if not processing.get("Enabled"):
        return b""
    delimiter = b""
    for processor in processing.get("Processors", []):
        if processor["Type"] != "AppendDelimiterToRecord":
            raise ValueError(f"processor {processor['Type']} is not supported here")
        parameters = {each["ParameterName"]: each["ParameterValue"] for each in processor.get("Parameters", [])}
        delimiter = parameters.get("Delimiter", "\\n").encode().decode("unicode_escape").encode()
    return delimiter


@dataclass(frozen=True)
class Faults:
    """The probability of each fault.

    ``failed_records``: a record of a batch is not accepted, which the response reports. ``lost_answers``: the records
    are accepted, and the connection is reset. ``errors``: no record is accepted, ServiceUnavailableException.
    ``duplicates``: a record is buffered twice. ``repeated_objects``: an object is written again, under another name.
    ``late_objects``: an object is written ``late_seconds`` late.
    """

    failed_records: float = 0
    lost_answers: float = 0
    errors: float = 0
    duplicates: float = 0
    repeated_objects: float = 0
    late_objects: float = 0
    late_seconds: float = 2
    seed: int = 0


# The stream --------------------------------------------------------------------------------------------------------


@dataclass(order=True)
class _Object:
    due: float
    number: int
    oldest: float = field(compare=False)
    records: list[bytes] = field(compare=False)


class DeliveryStream:
    """Buffers records and writes them. ``clock`` returns the time of arrival, in seconds since 1970."""

    def __init__(
        self,
        name: str,
        destination: Destination,
        s3: Any,
        *,
        faults: Faults | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.destination = destination
        self.faults = faults or Faults()
        #: Events of a bus that are too big for a record: EventBridge puts them into its dead-letter queue.
        self.dead_letters: list[str] = []
        self._s3, self._clock = s3, clock
        self._random = random.Random(self.faults.seed)
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._buffer: list[bytes] = []
        self._size = 0
        self._oldest = self._deadline = 0.0
        self._waiting: list[_Object] = []
        self._is_writing = False
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._deliver_until_stopped, name=f"firehose-{name}", daemon=True)
        self._thread.start()

    @property
    def arn(self) -> str:
        return f"arn:aws:firehose:{_REGION}:{_ACCOUNT}:deliverystream/{self.name}"

    @property
    def is_empty(self) -> bool:
        """Whether every record is written."""
        with self._lock:
            return not self._buffer and not self._waiting and not self._is_writing

    def put(self, record: bytes) -> None:
        with self._lock:
            for _ in range(2 if self._hits(self.faults.duplicates) else 1):
                self._append(record + self.destination.delimiter)

    def put_event(self, envelope: str) -> None:
        """Deliver an event of a bus, as the target of a rule."""
        record = envelope.encode()
        if len(record) > MAX_RECORD_BYTES:
            self.dead_letters.append(envelope)
        else:
            self.put(record)

    def stop(self) -> None:
        """Write the buffer, full or not, and end."""
        with self._lock:
            self._close_buffer()
            for waiting in self._waiting:
                waiting.due = 0
            heapq.heapify(self._waiting)
        self._is_stopped.set()
        self._thread.join()

    def hits(self, share: float) -> bool:
        """Whether a fault of this probability happens now."""
        with self._lock:
            return self._hits(share)

    def _hits(self, share: float) -> bool:
        return self._random.random() < share

    def _append(self, record: bytes) -> None:
        now = self._clock()
        if self._buffer and (now >= self._deadline or self._size + len(record) > self.destination.buffer_bytes):
            self._close_buffer()
        if not self._buffer:
            self._oldest, self._deadline = now, now + self.destination.buffer_seconds
        self._buffer.append(record)
        self._size += len(record)

    def _close_buffer(self) -> None:
        if not self._buffer:
            return
        records, self._buffer, self._size = self._buffer, [], 0
        for _ in range(2 if self._hits(self.faults.repeated_objects) else 1):
            wait = self.faults.late_seconds if self._hits(self.faults.late_objects) else 0
            entry = _Object(self._clock() + wait, next(self._numbers), self._oldest, records)
            heapq.heappush(self._waiting, entry)

    def _deliver_until_stopped(self) -> None:
        while True:
            stopped = self._is_stopped.wait(_TICK_SECONDS)
            for entry in self._take_due():
                self._write(entry)
            if stopped and not self._waiting:
                return

    def _take_due(self) -> list[_Object]:
        with self._lock:
            now = self._clock()
            if self._buffer and now >= self._deadline:
                self._close_buffer()
            due = []
            while self._waiting and self._waiting[0].due <= now:
                due.append(heapq.heappop(self._waiting))
            self._is_writing = bool(due)
            return due

    def _write(self, entry: _Object) -> None:
        oldest = datetime.fromtimestamp(entry.oldest, UTC)
        data = b"".join(entry.records)
        extension = self.destination.extension
        if self.destination.is_gzip:
            data, extension = gzip.compress(data, 6, mtime=0), extension or ".gz"
        name = f"{self.name}-1-{oldest:%Y-%m-%d-%H-%M-%S}-{uuid.uuid4()}{extension}"
        key = evaluate_prefix(self.destination.prefix, oldest) + name
        pause = _TICK_SECONDS
        while True:  # Firehose gives up after 24 hours
            try:
                self._s3.put_object(Bucket=self.destination.bucket, Key=key, Body=data)
                return
            except (BotoCoreError, ClientError):
                time.sleep(pause)
                pause = min(2 * pause, 1)


# The API -----------------------------------------------------------------------------------------------------------


class FirehoseServer(JsonService):
    """Streams behind the API of Firehose. ``s3`` is the boto3 client that writes objects."""

    def __init__(self, s3: Any, *, port: int = 0) -> None:
        self.streams: dict[str, DeliveryStream] = {}
        self._s3, self.port = s3, port

    def stop(self) -> None:
        """Write all buffers, and end."""
        super().stop()
        for stream in self.streams.values():
            stream.stop()

    def add(
        self,
        name: str,
        destination: Destination,
        *,
        faults: Faults | None = None,
        clock: Callable[[], float] = time.time,
    ) -> DeliveryStream:
        stream = self.streams[name] = DeliveryStream(name, destination, self._s3, faults=faults, clock=clock)
        return stream

    def respond(self, operation: str, request: _Json) -> _Json:
        handlers: Mapping[str, Callable[[_Json], _Json]] = {
            "CreateDeliveryStream": self._create,
            "DescribeDeliveryStream": self._describe,
            "PutRecord": self._put_record,
            "PutRecordBatch": self._put_record_batch,
        }
        if operation not in handlers:
            raise Refused("UnknownOperationException", f"{operation} is not supported here")
        return handlers[operation](request)

    def _create(self, request: _Json) -> _Json:
        name = request["DeliveryStreamName"]
        if name in self.streams:
            raise Refused("ResourceInUseException", f"Firehose {name} already exists")
        try:
            destination = Destination.of(request["ExtendedS3DestinationConfiguration"])
        except (KeyError, ValueError) as error:
            raise Refused("InvalidArgumentException", str(error)) from None
        return {"DeliveryStreamARN": self.add(name, destination).arn}

    def _describe(self, request: _Json) -> _Json:
        stream = self._stream(request)
        described = {
            "DeliveryStreamName": stream.name,
            "DeliveryStreamARN": stream.arn,
            "DeliveryStreamStatus": "ACTIVE",
            "DeliveryStreamType": "DirectPut",
            "VersionId": "1",
            "Destinations": [{"DestinationId": "destinationId-000000000001"}],
            "HasMoreDestinations": False,
        }
        return {"DeliveryStreamDescription": described}

    def _put_record(self, request: _Json) -> _Json:
        stream = self._stream(request)
        (record,) = _decoded([request["Record"]])
        self._fail_by_chance(stream)
        stream.put(record)
        self._lose_answer_by_chance(stream)
        return {"RecordId": uuid.uuid4().hex, "Encrypted": False}

    def _put_record_batch(self, request: _Json) -> _Json:
        stream = self._stream(request)
        if not 1 <= len(request["Records"]) <= MAX_RECORDS:
            raise Refused("ValidationException", f"Member must have length from 1 to {MAX_RECORDS}")
        records = _decoded(request["Records"])
        self._fail_by_chance(stream)
        answers: list[_Json] = []
        for record in records:
            if stream.hits(stream.faults.failed_records):
                answers.append({"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down."})
            else:
                stream.put(record)
                answers.append({"RecordId": uuid.uuid4().hex})
        self._lose_answer_by_chance(stream)
        failed = sum("ErrorCode" in answer for answer in answers)
        return {"FailedPutCount": failed, "Encrypted": False, "RequestResponses": answers}

    def _stream(self, request: _Json) -> DeliveryStream:
        name = request.get("DeliveryStreamName", "")
        if name not in self.streams:
            raise Refused("ResourceNotFoundException", f"Firehose {name} under account {_ACCOUNT} not found.")
        return self.streams[name]

    def _fail_by_chance(self, stream: DeliveryStream) -> None:
        if stream.hits(stream.faults.errors):
            raise Refused("ServiceUnavailableException", "Slow down.", 503)

    def _lose_answer_by_chance(self, stream: DeliveryStream) -> None:
        if stream.hits(stream.faults.lost_answers):
            raise Reset


def _decoded(records: Sequence[Mapping[str, str]]) -> list[bytes]:
    try:
        decoded = [base64.b64decode(record["Data"], validate=True) for record in records]
    except (KeyError, binascii.Error):
        raise Refused("SerializationException", "Data is not base64") from None
    if any(len(record) > MAX_RECORD_BYTES for record in decoded):
        raise Refused("ValidationException", f"Member must have length less than or equal to {MAX_RECORD_BYTES}")
    if sum(map(len, decoded)) > MAX_REQUEST_BYTES:
        raise Refused("InvalidArgumentException", "Records size exceeds 4 MB limit")
    return decoded
