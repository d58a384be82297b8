"""The publisher for asyncio: the same methods as coroutines, over the same sending thread."""

import asyncio
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self

from audit_pipeline.producer.claim_check import ClaimCheck
from audit_pipeline.producer.delivery import Backoff
from audit_pipeline.producer.entries import DEFAULT_EVENT_BYTES
from audit_pipeline.producer.errors import Undelivered
from audit_pipeline.producer.event import AuditEvent
from audit_pipeline.producer.publisher import AuditPublisher, Receipt
from audit_pipeline.producer.redaction import Redactor
from audit_pipeline.producer.transport import Transport

__all__ = ["AsyncAuditPublisher"]

#: Seconds between two attempts to put an event into a full buffer.
_RETRY_SECONDS = 0.01


class AsyncAuditPublisher:
    """The methods of :class:`~audit_pipeline.producer.publisher.AuditPublisher` as coroutines; same arguments."""

    def __init__(
        self,
        source: str,
        transport: Transport | None = None,
        *,
        claim_check: ClaimCheck | None = None,
        redactor: Redactor | None = None,
        max_event_bytes: int = DEFAULT_EVENT_BYTES,
        buffer_bytes: int = 64 << 20,
        publish_seconds: float | None = 10.0,
        close_seconds: float | None = 30.0,
        backoff: Backoff | None = None,
        on_undelivered: Callable[[Undelivered], None] | None = None,
    ) -> None:
        self._publish_seconds = publish_seconds
        self._publisher = AuditPublisher(
            source,
            transport,
            claim_check=claim_check,
            redactor=redactor,
            max_event_bytes=max_event_bytes,
            buffer_bytes=buffer_bytes,
            publish_seconds=publish_seconds,
            close_seconds=close_seconds,
            backoff=backoff,
            on_undelivered=on_undelivered,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def publish(self, event: AuditEvent) -> Receipt:
        """Put an event into the buffer once it has room. ``await`` the receipt to wait for the bus.

        A task that is cancelled while it waits has published nothing.
        """
        entry = self._publisher.build(event)
        deadline = None if self._publish_seconds is None else monotonic() + self._publish_seconds
        # polling, not waiting in a thread: cancelling the task could not stop the thread
        while (receipt := self._publisher.try_send(entry)) is None:
            if deadline is not None and monotonic() >= deadline:
                raise self._publisher.full_error(entry)
            await asyncio.sleep(_RETRY_SECONDS)
        return receipt

    async def flush(self, timeout: float | None = None) -> None:
        await asyncio.to_thread(self._publisher.flush, timeout)

    async def close(self) -> None:
        await asyncio.to_thread(self._publisher.close)
