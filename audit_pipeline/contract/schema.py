"""The event's JSON Schema, generated from the types; ``python -m audit_pipeline.contract.schema`` writes the file."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from audit_pipeline.contract.event import Event

__all__ = ["SCHEMA_FILE", "event_json_schema"]

SCHEMA_FILE = Path(str(files("audit_pipeline.contract") / "event.schema.json"))


def event_json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of one event."""
    (root,), components = msgspec.json.schema_components([Event], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Audit event",
        "description": "An EventBridge envelope whose detail lists one or more entity changes.",
        **root,
        "$defs": components,
    }


if __name__ == "__main__":
    SCHEMA_FILE.write_bytes(msgspec.json.format(msgspec.json.encode(event_json_schema()), indent=2) + b"\n")
