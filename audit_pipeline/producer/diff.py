"""What changed between two snapshots."""

from audit_pipeline.producer.encode import encode
from audit_pipeline.producer.plain import Plain

__all__ = ["only_changed"]


def only_changed(before: Plain, after: Plain) -> tuple[Plain, Plain]:
    """The two snapshots with only the fields that differ; a field that is on one side only stays there.

    Fields are those of the outermost object, and differ when their JSON texts do: ``1.1`` and ``1.10`` do. Where one
    side is no object (nothing stood there before, say), both are left whole.
    """
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return before, after
    same = {name for name in before.keys() & after.keys() if encode(before[name]) == encode(after[name])}
    return _without(before, same), _without(after, same)


def _without(fields: dict[str, Plain], names: set[str]) -> dict[str, Plain]:
    return {name: value for name, value in fields.items() if name not in names}
