"""The simulated company: its services, the entities that they own, and the fields of these.

Everything here is data. Values are JSON texts, because an audit log has to preserve the exact text.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = ["ACTORS", "AGENTS", "CHANNELS", "CHANNEL_ACCOUNTS", "KINDS", "REASONS", "UPDATE", "Action", "EntityKind"]

#: A field of an entity: its possible ``"name":value`` texts.
Field = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Action:
    """What is done to an entity, and whether its events have the states before and after."""

    name: str
    past: str
    has_before: bool = True
    has_after: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class EntityKind:
    """One type of entity. ``weight`` is its share of all events in per cent.

    A kind with a ``parent`` has :data:`CHILDREN` entities for each entity of that kind.
    """

    name: str
    label: str
    source: str
    weight: int
    first_id: int
    #: Number of entities; unused where there is a parent.
    population: int
    #: The first is also a member of ``entity``.
    fields: tuple[Field, ...]
    parent: "EntityKind | None" = None
    #: Actions by their share in per cent: 100 entries.
    actions: tuple[Action, ...] = ()
    #: JSON texts of names; the kind's label and the id where empty.
    names: tuple[str, ...] = ()

    def name_of(self, entity_id: int) -> str:
        """JSON text of the entity's name: the same for an id at any time."""
        return self.names[entity_id % len(self.names)] if self.names else f'"{self.label} #{entity_id}"'


CHILDREN: Final = 4
UPDATE: Final = Action("Update", "updated")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _texts(name: str, values: Iterable[object]) -> Field:
    return tuple(f'"{name}":{_json(value)}' for value in values)


def _verbatim(name: str, json_texts: Iterable[str]) -> Field:
    return tuple(f'"{name}":{text}' for text in json_texts)


