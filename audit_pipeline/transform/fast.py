"""The fast path: a window of well-formed events to structures.

It reads what producers nearly always send, and gives the same rows as :mod:`audit_pipeline.transform.exact`. A window
with anything else in it is left to that, as a whole. The cost is in allocations and cache misses, so windows are small
enough for the processor's cache, and the structs are not tracked by the garbage collector.
"""

import re
from collections.abc import Mapping
from functools import cache
from itertools import chain, islice, repeat
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

#: The column Extra, of each change of some events.
Extras = list[bytes | None]

#: Places that may be null.
_OPTIONAL: Final = frozenset[Place]({"actor", "parent"})


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


_MEMBERS = msgspec.json.Decoder(dict[str, Raw])
_TEXTS = msgspec.json.Decoder(Raw)

#: msgspec's message about a member that a struct does not have; a test holds msgspec to it.
_UNKNOWN = re.compile(
    r"Object contains unknown field .* - at `\$(\[\d+\])?(\.detail)?"
    r"(?P<change>\.entities\[\d+\])?(\.(?P<inner>actor|entity|parent))?`",
    re.DOTALL,
)

_safe_sources = Memo(is_safe_source)


class FastReader:
    """Reads windows. Events nearly always have members that no column takes in the same places, or in none.

    To collect them costs a second look at each place, so it is done only where a window has had one before.
    """

    def __init__(self) -> None:
        self._places: frozenset[Place] = frozenset()

    def read(self, window: bytes | memoryview) -> tuple[list[Event], Extras | None] | None:
        """The events of a window of valid UTF-8, and Extra of all their changes, or None where it is NULL in all.

        None where the window holds anything else.
        """
        while True:
            try:
                return _decoder_for(self._places).decode(window)
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
    return cast(Place, found["inner"] or ("change" if found["change"] else "detail"))


class _Decoder:
    """Decodes events that may have unknown members in these places, and has an error for those in other places.

    What may have some is first left as text, for there its members are still to be seen.
    """

    def __init__(self, places: frozenset[Place]) -> None:
        self._places = places
        structs: dict[Place, Any] = {"actor": Actor, "entity": Entity, "parent": Parent}
        for place, struct in structs.items():
            structs[place] = self._struct(place, struct)
        structs["change"] = self._struct(
            "change", Change, entity=self._member("entity", structs), parent=self._member("parent", structs, None)
        )
        entities: Any = Annotated[GenericAlias(list, self._member("change", structs)), Meta(min_length=1)]
        structs["detail"] = self._struct(
            "detail", Detail, entities=(entities,), actor=self._member("actor", structs, None)
        )
        event = defstruct(
            "Event", [("detail", *self._member("detail", structs))], bases=(Event,), gc=False, kw_only=True
        )
        self._events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(event)
        self._inner = {place: msgspec.json.Decoder(structs[place]).decode for place in places}

    def _struct(self, place: Place, base: type[Any], **members: Any) -> Any:
        return defstruct(
            base.__name__,
            [(name, *member) for name, member in members.items()],
            bases=(base,),
            gc=False,
            kw_only=True,
            forbid_unknown_fields=place not in self._places,
        )

    def _member(self, place: Place, structs: Mapping[Place, Any], *default: None) -> tuple[Any, ...]:
        """Type and default of the member that holds this object."""
        if place in self._places:
            return (Raw, *(_NULL for _ in default))
        return (structs[place] | None, None) if default else (structs[place],)

    def decode(self, window: bytes | memoryview) -> tuple[list[Event], Extras | None]:
        events = self._events.decode_lines(window)
        return events, self._complete(events) if self._places else None

    def _complete(self, events: list[Event]) -> Extras:
        """Decode what was left as text, one place after the other; returns Extra of all changes."""
        of_events: list[list[bytes]] = []
        if "detail" in self._places:
            unknown, details = self._take("detail", [event.detail for event in events])
            of_events.append(unknown)
            for event, detail in zip(events, details, strict=True):
                event.detail = detail
        details = [event.detail for event in events]
        if "actor" in self._places:
            unknown, actors = self._take("actor", [detail.actor for detail in details])
            of_events.append(unknown)
            for detail, actor in zip(details, actors, strict=True):
                detail.actor = actor
        counts = [len(detail.entities) for detail in details]
        columns = [list(chain.from_iterable(map(repeat, column, counts))) for column in of_events]
        changes = list(chain.from_iterable(detail.entities for detail in details))
        if "change" in self._places:
            unknown, changes = self._take("change", changes)
            columns.append(unknown)
            rest = iter(changes)
            for detail, count in zip(details, counts, strict=True):
                detail.entities = list(islice(rest, count))
        if "entity" in self._places:
            unknown, entities = self._take("entity", [change.entity for change in changes])
            columns.append(unknown)
            for change, entity in zip(changes, entities, strict=True):
                change.entity = entity
        if "parent" in self._places:
            unknown, parents = self._take("parent", [change.parent for change in changes])
            columns.append(unknown)
            for change, parent in zip(changes, parents, strict=True):
                change.parent = parent
        if len(columns) == 1:
            return [b"{%b}" % part if part else None for part in columns[0]]
        return list(map(extra_text, zip(*columns, strict=True)))

    def _take(self, place: Place, texts: list[Any]) -> tuple[list[bytes], list[Any]]:
        """The unknown members of these objects of a place, and their structs."""
        decode = self._inner[place]
        if place in _OPTIONAL and any(map(_is_null, texts)):
            return (
                [b"" if _is_null(text) else unknown_members(place, text, _MEMBERS.decode(text)) for text in texts],
                [None if _is_null(text) else decode(text) for text in texts],
            )
        return list(map(unknown_members, repeat(place), texts, map(_MEMBERS.decode, texts))), list(map(decode, texts))


def _is_null(text: Raw) -> bool:
    return len(text) == len(b"null") and bytes(text) == b"null"


_decoder_for = cache(_Decoder)


def text_sizes(window: bytes | memoryview) -> npt.NDArray[np.int64]:
    """The bytes of each event of a window that was read, without what separates them."""
    return np.fromiter(map(len, _TEXTS.decode_lines(window)), np.int64)


def has_safe_sources(events: list[Event]) -> bool:
    return all(_safe_sources[source] for source in {event.source for event in events})
