"""JSON text of a value, always the same text for the same value."""

import json
from decimal import Decimal
from typing import Final

from audit_pipeline.producer.snapshots import JsonValue

__all__ = ["encode"]

#: PutEvents accepts no JSON integers beyond these (its API reference, "JSON number (integer) data type").
_LEAST_INTEGER: Final = -(2**63)
_GREATEST_INTEGER: Final = 2**63 - 1


def encode(value: JsonValue) -> str:
    """JSON without white space, in the order of the fields, non-ASCII characters as they are.

    A ``Decimal`` becomes a JSON number with its own digits (``1.10`` stays ``1.10``), a ``float`` the shortest text
    that parses to the same float. An integer beyond 64 bits becomes a JSON *string* of its digits, as the bus accepts
    no such number.
    """
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return _number(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return f"[{','.join(map(encode, value))}]"
    return f"{{{','.join(f'{encode(name)}:{encode(item)}' for name, item in value.items())}}}"


def _number(value: int | Decimal) -> str:
    # through Decimal, as Python does not convert integers of more than 4,300 digits to text
    digits = str(Decimal(value))
    is_integer = digits.lstrip("-").isdigit()
    return digits if not is_integer or _LEAST_INTEGER <= value <= _GREATEST_INTEGER else f'"{digits}"'
