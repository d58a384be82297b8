"""Hypothesis strategies for raw objects as *text*, with what should become of them where that is known.

Text, because the product promises the exact bytes of what was delivered: white space, escapes and the spelling of
numbers are chosen here, not by a JSON library.
"""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from tests.support.formats import PACKERS, gzip_members
from tests.support.lake import DAY1, DAY2, DAY3, key

Draw = st.DrawFn
Record = dict[str, Any]

#: The partitions that the tests run.
DAYS = (DAY1, DAY2, DAY3)


def chance(one_in: int) -> st.SearchStrategy[bool]:
    """True once in so many times; not by comparing integers, which are drawn at their ends far more often."""
    return st.sampled_from([False] * (one_in - 1) + [True])


# --- JSON values as text --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Value:
    """A JSON value's text, and what a text column takes of it (None for null)."""

    text: str
    column: str | None


SPACES = st.sampled_from(["", "", "", "", " ", "\n", "\t", "\r\n", "  \n "])

NUMBERS = [
    *("0", "-0", "7", "1001", "1.10", "-0.0", "1e2", "1E+2", "2e-7", "0.1000", "1e400", "5e-324"),
    *("12345678901234567890", "123456789012345678901234567890", "0.30000000000000004", "9007199254740993"),
]

#: Pieces of strings: as written between the quotes, and what they mean.
PIECES = [
    *(("a", "a"), ("Z9", "Z9"), (" ", " "), ("é", "é"), ("中", "中"), ("😀", "😀"), ("'", "'"), ("\x7f", "\x7f")),
    *(("\\u00e9", "é"), ("\\u0041", "A"), ("\\ud83d\\ude00", "😀"), ("\\uD83D\\uDE00", "😀"), ("\\u0000", "\0")),
    *(("\\n", "\n"), ("\\t", "\t"), ("\\r", "\r"), ("\\b", "\b"), ("\\f", "\f"), ("\\/", "/"), ("\\\\", "\\")),
    *(('\\"', '"'), ("}{", "}{"), ("\\\\ud800", "\\ud800"), ("[,:]", "[,:]"), ("\u2028", "\u2028")),
    ('{\\"source\\":1,\\"detail\\":2}', '{"source":1,"detail":2}'),
]


@st.composite
def strings(draw: Draw, min_size: int = 0) -> Value:
    pieces = draw(st.lists(st.sampled_from(PIECES), min_size=min_size, max_size=4))
    if draw(chance(10)):
        meant = draw(st.text(max_size=5))
        pieces.append((json.dumps(meant, ensure_ascii=draw(st.booleans()))[1:-1], meant))
    return Value('"' + "".join(p[0] for p in pieces) + '"', "".join(p[1] for p in pieces))


def as_written(text: str) -> Value:
    return Value(text, text)


SCALARS = st.one_of(
    strings(),
    st.sampled_from([as_written(n) for n in NUMBERS]),
    st.sampled_from([as_written("true"), as_written("false"), Value("null", None)]),
)


@st.composite
def containers(draw: Draw, inner: st.SearchStrategy[Value]) -> Value:
    items = [v.text for v in draw(st.lists(inner, max_size=3))]
    # one kind of white space a container: enough variety, and fewer choices to draw
    space = draw(SPACES)
    if draw(st.booleans()):
        return as_written(f"[{space}{f'{space},{space}'.join(items)}{space}]")
    # few names, so that keys repeat
    keys = [draw(st.sampled_from(['"a"', '"b"', '"\\u0061"', '""', '"source"', '"detail"'])) for _ in items]
    members = [f"{k}{space}:{space}{v}" for k, v in zip(keys, items, strict=True)]
    return as_written("{" + space + f"{space},{space}".join(members) + space + "}")


#: Any JSON value.
VALUES = st.recursive(SCALARS, containers, max_leaves=6)


