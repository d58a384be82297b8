"""The fast path: a window of well-formed events to structures.

It reads what producers nearly always send, and gives the same rows as :mod:`audit_pipeline.transform.exact`. A window
with anything else in it is left to that, as a whole. The cost is in allocations and cache misses, so windows are small
enough for the processor's cache, and the structs are not tracked by the garbage collector.
"""

import re
from functools import cache
from types import GenericAlias
from typing import Annotated, Any, Final, cast

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta, Raw, Struct, defstruct

from audit_pipeline.transform.exact import is_safe_source
from audit_pipeline.transform.extra import Place, extra_text, unknown_members
from audit_pipeline.transform.memo import Memo

__all__ = ["Actor", "Change", "Detail", "Event", "Extras", "FastReader", "Parent", "has_safe_sources", "text_sizes"]

_NULL: Final = Raw(b"null")

# Only a whole number above 0 has one spelling, so that its value gives its text: `-0`, `1.10` and `1e2` do not.
_Text = str | Annotated[int, Meta(ge=1)]
_NonEmpty = Annotated[str, Meta(min_length=1)]

#: The column Extra of one event: of each of its changes, or one for all of them.
Extras = list[bytes | None] | bytes | None


class Entity(Struct, gc=False, kw_only=True):
    id: _NonEmpty | Annotated[int, Meta(ge=1)]
    name: _Text


class Parent(Struct, gc=False, kw_only=True):
    id: _Text | None = None
    name: _Text | None = None
    type: _Text | None = None


class Actor(Struct, gc=False, kw_only=True):
    name: _Text | None = None
    type: Raw = _NULL


class Change(Struct, gc=False, kw_only=True):
    entity: Entity
    parent: Parent | None = None
    channel_code: _Text | None = None
    channel_account_code: _Text | None = None
    before: Raw = _NULL
    after: Raw = _NULL


class Detail(Struct, gc=False, kw_only=True):
    entities: Annotated[list[Change], Meta(min_length=1)]
    event_id: str | None = None
    entity_type: _Text | None = None
    action: _Text | None = None
    correlation_id: _Text | None = None
    actor: Actor | None = None
    context: Raw = _NULL


class Event(Struct, gc=False, kw_only=True):
    """The members of an event that columns are made of."""

    id: _NonEmpty
    source: str
    time: str
    detail: Detail
    detail_type: _Text | None = msgspec.field(name="detail-type", default=None)
    account: _Text | None = None
    region: _Text | None = None


class _Details(Struct, gc=False):
    detail: Raw


class _ChangeParts(Struct, gc=False):
    entity: Raw
    parent: Raw = _NULL


class _DetailParts(Struct, gc=False):
    entities: list[_ChangeParts]
    actor: Raw = _NULL


class _Parts(Struct, gc=False):
    detail: _DetailParts


class _DetailChanges(Struct, gc=False):
    entities: list[Raw]


class _Changes(Struct, gc=False):
    detail: _DetailChanges


_DETAILS = msgspec.json.Decoder(_Details)
_PARTS = msgspec.json.Decoder(_Parts)
_CHANGES = msgspec.json.Decoder(_Changes)
_MEMBERS = msgspec.json.Decoder(dict[str, Raw])
_TEXTS = msgspec.json.Decoder(Raw)

#: msgspec's message about a member that a struct does not have; a test holds msgspec to it.
_UNKNOWN = re.compile(
    r"Object contains unknown field .* - at `\$\[\d+\]\.detail(?P<detail>\.(?P<actor>actor)|\.entities\[\d+\]"
    r"(?P<change>\.(?P<entity>entity)|\.(?P<parent>parent))?)?`",
    re.DOTALL,
)

_safe_sources = Memo(is_safe_source)


class FastReader:
    """Reads windows. Events nearly always have members that no column takes in the same places, or in none.

    To collect them costs a second look at each place, so it is done only where a window has had one before.
    """

    def __init__(self) -> None:
        self._places: frozenset[Place] = frozenset()

    def read(self, window: bytes | memoryview) -> tuple[list[Event], list[Extras]] | None:
        """The events of a window of valid UTF-8, and Extra of each; None where the window holds anything else."""
        while True:
            try:
                events = _decoder(self._places).decode_lines(window)
                return events, _extras(window, self._places, len(events))
            except msgspec.ValidationError as error:
                place = _place_of_unknown(error)
                if place is None:
                    return None
                self._places |= {place}
            except (msgspec.DecodeError, RecursionError):
                return None


def _place_of_unknown(error: msgspec.ValidationError) -> Place | None:
    found = _UNKNOWN.fullmatch(str(error))
    if found is None:
        return None
    if found["detail"] is None:
        return "detail"
    if found["actor"]:
        return "actor"
    if found["change"] is None:
        return "change"
    return "entity" if found["entity"] else "parent"


@cache
def _decoder(places: frozenset[Place]) -> "msgspec.json.Decoder[Event]":
    """It refuses unknown members everywhere but in these places."""

    def struct(place: Place, base: type[Any], **fields: Any) -> Any:
        members = [(name, *given) for name, given in fields.items()]
        return defstruct(
            base.__name__, members, bases=(base,), gc=False, kw_only=True, forbid_unknown_fields=place not in places
        )

    actor, entity, parent = struct("actor", Actor), struct("entity", Entity), struct("parent", Parent)
    change = struct("change", Change, entity=(entity,), parent=(parent | None, None))
    entities: Any = Annotated[GenericAlias(list, (change,)), Meta(min_length=1)]
    detail = struct("detail", Detail, entities=(entities,), actor=(actor | None, None))
    event = defstruct("Event", [("detail", detail)], bases=(Event,), gc=False, kw_only=True)
    return msgspec.json.Decoder(cast(type[Event], event))


def _extras(window: bytes | memoryview, places: frozenset[Place], events: int) -> list[Extras]:
    """Extra of the events of a window, which has unknown members in these places alone."""
    if not places:
        return [None] * events
    details = _DETAILS.decode_lines(window) if "detail" in places else [None] * events
    parts = _PARTS.decode_lines(window) if places & {"actor", "entity", "parent"} else [None] * events
    changes = _CHANGES.decode_lines(window) if "change" in places else [None] * events
    return [_extras_of_event(places, *one) for one in zip(details, parts, changes, strict=True)]


def _extras_of_event(
    places: frozenset[Place], whole: _Details | None, parts: _Parts | None, changes: _Changes | None
) -> Extras:
    of_event = [_unknown("detail", whole.detail)] if whole else []
    if parts and "actor" in places:
        of_event.append(_unknown("actor", parts.detail.actor))
    columns = []
    if changes:
        columns.append([_unknown("change", change) for change in changes.detail.entities])
    if parts and "entity" in places:
        columns.append([_unknown("entity", change.entity) for change in parts.detail.entities])
    if parts and "parent" in places:
        columns.append([_unknown("parent", change.parent) for change in parts.detail.entities])
    if columns:
        return [extra_text([*of_event, *of_change]) for of_change in zip(*columns, strict=True)]
    return extra_text(of_event)


def _unknown(place: Place, text: Raw) -> bytes:
    return (
        b""
        if len(text) == len(_NULL) and bytes(text) == b"null"
        else unknown_members(place, _MEMBERS.decode(text), text)
    )


def text_sizes(window: bytes | memoryview) -> npt.NDArray[np.int64]:
    """The bytes of each event of a window that was read, without what separates them."""
    return np.fromiter(map(len, _TEXTS.decode_lines(window)), np.int64)


def has_safe_sources(events: list[Event]) -> bool:
    return all(_safe_sources[source] for source in {event.source for event in events})
