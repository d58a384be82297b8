"""What the design (parts 4 and 5) makes of raw objects: slow, plain, and sharing nothing with the product.

The tests hold the product against it, so it is written for being checked by eye beside the design; it uses the
standard library only, and not its ``json`` module, which takes NaN, lone surrogates and raw control characters. How
objects are packed is :mod:`tests.support.oracle_formats`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from tests.support.oracle_formats import GIB, open_object

Record = dict[str, Any]

MAX_DEPTH = 1000
DAY = timedelta(days=1)


# --- RFC 8259 -------------------------------------------------------------------------------------------------------


class BrokenError(Exception):
    """Not a JSON text."""


@dataclass
class Node:
    """A JSON value and the bytes it stands in: [start, end)."""

    kind: str  # object, array, string, number, literal
    start: int
    end: int = -1
    value: Any = None  # dict in the order of each key's last place, list, str; None for numbers and literals
    key: "Node | None" = None  # of a member's value its key; while an object is open the key whose value comes next


SPACE = re.compile(rb"[ \t\n\r]*")
#: What is skipped between texts: white space, a byte order mark, a comma, U+001E, backslash-n and backslash-r.
SEPARATORS = re.compile(rb"(?:[ \t\n\r,\x1e]|\xef\xbb\xbf|\\[nr])*")
TRAILING_SPACE = re.compile(rb"(?:[ \t\n\r]|\xef\xbb\xbf)*\Z")
NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
LITERAL = re.compile(rb"true|false|null")
TOKEN = re.compile(rb'(?:(?!\xef\xbb\xbf|\\[nr])[^ \t\n\r{}\[\]",:\x1e])+')
STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
ESCAPE = re.compile(r'\\(?:(["\\/bfnrt])|u(d[89ab]..)\\u(d[c-f]..)|u(d[89a-f]..)|u(....))', re.IGNORECASE | re.DOTALL)
ESCAPED = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def skip(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    found = pattern.match(data, at)
    return found.end() if found else at


def scan_value(data: bytes, at: int) -> Node:
    """The JSON value at ``at``. The stack is a list, not the interpreter's: depth is the design's business."""
    open_nodes: list[Node] = []
    while True:
        opening = data[at : at + 1]
        if opening in (b"{", b"["):
            if len(open_nodes) == MAX_DEPTH:
                raise BrokenError("nested too deep")
            node = Node("object", at, value={}) if opening == b"{" else Node("array", at, value=[])
            at = skip(SPACE, data, at + 1)
            if data[at : at + 1] != closing_of(node):
                at = before_value(data, at, node)
                open_nodes.append(node)
                continue
            node.end = at + 1
        else:
            node = scan_scalar(data, at)
        # the value is whole: put it into what is open around it, and close what it closes
        while open_nodes:
            outer = open_nodes[-1]
            if outer.kind == "object":
                node.key = outer.key
                outer.value.pop(outer.key.value, None)  # of repeated keys the last counts, at its last place
                outer.value[outer.key.value] = node
            else:
                outer.value.append(node)
            at = skip(SPACE, data, node.end)
            if data[at : at + 1] == b",":
                at = before_value(data, skip(SPACE, data, at + 1), outer)
                break
            if data[at : at + 1] != closing_of(outer):
                raise BrokenError("neither a comma nor the end")
            outer.end = at + 1
            node = open_nodes.pop()
        else:
            return node


def closing_of(node: Node) -> bytes:
    return b"}" if node.kind == "object" else b"]"


def before_value(data: bytes, at: int, outer: Node) -> int:
    """Where the next value of ``outer`` starts; reads the key before it where ``outer`` is an object."""
    if outer.kind == "array":
        return at
    outer.key = scan_string(data, at)
    at = skip(SPACE, data, outer.key.end)
    if data[at : at + 1] != b":":
        raise BrokenError("no colon")
    return skip(SPACE, data, at + 1)


def scan_scalar(data: bytes, at: int) -> Node:
    if data[at : at + 1] == b'"':
        return scan_string(data, at)
    for kind, pattern in (("number", NUMBER), ("literal", LITERAL)):
        found = pattern.match(data, at)
        if found:
            return Node(kind, at, found.end())
    raise BrokenError("no value")


def scan_string(data: bytes, at: int) -> Node:
    found = STRING.match(data, at)
    if not found:
        raise BrokenError("no string")
    try:
        text = found[0][1:-1].decode("utf-8")
    except UnicodeDecodeError as error:
        raise BrokenError("bad UTF-8") from error
    return Node("string", at, found.end(), ESCAPE.sub(unescape, text))


def unescape(found: re.Match[str]) -> str:
    short, high, low, lone, plain = found.groups()
    if short:
        return ESCAPED[short]
    if lone:
        raise BrokenError("lone surrogate")
    if high:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)
    return chr(int(plain, 16))


# --- texts ----------------------------------------------------------------------------------------------------------


@dataclass
class Text:
    """One text of an object, or one item of a top-level array of objects; ``node`` is None where it is not JSON."""

    start: int
    raw: bytes
    node: Node | None
    at_end: bool


def split(data: bytes) -> Iterator[Text]:
    at = 0
    while (at := skip(SEPARATORS, data, at)) < len(data):
        node = scan_text(data, at)
        end = node.end if node else next_event_start(data, at + 1)
        if node and is_array_of_objects(node):
            for item in node.value:
                yield Text(item.start, data[item.start : item.end], item, False)
        else:
            raw = data[at:end] if node else TRAILING_SPACE.sub(b"", data[at:end])
            yield Text(at, raw, node, end == len(data))
        at = end


def is_array_of_objects(node: Node) -> bool:
    return node.kind == "array" and bool(node.value) and all(item.kind == "object" for item in node.value)


def scan_text(data: bytes, at: int) -> Node | None:
    """A whole top-level value. Outside of a container a number or word ends where punctuation or a separator stands."""
    token = TOKEN.match(data, at)
    try:
        node = scan_value(data, at)
    except BrokenError:
        return None
    return node if not token or node.end == token.end() else None


def next_event_start(data: bytes, at: int) -> int:
    for brace in re.finditer(rb"\{", data[at:]):
        start = at + brace.start()
        if data[start - 1 : start] not in (b":", b",", b"["):
            try:
                node = scan_value(data, start)
            except BrokenError:
                continue
            if "source" in node.value and "detail" in node.value:
                return start
    return len(data)


# --- events and rows ------------------------------------------------------------------------------------------------

TIME = re.compile(
    r"(\d{4})(-\d\d-\d\d)T([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d+))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII | re.IGNORECASE,
)
SAFE_SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,247}")
ACTOR_TYPES = {"0": "Service", "1": "User", "2": "Client"}


@dataclass
class Item:
    """One text as the run sees it: an event that became rows and bad entities, or a reason why it did not."""

    raw_key: str
    offset: int
    raw: bytes
    reason: str | None = None
    event_date: date | None = None
    event_id: str | None = None
    source: str | None = None
    rows: list[Record] = field(default_factory=list)
    bad: list[tuple[int, str, bytes]] = field(default_factory=list)  # EntityIndex, Reason, Raw

    @property
    def same_as(self) -> tuple[str | None, str | None]:
        return self.source, self.event_id

    def equals(self, other: "Item") -> bool:
        bad = [(index, raw) for index, _, raw in self.bad]
        return self.rows == other.rows and bad == [(index, raw) for index, _, raw in other.bad]


def kind_of(node: Node | None, data: bytes) -> str:
    """``missing`` for what is not there or null."""
    if node is None or data[node.start : node.end] == b"null":
        return "missing"
    return node.kind


def child(node: Node | None, name: str) -> Node | None:
    return node.value.get(name) if node is not None and node.kind == "object" else None


def non_empty_string(node: Node | None) -> str | None:
    return node.value or None if node is not None and node.kind == "string" else None


def text_of(node: Node | None, data: bytes) -> str | None:
    """What a text column takes of a value."""
    if kind_of(node, data) == "missing":
        return None
    return node.value if node.kind == "string" else data[node.start : node.end].decode()


def exact(node: Node | None, data: bytes) -> str | None:
    """What Before, After and Context take of a value."""
    return None if kind_of(node, data) == "missing" else data[node.start : node.end].decode()


#: The members that a column takes, by where they stand.
KNOWN = {
    "detail": ("event_id", "entity_type", "action", "actor", "correlation_id", "context", "entities"),
    "actor": ("name", "type"),
    "change": ("entity", "parent", "before", "after", "channel_code", "channel_account_code"),
    "entity": ("id", "name"),
    "parent": ("id", "name", "type"),
}


def extra(places: dict[str, Node | None], data: bytes) -> str | None:
    """What Extra takes: of each place the members that no column takes, byte for byte."""
    given = []
    for place, node in places.items():
        members = node.value.values() if node is not None and node.kind == "object" else ()
        unknown = [
            data[member.key.start : member.key.end] + b":" + data[member.start : member.end]
            for member in members
            if member.key.value not in KNOWN[place]
        ]
        if unknown:
            given.append(f'"{place}":{{{b",".join(unknown).decode()}}}')
    return "{" + ",".join(given) + "}" if given else None


def parse_time(text: str) -> datetime | None:
    """UTC, cut to milliseconds. A year that ``datetime`` does not have is readable all the same: its nearest end."""
    found = TIME.fullmatch(text)
    if not found:
        return None
    year, day, hour, minute, second, fraction, sign, off_hours, off_minutes = found.groups()
    milliseconds = int(((fraction or "") + "000")[:3])
    offset = timedelta(hours=int(off_hours or 0), minutes=int(off_minutes or 0))
    try:
        # the calendar repeats every 400 years, and these are far from both ends
        stand_in = datetime.fromisoformat(f"{2000 + int(year) % 400}{day}T{hour}:{minute}:{second}")
    except ValueError:
        return None
    utc = stand_in + timedelta(milliseconds=milliseconds) + (offset if sign == "-" else -offset)
    utc_year = utc.year + int(year) - stand_in.year
    if not 1 <= utc_year <= 9999:
        return datetime.min if utc_year < 1 else datetime.max
    return utc.replace(year=utc_year)


def read_item(text: Text, data: bytes, raw_key: str, first: date, delivered: date) -> Item:
    item = Item(raw_key, text.start, text.raw)
    node = text.node
    if node is None or node.kind != "object":
        item.reason = "not_object" if node else "not_json"
        return item
    detail, source = child(node, "detail"), child(node, "source")
    item.event_id = non_empty_string(child(detail, "event_id")) or non_empty_string(child(node, "id"))
    item.source = source.value if kind_of(source, data) == "string" else None
    time = child(node, "time")
    moment = parse_time(time.value) if kind_of(time, data) == "string" else None
    item.event_date = moment.date() if moment else None
    item.reason = why_refused(node, data, moment, first, delivered)
    if item.reason is None:
        read_entities(item, node, data, moment)
    return item


def why_refused(node: Node, data: bytes, moment: datetime | None, first: date, delivered: date) -> str | None:
    """The first check that fails, in the design's order."""
    detail = child(node, "detail")
    for name, wanted, found in (
        ("id", "string", child(node, "id")),
        ("source", "string", child(node, "source")),
        ("time", "string", child(node, "time")),
        ("detail", "object", detail),
        ("entities", "array", child(detail, "entities")),
    ):
        kind = kind_of(found, data)
        if kind == "missing" or (name == "id" and kind == "string" and not found.value):
            return "missing_field"
        if kind != wanted:
            return "wrong_type"
        if name == "entities" and not found.value:
            return "no_entities"
    if moment is None:
        return "bad_time"
    if out_of_range(moment.date(), first, delivered):
        return "time_out_of_range"
    if not SAFE_SOURCE.fullmatch(child(node, "source").value):
        return "unsafe_source"
    if kind_of(child(detail, "actor"), data) not in ("missing", "object"):
        return "wrong_type"
    return None