@dataclass(frozen=True)
class Members:
    """An object's text, and its unknown members as Extra joins them: the last of each key, without white space."""

    text: str
    unknown: str = ""


#: Keys that no column takes, as written and decoded; some are a column's in another place, or in other letters.
UNKNOWN = [
    *(('"x"', "x"), ('"\\u0078"', "x"), ('"unknown"', "unknown"), ('""', ""), ('"Entity"', "Entity"), ('"a b"', "a b")),
    *(('"type"', "type"), ('"context"', "context"), ('"before"', "before"), ('"id"', "id"), ('"name"', "name")),
    *(('"é"', "é"), ('"\\u00e9"', "é"), ('"\\"}{"', '"}{'), ('"\\ud83d\\ude00"', "😀"), ('"source"', "source")),
]


@st.composite
def objects(draw: Draw, fields: Sequence[tuple[str, str]], extras: int = 1) -> Members:
    """An object with these fields (name, value text): in any order, with unknown and repeated keys between."""
    members = [(f'"{k}"', k, v) for k, v in draw(st.permutations([(k, v) for k, v in fields if v]))]
    names = {name for name, _ in fields}
    for _ in range(draw(st.integers(0, extras))):
        unknown = draw(st.sampled_from([(written, name) for written, name in UNKNOWN if name not in names]))
        members.insert(draw(st.integers(0, len(members))), (*unknown, draw(VALUES).text))
    if members and draw(chance(8)):
        # of repeated keys the last counts: put another value of the same key, once with an escape, before it
        at = draw(st.integers(0, len(members) - 1))
        written, name, _ = members[at]
        escaped = f'"\\u{ord(name[0]):04x}{written[2:]}' if written[1].isalpha() else written
        earlier = (draw(st.sampled_from([written, escaped])), name, draw(VALUES).text)
        members.insert(draw(st.integers(0, at)), earlier)
    space = draw(SPACES)
    last = {name: n for n, (_, name, _) in enumerate(members)}
    return Members(
        "{" + space + f"{space},{space}".join(f"{k}{space}:{space}{v}" for k, _, v in members) + space + "}",
        ",".join(f"{k}:{v}" for n, (k, name, v) in enumerate(members) if name not in names and last[name] == n),
    )


def extra_column(unknown: Mapping[str, str]) -> str | None:
    """Extra, of the unknown members of each place."""
    given = [f'"{place}":{{{members}}}' for place, members in unknown.items() if members]
    return "{" + ",".join(given) + "}" if given else None


# --- events with known answers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """An entity change's text, its row's own columns and unknown members by place; of a bad one the reason."""

    text: str
    columns: Record = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True)
class EventText:
    """An event's text and the rows that must become of it where it is delivered in range."""

    text: str
    event_id: str
    source: str
    day: date
    rows: tuple[Record, ...]
    bad: tuple[tuple[int, str, str], ...]  # EntityIndex, Reason, Raw


@dataclass(frozen=True)
class Moment:
    """A ``time`` as written and as the Timestamp column has it."""

    text: str
    day: date
    timestamp: str


