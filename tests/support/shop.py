"""The audit log of a small shop on some days of May 2026, for the tests of queries and of the docs."""

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

from tests.support.lake import Lake, entity, event, key, zipped

ORDERS, STOCK = "myapp.orderservice", "myapp.inventoryservice"
DAYS = (date(2026, 5, 6), date(2026, 5, 12), date(2026, 5, 14), date(2026, 5, 28))
#: Events of one minute.
BUSY = 40


def filled(lake: Lake) -> Lake:
    for day in DAYS:
        lake.write(key(day), zipped("".join(text for text in events() if f'"{day}T' in text)))
        lake.run(day)
    return lake


def change(
    event_id: str,
    time: str,
    what: tuple[str, str],
    action: str,
    before: dict[str, Any] | str | None = None,
    after: dict[str, Any] | str | None = None,
    *,
    who: str = "jane@example.com",
    parent: str | None = None,
    source: str = ORDERS,
    name: str | None = None,
    correlation: str | None = None,
    channel: str | None = None,
    top: dict[str, Any] | None = None,
    context: str | None = None,
    trace: str | None = None,
) -> str:
    """An event of one entity change. ``before`` and ``after`` may be JSON texts, which are kept as they are."""
    kind, number = what
    fields = {"entity": json.dumps({"id": number, "name": name or f"{kind} #{number}"})}
    for field, value in (("before", before), ("after", after)):
        if value is not None:
            fields[field] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if parent:
        fields["parent"] = json.dumps({"id": parent, "name": f"Order #{parent}", "type": "Order"})
    if channel is not None:
        fields["channel_code"] = json.dumps(channel)
    detail = {
        "entity_type": json.dumps(kind),
        "action": json.dumps(action),
        "actor": json.dumps({"type": 1 if "@" in who else 0, "name": who}),
        "correlation_id": json.dumps(correlation) if correlation else None,
        "context": context,
        "trace": trace,
    }
    envelope = {name: json.dumps(value) for name, value in (top or {}).items()}
    return event(event_id, entity(**fields), time=time, source=source, top=envelope, detail=detail)


def events() -> Iterator[str]:
    order, item = ("Order", "500"), ("OrderItem", "1001")
    yield change("e0", "2026-05-06T07:00:00Z", ("OrderItem", "1000"), "Delete", {"quantity": "1"}, None, parent="500")
    yield change("e1", "2026-05-12T09:00:00Z", order, "Create", None, '{"status":"Pending","total":1.10,"note":null}')
    yield change(
        "e2",
        "2026-05-12T09:00:01Z",
        item,
        "Create",
        None,
        {"quantity": "2", "sku": "SKU-1"},
        parent="500",
        channel="WEB",
    )
    yield change(
        "e3", "2026-05-12T09:00:02Z", ("Reservation", "77"), "Create", None, {"shelf": "A 4"}, who="stock-sync",
        parent="500", source=STOCK,
    )  # fmt: skip
    yield change(
        "e4", "2026-05-14T12:31:01.250Z", item, "Update", {"quantity": "2", "status": "Pending"},
        {"quantity": "5", "status": "Processing"}, parent="500", correlation="40f12582-b3be-4aeb-a7ca-9d9247030e20",
        top={"detail-type": "orderitemupdated.v1", "account": "111122223333", "region": "eu-west-1"},
        context='{ "ip":"203.0.113.9" }', trace='"4bf9"',
    )  # fmt: skip
    yield change(
        "e5", "2026-05-14T12:31:02Z", order, "Update", '{"status":"Pending","total":1.10,"note":null}',
        '{"status":"Paid","total":1.1,"tag":"50% off_all"}',
    )  # fmt: skip
    yield change("e6", "2026-05-14T12:32:00Z", item, "Delete", {"quantity": "5"}, None, who="stock-sync", parent="500")
    for number in range(BUSY):
        yield change(
            f"b{number:02}", "2026-05-14T13:00:00Z", ("Order", f"{600 + number}"), "Update", {"status": "Pending"},
            {"status": "Shipped"}, who="stock-sync",
        )  # fmt: skip
    for hour in (8, 9, 10):
        yield change(
            f"w{hour}", f"2026-05-28T{hour:02}:15:00Z", ("Order", "700"), "Update", {"step": hour - 1}, {"step": hour},
            name="O'Brien's order",
        )  # fmt: skip
    yield change("w11", "2026-05-28T11:00:00Z", ("Order", "700"), "Update", None, None, who="stock-sync", channel="")
