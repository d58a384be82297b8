"""The cursor: a position between two rows, bound to the query that it came from.

It holds the key of the row at the edge of a page, (Timestamp, Id, source, EntityIndex), which is unique and sorts as
the rows do: every row is on exactly one page for any page sizes, also while rows are added or removed elsewhere.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from datetime import date
from typing import Final

import msgspec

from audit_pipeline.epoch import moment_of
from audit_pipeline.query.errors import CursorError
from audit_pipeline.query.query import AuditLogQuery

__all__ = ["CursorCodec", "Position"]

_VERSION: Final = 1
_HASH_BYTES: Final = 16


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A row's key in the order over all sources (docs/design.md, "Order"); ``timestamp_ms`` counts from 1970, UTC."""

    timestamp_ms: int
    id: str
    source: str
    entity_index: int


class _Payload(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    version: int
    filters: bytes
    timestamp_ms: int
    id: str
    source: str
    entity_index: int


class CursorCodec:
    """Encodes and decodes cursors. With a ``key`` they are signed, and those of another key are refused."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key

    def encode(self, position: Position, query: AuditLogQuery) -> str:
        p = position
        payload = msgspec.msgpack.encode(
            _Payload(_VERSION, _fingerprint(query), p.timestamp_ms, p.id, p.source, p.entity_index)
        )
        return base64.urlsafe_b64encode(self._signature(payload) + payload).rstrip(b"=").decode()

    def decode(self, cursor: str, query: AuditLogQuery) -> Position:
        """The position in ``cursor``. :class:`CursorError` where it is damaged or belongs to other filters."""
        try:
            data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise CursorError("is damaged: pass it unchanged") from error
        size = len(self._signature(b""))
        signature, payload = data[:size], data[size:]
        if not hmac.compare_digest(signature, self._signature(payload)):
            raise CursorError("was not signed with this key")
        try:
            decoded = msgspec.msgpack.decode(payload, type=_Payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CursorError("is damaged, or signed while no key is set: pass it unchanged") from error
        if decoded.version != _VERSION:
            raise CursorError(
                f"is of version {decoded.version}, this client reads version {_VERSION}: start from the first page"
            )
        if decoded.filters != _fingerprint(query):
            other = "belongs to a query with other filters or another order"
            raise CursorError(f"{other}: restore them, or start from the first page")
        if not query.from_date <= _date_of(decoded.timestamp_ms) < query.to_date:
            raise CursorError("is of a time outside the query's range: pass it unchanged")
        return Position(decoded.timestamp_ms, decoded.id, decoded.source, decoded.entity_index)

    def _signature(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, payload, "sha256") if self._key else b""


def _date_of(epoch_ms: int) -> date:
    try:
        return moment_of(epoch_ms).date()
    except OverflowError as error:
        raise CursorError("is damaged: pass it unchanged") from error


def _fingerprint(query: AuditLogQuery) -> bytes:
    return hashlib.sha256(msgspec.msgpack.encode(query.filters())).digest()[:_HASH_BYTES]