def optional(strategy: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    """A value, null, or nothing (an empty text)."""
    return st.one_of(strategy, st.just(Value("null", None)), st.just(Value("", None)))


def kept_exactly(value: Value) -> str | None:
    return None if value.text in ("", "null") else value.text


#: What ``entity.id`` and ``entity.name`` take; an id may not be empty.
NAMES = st.one_of(
    strings(min_size=1), st.sampled_from([as_written(t) for t in ("7", "1.10", "true", "[]", '{"a": 1}')])
)


@st.composite
def changes(draw: Draw) -> Change:
    entity_id, name, before, after = draw(NAMES), draw(NAMES), draw(optional(VALUES)), draw(optional(VALUES))
    code, account = draw(optional(SCALARS)), draw(optional(VALUES))
    parent_id, parent_name, parent_type = (draw(optional(SCALARS)) for _ in range(3))
    named = draw(objects([("id", entity_id.text), ("name", name.text)]))
    parent = draw(objects([("id", parent_id.text), ("name", parent_name.text), ("type", parent_type.text)]))
    if draw(chance(4)):
        parent_id = parent_name = parent_type = Value("", None)
        parent = draw(st.sampled_from([Members(""), Members("null"), Members("{}")]))
    fields = [
        ("entity", named.text),
        ("parent", parent.text),
        ("before", before.text),
        ("after", after.text),
        ("channel_code", code.text),
        ("channel_account_code", account.text),
    ]
    columns = {
        "EntityId": entity_id.column,
        "EntityName": name.column,
        "EntityParentId": parent_id.column,
        "EntityParentName": parent_name.column,
        "EntityParentType": parent_type.column,
        "ChannelCode": code.column,
        "ChannelAccountCode": account.column,
        "Before": kept_exactly(before),
        "After": kept_exactly(after),
    }
    change = draw(objects(fields))
    return Change(change.text, columns, {"change": change.unknown, "entity": named.unknown, "parent": parent.unknown})


BAD_CHANGES = st.sampled_from(
    [
        Change("7", reason="wrong_type"),
        Change("null", reason="wrong_type"),
        Change('[ {"entity":{}} ]', reason="wrong_type"),
        Change('{"entity" : "1"}', reason="wrong_type"),
        Change('{"entity":{"id":"1","name":"n"},"parent":[]}', reason="wrong_type"),
        Change('{"entity":{"id":"1","name":"n"},"parent":"é\\u00e9"}', reason="wrong_type"),
        Change("{}", reason="missing_field"),
        Change('{"entity" : null, "before":1}', reason="missing_field"),
        Change('{"entity":{"id":"","name":"n"}}', reason="missing_field"),
        Change('{"entity":{"id":null,"name":"n"}}', reason="missing_field"),
        Change('{"entity":{"id":"1"}}', reason="missing_field"),
    ]
)

ACTOR_TYPES = st.sampled_from(
    [
        Value("0", "Service"),
        Value("1", "User"),
        Value("2", "Client"),
        Value("3", "3"),
        Value('"1"', "1"),
        Value("", None),
    ]
)

#: (hour, minute, second) near the places where ownership changes, and one far from them.
CLOCKS = [(0, 0, 0), (0, 59, 59), (1, 0, 0), (12, 30, 15), (23, 0, 0), (23, 59, 59)]


@st.composite
def moments(draw: Draw, days: Sequence[date]) -> Moment:
    day = draw(st.sampled_from(days))
    hour, minute, second = draw(st.sampled_from(CLOCKS))
    fraction = draw(st.sampled_from(["", "", ".5", ".123", ".123456", ".9999999", ".000"]))
    timestamp = f"{day}T{hour:02}:{minute:02}:{second:02}.{(fraction[1:] + '000')[:3]}Z"
    offset = draw(st.sampled_from([0, 0, 0, 330, -525, 1439]))
    shifted = timedelta(days=1, hours=hour, minutes=minute + offset)
    local_day = day + timedelta(days=shifted.days - 1)
    sign, (off_hours, off_minutes) = "-" if offset < 0 else "+", divmod(abs(offset), 60)
    zone = f"{sign}{off_hours:02}:{off_minutes:02}" if offset else draw(st.sampled_from(["Z", "z", "+00:00", "-00:00"]))
    clock = f"{shifted.seconds // 3600:02}:{shifted.seconds // 60 % 60:02}:{second:02}"
    return Moment(f"{local_day}{draw(st.sampled_from('Tt'))}{clock}{fraction}{zone}", day, timestamp)


@st.composite
def events(
    draw: Draw,
    event_id: str,
    *,
    days: Sequence[date] = (DAY1,),
    sources: Sequence[str] = ("shop", "My-App_3"),
    bad_changes: bool = False,
) -> EventText:
    """A sound event; with ``bad_changes`` some of its entities are not."""
    moment, source = draw(moments(days)), draw(st.sampled_from(sources))
    one = st.one_of(changes(), changes(), BAD_CHANGES) if bad_changes else changes()
    listed = draw(st.lists(one, min_size=1, max_size=3))
    actor_name, actor_type = draw(optional(strings())), draw(ACTOR_TYPES)
    actor = draw(objects([("name", actor_name.text), ("type", actor_type.text)]))
    kind, action, correlation, account = (draw(optional(SCALARS)) for _ in range(4))
    event_type, region, context = (draw(optional(VALUES)) for _ in range(3))
    # the Id comes from the one or the other
    given = draw(st.booleans())
    space = draw(SPACES)
    fields = [
        ("event_id", json.dumps(event_id) if given else draw(st.sampled_from(["", "null", "7", '""']))),
        ("actor", actor.text),
        ("entity_type", kind.text),
        ("action", action.text),
        ("correlation_id", correlation.text),
        ("context", context.text),
        ("entities", f"[{space}{f'{space},{space}'.join(c.text for c in listed)}{space}]"),
    ]
    detail = draw(objects(fields, 2))
    envelope = [
        ("id", json.dumps(f"envelope of {event_id}" if given else event_id)),
        ("source", json.dumps(source)),
        ("time", json.dumps(moment.text)),
        ("detail", detail.text),
        ("detail-type", event_type.text),
        ("account", account.text),
        ("region", region.text),
    ]
    common = {
        "Id": event_id,
        "Timestamp": moment.timestamp,
        "ActorName": actor_name.column,
        "ActorType": actor_type.column,
        "EntityType": kind.column,
        "Action": action.column,
        "CorrelationId": correlation.column,
        "EventType": event_type.column,
        "Account": account.column,
        "Region": region.column,
        "Context": kept_exactly(context),
        "dt": str(moment.day),
        "source": source,
    }
    unknown = {"detail": detail.unknown, "actor": actor.unknown}
    return EventText(
        text=draw(objects(envelope)).text,
        event_id=event_id,
        source=source,
        day=moment.day,
        rows=tuple(
            common | c.columns | {"EntityIndex": n, "Extra": extra_column(unknown | c.unknown)}
            for n, c in enumerate(listed)
            if not c.reason
        ),
        bad=tuple((n, c.reason, c.text) for n, c in enumerate(listed) if c.reason),
    )


#: Events that are refused as a whole, by an id and a time put in.
REFUSED = [
    '{"id":null,"source":"shop","time":"@","detail":{"entities":[{"entity":{"id":1,"name":2}}]}}',
    '{"id":"#","source":7,"time":"@","detail":{"entities":[{"entity":{"id":1,"name":2}}]}}',
    '{"id":"#","source":"a/b","time":"@","detail":{"entities":[{"entity":{"id":1,"name":2}}]}}',
    '{"id":"#","source":"shop","time":"@","detail":{"entities":[]}}',
    '{"id":"#","source":"shop","time":"@","detail":{"entities":{}}}',
    '{"id":"#","source":"shop","time":"@","detail":[]}',
    '{"id":"#","source":"shop","time":"@","detail":{"actor":"x","entities":[{"entity":{"id":1,"name":2}}]}}',
    '{"id":"#","source":"shop","time":"@ ","detail":{"entities":[{"entity":{"id":1,"name":2}}]}}',
    '{"id":"#","source":"shop","time":17,"detail":{"entities":[{"entity":{"id":1,"name":2}}]}}',
]


@st.composite
def refused_events(draw: Draw, days: Sequence[date]) -> str:
    text = draw(st.sampled_from(REFUSED))
    return text.replace("@", draw(moments(days)).text).replace("#", draw(st.sampled_from(["r1", "r2"])))


# --- from texts to objects ------------------------------------------------------------------------------------------

#: White space only, for where broken text may stand: whether a separator behind it is part of it is not said.
PLAIN_SEPARATORS = st.sampled_from(["", "", "\n", "\n", " ", "\r\n", "\n\n \t"])
SEPARATORS = st.one_of(
    PLAIN_SEPARATORS,
    st.sampled_from(
        ["\ufeff", "\n\ufeff", ",", ",\n", " , ", ",,", "\x1e", "\n\x1e", "\\n", "\\r\\n", "\\n\n", "\\r,"]
    ),
)


@st.composite
def arrays(draw: Draw, texts: Sequence[str]) -> str:
    """A top-level array of these objects, which holds a text each."""
    space = draw(SPACES)
    return f"[{space}{f'{space},{space}'.join(texts)}{space}]"


@st.composite
def joined(draw: Draw, texts: Sequence[str]) -> bytes:
    """Whole texts one after the other, divided in any way, some of them in an array."""
    if len(texts) and draw(chance(4)):
        start = draw(st.integers(0, len(texts) - 1))
        end = draw(st.integers(start + 1, len(texts)))
        texts = [*texts[:start], draw(arrays(texts[start:end])), *texts[end:]]
    parts = [draw(SEPARATORS)]
    for text in texts:
        parts += [text, draw(SEPARATORS)]
    return "".join(parts).encode()


#: What may stand between and after the members of a gzip object.
PADDINGS = st.sampled_from([b"\0", b"\n", b"\r\n", b" \t", bytes(512), b"\n\0\n"])


@st.composite
def gzipped(draw: Draw, content: bytes) -> bytes:
    """gzip in one or several members, perhaps with padding between and after them."""
    cuts = sorted(draw(st.lists(st.integers(0, len(content)), max_size=3)))
    bounds = [0, *cuts, len(content)]
    level = draw(st.sampled_from([0, 1, 6]))
    between = draw(PADDINGS) if draw(chance(3)) else b""
    return between.join(gzip.compress(content[a:b], level, mtime=0) for a, b in pairwise(bounds)) + between


@st.composite
def packed(draw: Draw, content: bytes) -> bytes:
    """An object with this content: plain, or in any format, perhaps within another."""
    match draw(st.sampled_from(["plain", "gzip", "gzip", "other", "layers"])):
        case "plain":
            return content
        case "gzip":
            return draw(gzipped(content))
        case "other":
            return draw(st.sampled_from([*PACKERS.values()]))(content)
    inner = draw(st.sampled_from([*PACKERS.values()]))(content)
    if draw(chance(3)):
        half = len(content) // 2
        inner = gzip_members([content[:half], content[half:]], draw(PADDINGS))
    return draw(st.sampled_from([*PACKERS.values()]))(inner)


GARBAGE = [
    *(
        b"garbage",
        b"NaN",
        b"01",
        b"-",
        b"[1,2]",
        b'"text"',
        b"true",
        b"null",
        b"12",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
    ),
    *(
        b"{}",
        b"[1,]",
        b'{"a":1}',
        b'{"a" 1}',
        b'[{"source":1,"detail":2}]',
        b'{"source":1,"detail":2}',
        b'"\xff"',
        b"\0",
    ),
    *(
        b"\x1e",
        b"\\n",
        b"\\r",
        b"\\",
        b'[{"a":1},2]',
        b"[{}]",
        b"[ {} , {} ]",
        b"[[{}]]",
        b'[{"source":1,"detail":2},{"a":1}]',
    ),
    *(b'{"detail": {"source":1,"detail":2}, "x"}', b'{"source":1,"detail": {"source":1,"detail":{}}', b'"', b'{"a":"b'),
]

INSERTED = [
    *(
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\\",
        b"\0",
        b"\x1f",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b" ",
        b"\n",
        b"0",
    ),
    *(b"\x1e", b"\\n", b"[{}]"),
    *(b"-", b".", b"e", b"\\ud800", b"\\", b"{}", b'{"source":1,"detail":2}', b'"a":1,', b"null", b"\x7f", b"\xc3\xa9"),
]


@st.composite
def damaged(draw: Draw, text: bytes) -> bytes:
    """An event's text cut, or with bytes flipped, put in or taken out."""
    at = draw(st.integers(0, len(text) - 1))
    match draw(st.sampled_from(["cut", "cut", "flip", "insert", "remove", "head"])):
        case "cut":
            return text[:at]
        case "head":
            return text[at:]
        case "flip":
            return text[:at] + bytes([text[at] ^ 1 << draw(st.integers(0, 7))]) + text[at + 1 :]
        case "insert":
            return text[:at] + draw(st.sampled_from(INSERTED)) + text[at:]
        case _:
            return text[:at] + text[at + draw(st.integers(1, 20)) :]


@st.composite
def damaged_object(draw: Draw, data: bytes) -> bytes:
    """An object's bytes cut or corrupted, as a broken upload or disk would."""
    if not data:
        return data
    # the first ten bytes are a gzip header: mostly fields that nobody checks
    at = draw(st.integers(min(10, len(data) - 1), len(data) - 1))
    match draw(st.sampled_from(["cut", "cut", "flip", "junk"])):
        case "cut":
            return data[:at]
        case "flip":
            return data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
        case _:
            return data + draw(st.sampled_from([b"\1", b"junk", b"\x1f\x8b", b"\x1f\x8b\x08"]))


@st.composite
def any_content(draw: Draw, texts: Sequence[str]) -> bytes:
    """Texts of events with damage to some of them and garbage between."""
    if len(texts) and draw(chance(5)):
        size = draw(st.integers(1, len(texts)))
        texts = [draw(arrays(texts[:size])), *texts[size:]]
    parts = [draw(PLAIN_SEPARATORS).encode()]
    are_sound = True
    for text in texts:
        part = text.encode()
        if draw(chance(5)):
            part, are_sound = draw(damaged(part)), False
        parts.append(part)
        if draw(chance(5)):
            parts += [draw(PLAIN_SEPARATORS).encode(), draw(st.sampled_from(GARBAGE))]
            are_sound = False
        parts.append(draw(SEPARATORS if are_sound else PLAIN_SEPARATORS).encode())
        are_sound = True
    return b"".join(parts)


@st.composite
def any_object(draw: Draw, texts: Sequence[str]) -> bytes:
    """Of damage to an object only what the design says: of gzip, and of plain text."""
    content = draw(any_content(texts))
    if not draw(chance(7)):
        return draw(packed(content))
    return draw(damaged_object(draw(gzipped(content)) if draw(st.booleans()) else content))


# --- days of deliveries ---------------------------------------------------------------------------------------------

#: Delivery hours on both sides of the midnights and of the grace hour.
HOURS = [(day, hour) for day in (*DAYS, DAYS[-1] + timedelta(days=1)) for hour in (0, 1, 12, 23)]
#: Dates of events: mostly of the partitions, else the day before the first and days out of range of some deliveries.
DATES = [*DAYS, *DAYS, *DAYS, DAY1 - timedelta(days=1), *(DAYS[-1] + timedelta(days=n) for n in (1, 2))]
OBJECT_NAMES = ["a", "b.gz", "B", "ü", "10", "9", "_odd", ".hidden", "x.crc", "deep/er"]
#: What tools leave in an hour folder, and objects that lie where no partition reads them.
LEFT_BEHIND = ["_SUCCESS", "_temporary/0/a", ".DS_Store", "._a", ".a.crc", "a_$folder$", "_started_1", "_committed_1"]
STRAYS = [
    *("year=2026/month=05/day=01/hour=5/a", "year=2026/month=05/day=02/hour=24/a", "year=2026/month=05/day=03/a"),
    *("year=2026/month=5/day=01/hour=05/a", "year=2026/month=5/day=2/hour=5/a", "year=2026/month=05/day=3/hour=05/a"),
    *("2026/05/01/05/a", "2026/05/02/a"),
]

ORDERS = st.one_of(
    st.permutations(DAYS),
    # a partition may also run again, and one may not have run yet
    st.lists(st.sampled_from(DAYS), min_size=2, max_size=5),
)


def slots(hours: Sequence[tuple[date, int]] = HOURS) -> st.SearchStrategy[str]:
    return st.builds(lambda at, name: key(*at, name), st.sampled_from(hours), st.sampled_from(OBJECT_NAMES))


def altered(event: EventText) -> str:
    """The same event with another value in a column, or, where it has no row, with another bad entity."""
    # numbers as strings: the spelling is lost either way, and 1e400 would come back as a word that is not JSON
    parsed = json.loads(event.text, parse_float=str)
    if event.rows:
        parsed["detail"]["action"] = f"{parsed['detail'].get('action')}, altered"
    else:
        parsed["detail"]["entities"].append(8)
    return json.dumps(parsed, ensure_ascii=False)


def respelled(event: EventText) -> str:
    """The same event with other bytes that no column shows: a member of the envelope."""
    return event.text[:-1] + ',"resources":["again"]}'


@st.composite
def deliveries(draw: Draw) -> dict[str, bytes]:
    """Raw objects of several hours and days, by key: events of any form, some damaged, some objects too."""
    texts: dict[str, list[str]] = {}
    for number in range(draw(st.integers(1, 4))):
        event = draw(events(f"e{number}", days=DATES, bad_changes=True))
        copies = st.sampled_from([event.text, event.text, respelled(event), altered(event)])
        for copy in draw(st.lists(copies, min_size=1, max_size=3)):
            texts.setdefault(draw(slots()), []).append(copy)
    for refused in draw(st.lists(refused_events(DATES), max_size=2)):
        texts.setdefault(draw(slots()), []).append(refused)
    raw = {raw_key: draw(any_object(listed)) for raw_key, listed in texts.items()}
    if draw(chance(3)):
        raw |= dict.fromkeys(draw(st.lists(st.sampled_from(STRAYS), max_size=3)), b"{}")
        names = draw(st.lists(st.sampled_from(LEFT_BEHIND), max_size=3))
        raw |= {key(*draw(st.sampled_from(HOURS)), name): b"left" for name in names}
    return raw


#: Entities of plain events: rows, rows beside a bad one, and no row at all.
BODIES = [
    '[{"entity":{"id":1,"name":"n"}}]',
    '[{"entity":{"id":1,"name":"n"}},{"entity":{"id":2,"name":"n"}}]',
    '[{"entity":{"id":1,"name":"n"}},7]',
    '[{"entity":{"id":1,"name":"n"}},8]',
    "[7]",
    "[8]",
]


@st.composite
def copied_deliveries(draw: Draw, *, conflicts: bool) -> dict[str, bytes]:
    """Few plain events, each delivered several times over the hours and days; with ``conflicts`` not always equal."""
    texts: dict[str, list[str]] = {}
    for number in range(draw(st.integers(1, 4))):
        body, moment, source = draw(st.sampled_from(BODIES)), draw(moments(DATES)), draw(st.sampled_from(["a", "b"]))
        # most events do not arrive before they happen
        hours = HOURS if draw(chance(4)) else [at for at in HOURS if at[0] >= moment.day] or HOURS
        for _ in range(draw(st.integers(1, 5))):
            envelope = draw(st.sampled_from(["x", "y"]))
            if conflicts and draw(chance(4)):
                body = draw(st.sampled_from(BODIES))
            text = (
                f'{{"id":"{envelope}","source":"{source}","time":"{moment.text}",'
                f'"detail":{{"event_id":"e{number}","entities":{body}}}}}'
            )
            texts.setdefault(draw(slots(hours)), []).append(text)
    return {raw_key: "\n".join(listed).encode() for raw_key, listed in texts.items()}
