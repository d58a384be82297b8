"""Plain values to JSON text, the same text for the same value, always."""

import json
from decimal import Decimal
from typing import Final

from audit_pipeline.producer.plain import Plain

__all__ = ["encode"]

#: PutEvents takes no JSON integers beyond these (its API reference, "JSON number (integer) data type").
_LEAST_INTEGER: Final = -(2**63)
_GREATEST_INTEGER: Final = 2**63 - 1


def encode(value: Plain) -> str:
    """JSON without white space, in the order of the fields, non-ASCII characters as they are.

    A ``Decimal`` is a JSON number with its own digits (``1.10`` stays ``1.10``), a ``float`` the shortest text that
    reads back as the same float. A whole number beyond 64 bits is a JSON *string* of its digits: the bus takes no such
    number.
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
    # by way of Decimal, as Python turns no integer of more than 4,300 digits into text
    digits = str(Decimal(value))
    is_integer = digits.lstrip("-").isdigit()
    return digits if not is_integer or _LEAST_INTEGER <= value <= _GREATEST_INTEGER else f'"{digits}"'
