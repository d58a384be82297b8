"""What carries over from one tick of the alert sensor to the next: its cursor."""

import zlib
from base64 import b64decode, b64encode
from collections import Counter
from typing import Final

import msgspec

from audit_pipeline.errors import AuditPipelineError
from audit_pipeline.orchestration.alerts.alert import Alert, Kind, Severity

__all__ = ["Finding", "State", "Undelivered", "UnreadableStateError", "decode", "encode"]

_VERSION: Final = 1


class UnreadableStateError(AuditPipelineError):
    """The sensor's cursor was written by another version, or by hand."""


class Finding(msgspec.Struct, frozen=True, array_like=True):
    """Something wrong that was reported and has not recovered.

    ``subject`` distinguishes findings of the same kind and partition. ``since`` is the id of the event that opened it,
    0 for a missed deadline, which has no event. ``awaits`` is the asset or check whose next event for the partition
    ends a failed run.
    """

    kind: Kind
    subject: str
    partition: str | None
    severity: Severity
    since: int
    awaits: str = ""

    @property
    def key(self) -> tuple[str, str, str | None]:
        return (self.kind, self.subject, self.partition)


class Undelivered(msgspec.Struct, frozen=True):
    """An alert, and the names of the channels that it has not reached yet."""

    alert: Alert
    channels: tuple[str, ...]


class State(msgspec.Struct, frozen=True):
    """``start`` and ``position`` are event ids: after which the first tick began, and up to which events were read.

    ``seen`` are the ids read shortly before ``position``.
    """

    start: int
    position: int
    seen: tuple[int, ...] = ()
    open: tuple[Finding, ...] = ()
    outbox: tuple[Undelivered, ...] = ()


class _Cursor(msgspec.Struct, frozen=True):
    """A state as the UI shows it: a summary in plain text, and the whole state, compressed.

    Dagster keeps the cursor of every tick for days, so it has to be small even when much is open.
    """

    version: int
    position: int
    open_findings: int
    undelivered: dict[str, int]
    state: str


def encode(state: State) -> str:
    waiting = Counter(channel for item in state.outbox for channel in item.channels)
    packed = b64encode(zlib.compress(msgspec.json.encode(state), 9)).decode()
    cursor = _Cursor(_VERSION, state.position, len(state.open), dict(sorted(waiting.items())), packed)
    return msgspec.json.encode(cursor).decode()


def decode(text: str) -> State:
    """The state of a cursor; :class:`UnreadableStateError` for any other text."""
    try:
        cursor = msgspec.json.decode(text, type=_Cursor)
        if cursor.version != _VERSION:
            raise UnreadableStateError(f"the cursor is of version {cursor.version}, not {_VERSION}")
        return msgspec.json.decode(zlib.decompress(b64decode(cursor.state)), type=State)
    except (msgspec.MsgspecError, zlib.error, ValueError) as error:
        raise UnreadableStateError(f"the cursor cannot be read: {error}") from error
