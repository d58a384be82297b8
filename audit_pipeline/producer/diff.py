"""The fields that changed between two snapshots."""

from audit_pipeline.producer.encode import encode
from audit_pipeline.producer.snapshots import JsonValue

__all__ = ["only_changed"]


def only_changed(before: JsonValue, after: JsonValue) -> tuple[JsonValue, JsonValue]:
    """The two snapshots reduced to the fields that differ; a field of one side only is kept there.

    Fields are those of the outermost object, and differ when their JSON texts do, as ``1.1`` and ``1.10``. Where one
    side is not an object (as None of a creation), both are kept whole.
    """
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return before, after
    same = {name for name in before.keys() & after.keys() if encode(before[name]) == encode(after[name])}
    return _without(before, same), _without(after, same)


def _without(fields: dict[str, JsonValue], names: set[str]) -> dict[str, JsonValue]:
    return {name: value for name, value in fields.items() if name not in names}
