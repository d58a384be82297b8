"""Helpers of the tests of the rules in docs/design.md."""

import json
from typing import Any

from tests.support.lake import DAY1, Lake, Record, entity, key

BOM = "\ufeff"

#: Entities of two copies of an event that are not equal.
COPY = entity(after="1")
OTHER = entity(after="2")


def read(lake: Lake, data: str | bytes, *, hour: int = 10) -> Record:
    """Deliver one object on the first day, run that day, and give what the manifest counts of events."""
    lake.write(key(DAY1, hour), data)
    lake.run()
    return lake.manifest()["events"]


def objects(read: int = 0, *, unreadable: int = 0, skipped: int = 0, strays: int = 0) -> Record:
    """What a manifest counts of objects."""
    return {"read": read, "unreadable": unreadable, "skipped": skipped, "strays": strays}


def lines(*texts: str) -> str:
    return "\n".join(texts) + "\n"


def raws(records: list[Record]) -> list[str]:
    return [record["Raw"].decode() for record in records]


def only(items: list[Any]) -> Any:
    (item,) = items
    return item


def pretty(text: str) -> str:
    return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
