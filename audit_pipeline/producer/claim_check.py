"""Events that are too large for the bus: written whole into the raw bucket, where Firehose would have put them.

The usual claim check puts a pointer on the bus. That would be a second kind of event here, which every reader and the
pipeline would have to dereference, and whose target could vanish. Instead the whole event, in EventBridge's envelope,
is written as an object of its own into the hour folder of its arrival, and becomes rows as any raw object does; for a
day that was already processed, the sensor of late objects starts a run.
"""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from audit_pipeline.producer.entries import Entry
from audit_pipeline.producer.transport import Accepted, Outcome, Refused, outcome_of

__all__ = ["ClaimCheck", "envelope"]

#: "The object exists": S3's answer to a conditional write.
_EXISTS = "PreconditionFailed"


class ClaimCheck:
    """The raw store: ``prefix`` is the folder of ``bucket`` that contains the hour folders (``raw/eventbridge``).

    The producer needs ``s3:PutObject`` there. ``make_client`` returns a boto3 client of ``s3``; it is called again in
    a forked child.
    """

    def __init__(self, bucket: str, prefix: str, make_client: Callable[[], Any] | None = None) -> None:
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        self._make_client = make_client or _s3_client
        self._client: Any = None

    def put(self, entry: Entry) -> Outcome:
        key = f"{self.prefix}/{_raw_key(entry, datetime.now(UTC))}".lstrip("/")
        body = gzip.compress(envelope(entry).encode(), mtime=0)
        try:
            self._client = self._client or self._make_client()
            # If-None-Match: a second copy must not change a raw object, which may be read at this moment.
            self._client.put_object(Bucket=self.bucket, Key=key, Body=body, IfNoneMatch="*")
        except (BotoCoreError, ClientError) as error:
            if not (isinstance(error, ClientError) and error.response["Error"].get("Code") == _EXISTS):
                outcome = outcome_of(error)
                if isinstance(outcome, Refused) and outcome.by_setup:
                    self._client = None  # it caches its credentials: a new one finds those that were fixed
                return outcome
        return Accepted(f"s3://{self.bucket}/{key}")

    def reset(self) -> None:
        self._client = None


def envelope(entry: Entry) -> str:
    """The event as EventBridge delivers it, with its own id instead of the one that PutEvents creates."""
    head = {
        "version": "0",
        "id": entry.event_id,
        "detail-type": entry.detail_type,
        "source": entry.source,
        "time": f"{entry.time:%Y-%m-%dT%H:%M:%SZ}",
        "resources": [],
    }
    return f'{json.dumps(head, ensure_ascii=False, separators=(",", ":"))[:-1]},"detail":{entry.detail}}}'


def _raw_key(entry: Entry, arrival: datetime) -> str:
    # a hash, as ids may contain characters that are not safe in a key
    name = f"claim-check-{sha256(f'{entry.source}/{entry.event_id}'.encode()).hexdigest()[:32]}.json.gz"
    return f"year={arrival:%Y}/month={arrival:%m}/day={arrival:%d}/hour={arrival:%H}/{name}"


def _s3_client() -> Any:
    config = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 1, "mode": "standard"})
    return boto3.client("s3", config=config)