def read_entities(item: Item, node: Node, data: bytes, moment: datetime) -> None:
    detail = child(node, "detail")
    actor = child(detail, "actor")
    actor_type = child(actor, "type")
    type_text = text_of(actor_type, data)
    common = {
        "Id": item.event_id,
        "Timestamp": moment.isoformat(timespec="milliseconds") + "Z",
        "ActorName": text_of(child(actor, "name"), data),
        "ActorType": ACTOR_TYPES.get(type_text, type_text) if kind_of(actor_type, data) == "number" else type_text,
        "EntityType": text_of(child(detail, "entity_type"), data),
        "Action": text_of(child(detail, "action"), data),
        "CorrelationId": text_of(child(detail, "correlation_id"), data),
        "EventType": text_of(child(node, "detail-type"), data),
        "Account": text_of(child(node, "account"), data),
        "Region": text_of(child(node, "region"), data),
        "Context": exact(child(detail, "context"), data),
        "dt": str(moment.date()),
        "source": item.source,
    }
    for index, change in enumerate(child(detail, "entities").value):
        reason = why_bad(change, data)
        if reason:
            item.bad.append((index, reason, data[change.start : change.end]))
            continue
        entity, parent = child(change, "entity"), child(change, "parent")
        own = {
            "EntityId": text_of(child(entity, "id"), data),
            "EntityName": text_of(child(entity, "name"), data),
            "EntityParentId": text_of(child(parent, "id"), data),
            "EntityParentName": text_of(child(parent, "name"), data),
            "EntityParentType": text_of(child(parent, "type"), data),
            "ChannelCode": text_of(child(change, "channel_code"), data),
            "ChannelAccountCode": text_of(child(change, "channel_account_code"), data),
            "Before": exact(child(change, "before"), data),
            "After": exact(child(change, "after"), data),
            "EntityIndex": index,
            "Extra": extra(
                {"detail": detail, "actor": actor, "change": change, "entity": entity, "parent": parent}, data
            ),
        }
        item.rows.append(common | own)


