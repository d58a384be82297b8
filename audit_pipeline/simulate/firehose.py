"""A delivery stream of Firehose to S3: each buffer of records becomes a gzip object in an hour folder."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final

from zlib_ng import zlib_ng

from audit_pipeline.errors import SettingsError
from audit_pipeline.simulate.events import uuid4
from audit_pipeline.simulate.traffic import Record, midnight
from audit_pipeline.store.layout import DeliveryHour

__all__ = ["Delivery", "Firehose", "restart_after"]

_COMPRESSION_LEVEL: Final = 6
#: ``wbits`` for a gzip header; its time is 0, so that the same records make the same bytes.
_GZIP: Final = 31


@dataclass(frozen=True, slots=True)
class Delivery:
    """One object of Firehose; ``key`` is relative to the raw store."""

    key: str
    #: gzip.
    data: bytes
    hour: DeliveryHour
    #: Bytes before compression, delimiters included.
    text_bytes: int
    #: Records by their label.
    labels: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Firehose:
    """Settings of a delivery stream.

    A buffer is delivered after ``buffer_seconds`` or before it exceeds ``buffer_bytes`` (uncompressed), whichever is
    first. ``delimiter`` follows every record: nothing by default, a newline with ``AppendDelimiterToRecord``.
    """

    stream: str = "audit-logs"
    buffer_seconds: float = 60
    buffer_bytes: int = 5 << 20
    delimiter: bytes = b""

    def __post_init__(self) -> None:
        if self.buffer_seconds <= 0 or self.buffer_bytes <= 0:
            raise SettingsError("buffer_seconds and buffer_bytes must be more than 0")

    def deliver(self, records: Iterable[Record], seed: int) -> Iterator[Delivery]:
        """The objects of these records, given in the order of arrival; each is yielded when the next record follows."""
        buffer: list[Record] = []
        size = 0
        deadline = 0.0
        for record in records:
            length = len(record.text) + len(self.delimiter)
            if buffer and (record.arrival >= deadline or size + length > self.buffer_bytes):
                yield self._object(buffer, seed)
                buffer, size = [], 0
            if not buffer:
                deadline = min(record.arrival + self.buffer_seconds, restart_after(record.arrival, seed))
            buffer.append(record)
            size += length

    def _object(self, buffer: list[Record], seed: int) -> Delivery:
        oldest = buffer[0].arrival
        began = datetime.fromtimestamp(oldest, UTC)
        hour = DeliveryHour(began.date(), began.hour)
        name = f"{self.stream}-1-{began:%Y-%m-%d-%H-%M-%S}-{uuid4(Random(f'{seed}/{self.stream}/{oldest}'))}.gz"
        text = self.delimiter.join([*(record.text for record in buffer), b""])
        return Delivery(
            key=hour.prefix + name,
            data=zlib_ng.compress(text, _COMPRESSION_LEVEL, _GZIP),
            hour=hour,
            text_bytes=len(text),
            labels=Counter(record.label for record in buffer),
        )


def restart_after(moment: float, seed: int) -> float:
    """The next time after ``moment`` at which the stream delivers its buffer whatever its size (seconds since 1970).

    This happens once a day, 15 to 45 seconds before midnight (UTC), so that a day's objects do not depend on those of
    the days before; the object that is begun after it extends past midnight.
    """
    day = datetime.fromtimestamp(moment, UTC).date()
    while True:
        following = day + timedelta(days=1)
        restart = midnight(following) - 15 - 30 * Random(f"{seed}/{day}/restart").random()
        if restart > moment:
            return restart
        day = following
