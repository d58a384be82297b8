"""Malformed events, which the pipeline quarantines.

Every fault yields one text that becomes one quarantine record, with the reason :attr:`Fault.reason`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from audit_pipeline.simulate.events import with_new_envelope_id

__all__ = ["FAULTS", "Fault", "conflicting", "detail_as_text"]

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """A way in which an event is malformed. ``damage`` makes its text from that of a well-formed event."""

    kind: str
    #: The quarantine's reason (``audit_pipeline.contract.columns.REASONS``).
    reason: str
    damage: Callable[[str, Random], str]


def conflicting(text: str, rng: Random) -> str:
    """Another event with the same ``source`` and ``detail.event_id``, as of a producer that reuses ids."""

    def rename(document: Document) -> None:
        entity = document["detail"]["entities"][0]["entity"]
        entity["name"] = f"{entity['name']} (corrected)"

    return with_new_envelope_id(_changed(text, rename), rng)


def detail_as_text(text: str) -> str:
    """The event as a producer sends it that encodes ``detail`` twice: a JSON text where an object belongs."""
    return _changed(text, _encode_detail)


def _encode_detail(document: Document) -> None:
    document["detail"] = json.dumps(document["detail"])


def _changed(text: str, change: Callable[[Document], None]) -> str:
    document = json.loads(text)
    change(document)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _changing(*changes: Callable[[Document], None]) -> Callable[[str, Random], str]:
    return lambda text, rng: _changed(text, rng.choice(changes))


def _without(field: str) -> Callable[[str, Random], str]:
    return _changing(lambda document: document.pop(field), lambda document: document.update({field: None}))


def _with(field: str, *values: object) -> Callable[[str, Random], str]:
    def damage(text: str, rng: Random) -> str:
        return _changed(text, lambda document: document.update({field: rng.choice(values)}))

    return damage


def _cut_off(text: str, rng: Random) -> str:
    end = rng.randrange(len(text) // 5, len(text) - 5)
    # after one of these characters, the next record would be parsed as a value of this text
    return text[:end].rstrip(":,[ ")


def _garbage(_text: str, rng: Random) -> str:
    return rng.choice(_GARBAGE)


def _entity(document: Document) -> Document:
    change: Document = document["detail"]["entities"][0]
    return change


_GARBAGE: Final = (
    "Internal Server Error: upstream timed out after 3000 ms",
    "<html><body><h1>502 Bad Gateway</h1></body></html>",
    "\ufffd\ufffd\x00\x00PNG\r\n\x1a",
    "{'source': 'myapp.orderservice', 'detail': {'entities': []}}",
    'java.lang.NullPointerException: Cannot invoke "Order.getId()" because "order" is null\n\tat com.myapp.Orders',
)

_wrong_type: Final = _changing(
    lambda document: document.update(id=1001),
    lambda document: document.update(source=["myapp.orderservice"]),
    lambda document: document.update(time=1_777_593_014),
    _encode_detail,
    lambda document: document["detail"].update(entities=_entity(document)),
    lambda document: document["detail"].update(actor="jane@example.com"),
    lambda document: _entity(document).update(entity="Order #500"),
    lambda document: _entity(document).update(parent="500"),
)

#: All faults; each is equally probable for a malformed event.
FAULTS: Final = (
    Fault("cut_off", "not_json", _cut_off),
    Fault("garbage", "not_json", _garbage),
    Fault("not_object", "not_object", lambda text, _rng: json.dumps(text)),
    Fault("missing_id", "missing_field", _without("id")),
    Fault("missing_source", "missing_field", _without("source")),
    Fault("missing_time", "missing_field", _without("time")),
    Fault("missing_detail", "missing_field", _without("detail")),
    Fault("no_entities", "no_entities", _changing(lambda document: document["detail"].update(entities=[]))),
    Fault(
        "entity_without_id",
        "missing_field",
        _changing(
            lambda document: _entity(document)["entity"].pop("id"),
            lambda document: _entity(document)["entity"].update(id=""),
        ),
    ),
    Fault(
        "bad_time",
        "bad_time",
        _with("time", "yesterday", "2026-05-01T03:50:14", "2026-02-30T10:00:00Z", "2026-05-01T25:00:00Z", "1777593014"),
    ),
    Fault("far_future", "time_out_of_range", _with("time", "2099-01-01T00:00:00Z", "9999-12-31T23:59:59Z")),
    Fault("unsafe_source", "unsafe_source", _with("source", "../myapp", "my app", "myapp/orderservice", ".hidden")),
    Fault("wrong_type", "wrong_type", _wrong_type),
)