def why_bad(change: Node, data: bytes) -> str | None:
    if change.kind != "object":
        return "wrong_type"
    entity = child(change, "entity")
    if kind_of(entity, data) != "object":
        return "missing_field" if kind_of(entity, data) == "missing" else "wrong_type"
    if text_of(child(entity, "id"), data) in (None, "") or text_of(child(entity, "name"), data) is None:
        return "missing_field"
    return "wrong_type" if kind_of(child(change, "parent"), data) not in ("missing", "object") else None


# --- which run owns what --------------------------------------------------------------------------------------------

HOUR = re.compile(r"year=(\d{4})/month=(\d\d)/day=(\d\d)/hour=([01]\d|2[0-3])/")
#: Places where no partition reads, though they are of a day: any spelling of its folder, and the plain one.
PLACE = re.compile(r"(?:year=(\d{4})/month=(\d\d?)/day=(\d\d?)|(\d{4})/(\d\d)/(\d\d))/")
#: What tools leave behind.
LEFT_BEHIND = re.compile(
    r"(?:.*/)?(?:_temporary/.*|(?:_SUCCESS|_started_[^/]*|_committed_[^/]*|\.DS_Store|\._[^/]*|\.[^/]*\.crc|[^/]*_\$folder\$))"
)


def delivery_of(raw_key: str) -> tuple[date, int]:
    year, month, day, hour = map(int, HOUR.match(raw_key).groups())
    return date(year, month, day), hour