def _money(name: str, highest_cents: int) -> Field:
    return _texts(
        name, (f"{cents // 100}.{cents % 100:02}" for cents in range(95, highest_cents, highest_cents // 900))
    )


def _moments(name: str) -> Field:
    return _texts(
        name, (f"2026-0{n % 4 + 1}-{n % 28 + 1:02}T{n % 24:02}:{n * 7 % 60:02}:{n * 13 % 60:02}Z" for n in range(2000))
    )


def _references(name: str, start: str) -> Field:
    return _texts(name, (f"{start}-{n * 2654435761 % 2**32:08X}" for n in range(4000)))


def _actions(*special: Action) -> tuple[Action, ...]:
    create = Action("Create", "created", has_before=False)
    delete = Action("Delete", "deleted", has_after=False)
    usual = [create] * 24 + [delete] * 8 + [action for action in special for _ in range(4)]
    return tuple(usual + [UPDATE] * (100 - len(usual)))


_PEOPLE: Final = (
    "Jane Doe", "Seán O'Brien", "Zoë Müller", "李小龍", "Ana María Núñez", "Oluwaseun Adé", 'Bob "Bobby" Tables',
    "Łukasz Żak", "Дмитрий Соколов", "山田 太郎", "Fatima Al-Zahra", "Björn Åkesson", "D'Arcy Lewis", "Priya Nair",
    "Noël Dupont", "Ioana Țurcanu", "Emeka Okafor", "Maeve O'Connor", "Tomás Ó Sé", "Li Na",
)  # fmt: skip
_PRODUCTS: Final = (
    "Mug, 0.3 l", "O'Brien's Tea Towel", 'Monitor 27"', "Crème brûlée set", "Cable USB-C → HDMI", "Desk lamp",
    "Notebook A5 \\ dotted", "Backpack \N{SCHOOL SATCHEL}", "Kettle <1.7 l>", "Blanket & pillow", "Chess set",
    "Wok 30 cm", "Läufer 200 cm",
)  # fmt: skip
_STREETS: Final = ("Main St", "Rue de l'Église", "Königsallee", "O'Connell St", "Calle Mayor", "Ulica Długa", "銀座")
_CITIES: Final = ("Dublin", "Köln", "Lyon", "Łódź", "São Paulo", "Tokyo", "New York")
_NOTES: Final = (
    '""', "null", '"call before delivery"', '"gift: don\'t print prices"', '"line one\\nline two"',
    '"\\u00fcber Nacht"',
    '"tab\\tseparated"', '"said \\"leave at the door\\""', '"path C:\\\\orders\\\\in"', '"r\\u00e9sum\\u00e9 attached"',
)  # fmt: skip
_ADDRESSES: Final = tuple(
    _json(
        {
            "street": f"{n * 3 + 1} {_STREETS[n % 7]}",
            "city": _CITIES[n // 7 % 7],
            "postal_code": f"{n * 7919 % 100_000:05}",
        }
    )
    for n in range(980)
)

_NOTE: Final = _verbatim("note", _NOTES)
_UPDATED: Final = _moments("updated_at")
_WAREHOUSE: Final = _texts("warehouse", (f"WH-{city}-{n}" for city in _CITIES for n in range(1, 5)))
_CURRENCY: Final = _texts("currency", ("EUR", "USD", "GBP", "JPY"))

_ORDER: Final = EntityKind(
    "Order", "Order", "myapp.orderservice", weight=25, first_id=500, population=50_000,
    actions=_actions(Action("Cancel", "cancelled"), Action("Approve", "approved")),
    fields=(
        _texts("status", ("Pending", "Processing", "Shipped", "Delivered", "Cancelled", "OnHold")),
        _money("total", 250_000),
        _CURRENCY,
        _verbatim("shipping_address", _ADDRESSES),
        _references("customer_ref", "CUST"),
        _texts("item_count", (str(n) for n in range(1, 40))),
        _NOTE,
        _UPDATED,
    ),
)  # fmt: skip
_ITEM: Final = EntityKind(
    "OrderItem", "Order Item", "myapp.orderservice", weight=30, first_id=1001, population=0, parent=_ORDER,
    actions=_actions(),
    fields=(
        _texts("status", ("Pending", "Processing", "Packed", "Shipped", "Returned")),
        _texts("quantity", (str(n) for n in range(1, 60))),
        _references("sku", "SKU"),
        _texts("product", _PRODUCTS),
        _verbatim("unit_price", (f"{n * 17 % 400}.{n * 10 % 100:02}" for n in range(1, 900))),
        _verbatim("discount", ("0", "0.0", "1.10", "0.05", "-0.50", "1e1", "12.500")),
        _texts("gift_wrap", (True, False)),
        _WAREHOUSE,
        _UPDATED,
        _NOTE,
    ),
)  # fmt: skip
_PRODUCT: Final = EntityKind(
    "Product", "Product", "myapp.inventoryservice", weight=14, first_id=20_000, population=8_000,
    names=tuple(map(_json, _PRODUCTS)),
    actions=_actions(Action("Publish", "published")),
    fields=(
        _texts("title", _PRODUCTS),
        _money("list_price", 90_000),
        _verbatim("weight_kg", ("0.3", "1.10", "2", "12.500", "1e2", "4.0E-1", "0.7500")),
        _verbatim("gtin", (f"{4_006_381_333_931 + n * 104_729}" for n in range(1500))),
        _verbatim("ledger_number", (f"{10**29 + n * 982_451_653 * 10**15}" for n in range(700))),
        _verbatim("tags", ('["new"]', '["sale","outlet"]', "[]", '["kitchen","gift"]', "null")),
        _texts("active", (True, False)),
        _references("supplier", "SUP"),
        _UPDATED,
    ),
)  # fmt: skip
_STOCK: Final = EntityKind(
    "StockLevel", "Stock of Product", "myapp.inventoryservice", weight=10, first_id=70_000, population=0,
    parent=_PRODUCT,
    actions=_actions(Action("Recount", "recounted")),
    fields=(
        _verbatim("on_hand", map(str, range(0, 2400, 3))),
        _verbatim("reserved", map(str, range(300))),
        _verbatim("reorder_point", map(str, range(0, 200, 5))),
        _WAREHOUSE,
        _references("bin", "BIN"),
        _references("batch", "LOT"),
        _moments("counted_at"),
        _UPDATED,
        _NOTE,
    ),
)  # fmt: skip
_USER: Final = EntityKind(
    "User", "User", "myapp.userservice", weight=11, first_id=300_000, population=30_000,
    names=tuple(map(_json, _PEOPLE)),
    actions=_actions(
        Action("Login", "loggedin", has_before=False, has_after=False),
        Action("ResetPassword", "passwordreset"),
    ),
    fields=(
        _texts("display_name", _PEOPLE),
        _texts("email", (f"user{n}@example.com" for n in range(3000))),
        _texts("role", ("customer", "support", "admin", "auditor")),
        _texts("locale", ("en-IE", "de-DE", "fr-FR", "pl-PL", "ja-JP")),
        _verbatim("address", _ADDRESSES),
        _texts("mfa", (True, False)),
        _verbatim("failed_logins", map(str, range(9))),
        _moments("last_login"),
    ),
)  # fmt: skip
_SHIPMENT: Final = EntityKind(
    "Shipment", "Shipment", "myapp.shippingservice", weight=10, first_id=900_000, population=0, parent=_ORDER,
    actions=_actions(Action("Dispatch", "dispatched")),
    fields=(
        _texts("status", ("Created", "InTransit", "OutForDelivery", "Delivered", "Lost")),
        _texts("carrier", ("DHL", "An Post", "UPS", "Colissimo", "ヤマト運輸")),
        _references("tracking_number", "TRK"),
        _verbatim("destination", _ADDRESSES),
        _verbatim("weight_kg", (f"{n / 20:.2f}" for n in range(1, 600))),
        _moments("eta"),
        _UPDATED,
    ),
)  # fmt: skip

#: Every kind as often as its weight: 100 entries.
KINDS: Final = tuple(kind for kind in (_ORDER, _ITEM, _PRODUCT, _STOCK, _USER, _SHIPMENT) for _ in range(kind.weight))

_MAILBOXES: Final = ("jane", "sean.o'brien", "zoe", "ana.maria", "bob", "priya", "emeka", "maeve", "tomás", "li.na")
#: JSON texts of actors, the busiest first: services (0), users (1) and API clients (2).
ACTORS: Final = tuple(
    _json({"type": kind, "name": name})
    for n in range(200)
    for kind, name in (
        (1, f"{_MAILBOXES[n % 10]}{n or ''}@example.com"),
        (0, f"{('order-sync', 'stock-import', 'billing', 'crm-bridge')[n % 4]}-{n}"),
        (2, f"client-{n * 7919 % 10_000:04}"),
    )
)

#: JSON texts.
CHANNELS: Final = ('"WEB"', '"WEB"', '"WEB"', '"APP"', '"APP"', '"POS"', '"EDI"', '"MARKETPLACE"')
CHANNEL_ACCOUNTS: Final = ('"Primary"', '"Primary"', '"Secondary"', '"EU"', '"Zürich"', '"O\'Brien Ltd"', "7001")

#: Members of contexts: JSON texts of user agents, and of reasons, which most events do not give.
AGENTS: Final = (
    '"Mozilla/5.0 (X11; Linux x86_64) Firefox/141.0"', '"Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X)"',
    '"okhttp/5.1.0"', '"python-requests/2.32"',
)  # fmt: skip
REASONS: Final = (
    *("",) * 13, ',"reason":"customer called"', ',"reason":"ticket #4711: \\"wrong size\\""', ',"reason":"Rückgabe"',
)  # fmt: skip
