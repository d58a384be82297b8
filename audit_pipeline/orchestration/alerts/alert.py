"""An alert: one message about one finding."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final, Literal

import msgspec

__all__ = ["SEVERITIES", "Alert", "Kind", "Severity", "Status", "id_of"]

Kind = Literal["failed_check", "failed_run", "missed_deadline", "late_files"]
Severity = Literal["info", "warn", "error"]
Status = Literal["open", "recovered"]

#: In ascending order.
SEVERITIES: Final[tuple[Severity, ...]] = ("info", "warn", "error")


class Alert(msgspec.Struct, frozen=True):
    """One message. The file and the webhook get it as JSON, with these names.

    ``id`` is the same when the same message is sent again. ``finding`` is the same for all messages about one finding:
    when it opened, got worse and recovered. ``severity`` of a recovery is that of the finding. ``at`` (UTC) is when it
    happened, not when it was sent.
    """

    id: str
    finding: str
    kind: Kind
    severity: Severity
    status: Status
    partition: str | None
    title: str
    text: str
    what_to_do: str
    at: datetime
    run_id: str | None = None
    details: Mapping[str, object] = {}


def id_of(*parts: object) -> str:
    return sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]