def is_left_behind(raw_key: str) -> bool:
    return LEFT_BEHIND.fullmatch(raw_key) is not None


def strays_of(raw: Mapping[str, bytes], partition: date) -> list[str]:
    """Objects of a day that lie in none of its hour folders."""
    strays = []
    for raw_key in sorted(raw):
        place = PLACE.match(raw_key)
        if place and not HOUR.match(raw_key) and not is_left_behind(raw_key):
            year, month, day = (int(number) for number in place.groups() if number)
            strays += [raw_key] if (year, month, day) == (partition.year, partition.month, partition.day) else []
    return strays


def out_of_range(event_date: date, first: date, delivered: date) -> bool:
    return event_date < first or event_date > delivered + DAY


def owner_of(item: Item, first: date, grace: int) -> date:
    delivered, hour = delivery_of(item.raw_key)
    if item.event_date is None or out_of_range(item.event_date, first, delivered):
        return delivered
    in_grace_of_the_day_before = item.event_date == delivered - DAY and hour < grace
    return item.event_date if in_grace_of_the_day_before else delivered


@dataclass
class Outcome:
    """What one run makes of its partition."""

    counts: Record
    rows: list[Record]
    quarantine: list[Record]


@dataclass
class Deliveries:
    """Everything in the delivery hours of a partition."""

    items: list[Item] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)  # of the own day
    objects: int = 0
    skipped: int = 0


@dataclass
class Oracle:
    """Runs of one lake."""

    raw: Mapping[str, bytes]
    first: date
    grace: int = 1
    limit: int = GIB
    kept: dict[date, list[Item]] = field(default_factory=dict)

    def run(self, partition: date) -> Outcome:
        found = self.read(partition)
        own = [item for item in found.items if owner_of(item, self.first, self.grace) == partition]
        kept, duplicates, records = self.settle(partition, own)
        self.kept[partition] = kept
        records += [record_of("unreadable_object", raw_key, self.raw[raw_key]) for raw_key in found.unreadable]
        rows = [row for item in kept for row in item.rows]
        settled = {id(item) for item in kept + duplicates}
        quarantined = [item for item in own if id(item) not in settled]
        counts = {
            "read": len(found.items),
            "kept": len(kept),
            "duplicate": len(duplicates),
            "deferred": len(found.items) - len(own),
            "quarantined": len(quarantined),
            "rows": len(rows),
            "late_rows": sum(row["dt"] != str(partition) for row in rows),
            "quarantined_records": len(records),
            "objects": found.objects,
            "unreadable": len(found.unreadable),
            "skipped": found.skipped,
            "strays": len(strays_of(self.raw, partition)),
            "text_bytes_read": sum(len(item.raw) for item in own),
            "text_bytes_quarantined": sum(len(item.raw) for item in quarantined),
            "unreadable_bytes": sum(len(self.raw[raw_key]) for raw_key in found.unreadable),
        }
        return Outcome(counts, sorted(rows, key=row_order), sorted(records, key=record_order))

    def read(self, partition: date) -> Deliveries:
        found = Deliveries()
        in_hours = [raw_key for raw_key in self.raw if HOUR.match(raw_key)]
        for raw_key in sorted(in_hours, key=lambda k: (delivery_of(k), k)):
            delivered, hour = delivery_of(raw_key)
            if delivered != partition and not (delivered == partition + DAY and hour < self.grace):
                continue
            if is_left_behind(raw_key):
                found.skipped += 1
                continue
            found.objects += 1
            data, is_whole = open_object(self.raw[raw_key], self.limit)
            if not is_whole and delivered == partition:
                found.unreadable.append(raw_key)
            for text in split(data):
                is_cut_off = not is_whole and text.at_end and text.node is None
                if not is_cut_off:
                    found.items.append(read_item(text, data, raw_key, self.first, delivered))
        return found

    def settle(self, partition: date, own: list[Item]) -> tuple[list[Item], list[Item], list[Record]]:
        """What of the partition's own events is kept, which are duplicates, and the quarantine.

        A copy that stands in the table already comes before the first of this run: it is the one that is kept.
        """
        kept, duplicates, records = [], [], []
        first_of: dict[tuple[str | None, str | None], Item] = {}
        for item in own:
            if item.reason:
                records.append(record_of(item.reason, item.raw_key, item.raw, item))
                continue
            standing = self.standing(partition, item)
            first_here = first_of.setdefault(item.same_as, item)
            earlier = standing or (first_here if first_here is not item else None)
            if earlier and earlier.equals(item):
                duplicates.append(item)
            elif earlier:
                records.append(record_of("conflicting_duplicate", item.raw_key, item.raw, item))
            else:
                records += [record_of(reason, item.raw_key, raw, item, index) for index, reason, raw in item.bad]
                kept += [item] if item.rows else []
        return kept, duplicates, records

    def standing(self, partition: date, item: Item) -> Item | None:
        """The same event in a file of another partition, under the same ``dt``."""
        for other, items in self.kept.items():
            for found in items:
                if other != partition and found.same_as == item.same_as and found.event_date == item.event_date:
                    return found
        return None


def record_of(reason: str, raw_key: str, raw: bytes, item: Item | None = None, index: int | None = None) -> Record:
    return {
        "Reason": reason,
        "RawKey": raw_key,
        "Offset": item.offset if item else None,
        "EntityIndex": index,
        "EventId": item.event_id if item else None,
        "Source": item.source if item else None,
        "Raw": raw,
    }


def row_order(row: Record) -> tuple[str, str, str, str, int]:
    """Files by name, and within a file (Timestamp, Id, EntityIndex)."""
    return row["dt"], row["source"], row["Timestamp"], row["Id"], row["EntityIndex"]


def record_order(record: Record) -> tuple[str, bool, int, int]:
    offset, index = record["Offset"], record["EntityIndex"]
    return record["RawKey"], offset is None, offset or 0, -1 if index is None else index
