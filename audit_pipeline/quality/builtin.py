"""The built-in checks: what is expected of every day, and what to do where it does not hold."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from audit_pipeline.contract.values import Action, ActorType
from audit_pipeline.quality.rules import EVENT_DATE, Batch, Rule, RuleSeverity

if TYPE_CHECKING:
    from audit_pipeline.settings import Settings

__all__ = [
    "BUILTIN_CHECKS",
    "CONSERVATION",
    "GIVEN_WITH",
    "HOUR_COVERAGE",
    "JSON_OBJECTS",
    "KEY_UNIQUE",
    "NEW_SOURCES",
    "READABLE_SHARE",
    "ROWS_PER_SOURCE",
    "STRAYS",
    "UNNAMED_FILES",
    "BuiltinCheck",
    "builtin_rules",
]

#: Checks that are not expectations, most in modules of these names; a suite cannot use the names.
HOUR_COVERAGE: Final = "hour_coverage"
STRAYS: Final = "strays"
UNNAMED_FILES: Final = "unnamed_files"
CONSERVATION: Final = "conservation"

KEY_UNIQUE: Final = "key_unique"
ROWS_PER_SOURCE: Final = "rows_per_source"
READABLE_SHARE: Final = "readable_share"
NEW_SOURCES: Final = "new_sources"

#: Expectations that this package defines (see ``expectations``).
JSON_OBJECTS: Final = "expect_column_values_to_be_json_objects"
GIVEN_WITH: Final = "expect_column_pair_values_a_to_be_given_with_b"

#: How many times more or fewer rows than usual a source may have.
_MAX_FACTOR: Final = 5
_REQUIRED: Final = ("Id", "Timestamp", "EntityId", "EntityName", "EntityIndex")


@dataclass(frozen=True)
class BuiltinCheck:
    """``what_to_do`` is shown where the check fails."""

    description: str
    what_to_do: str


_DAMAGED: Final = (
    "No run writes such rows: the file was damaged or written by something else. Run the partition again; if the check "
    "still fails, it is a defect of the pipeline."
)

BUILTIN_CHECKS: Final[Mapping[str, BuiltinCheck]] = {
    KEY_UNIQUE: BuiltinCheck(
        "No two rows of a date have the same source, Id and EntityIndex, whichever partitions wrote them.",
        "Run the partition again: a run drops events that the date has already. Until then, queries return these rows "
        "more than once.",
    ),
    "required_not_null": BuiltinCheck("Id, Timestamp, EntityId, EntityName and EntityIndex are never null.", _DAMAGED),
    "timestamp_in_dt": BuiltinCheck("Each Timestamp lies within its dt (UTC).", _DAMAGED),
    "entity_index_not_negative": BuiltinCheck("EntityIndex counts from 0.", _DAMAGED),
    "known_actor_types": BuiltinCheck(
        f"ActorType is {', '.join(ActorType)} or null.",
        "Clarify with the producer of these sources which actor is meant. The rows are kept as delivered, and a query "
        "for a known type does not find them.",
    ),
    "known_actions": BuiltinCheck(
        f"Action is {', '.join(Action)} or null.",
        "Have the producer of these sources spell the action as the contract does. The rows are kept as delivered, and "
        "a query for a known action does not find them.",
    ),
    "before_after_are_json_objects": BuiltinCheck(
        "Before and After are JSON objects or null.",
        "Have the producer send before and after as objects. The values are kept as delivered, but cannot be compared "
        "field by field.",
    ),
    "parent_consistent": BuiltinCheck(
        "A row with EntityParentName or EntityParentType has an EntityParentId.",
        "Have the producer send parent.id: without it, the row is missing from its parent's history.",
    ),
    "update_has_before_and_after": BuiltinCheck(
        "A row whose Action is Update has both Before and After.",
        "Have the producer send both: without them, the history cannot show what was changed.",
    ),
    ROWS_PER_SOURCE: BuiltinCheck(
        f"No source has more than {_MAX_FACTOR} times the rows of the 7 days before (median), or fewer than a fifth.",
        "Look at the producer of these sources and at the hour folders of the day. If the numbers are right, nothing "
        "has to be done: the median follows within days.",
    ),
    READABLE_SHARE: BuiltinCheck(
        "Every object of the day could be read, and little of its texts, by number and by bytes, went to quarantine.",
        "audit-pipeline quarantine shows the texts and objects and why. Fix the producer or the raw objects, then run "
        "the partition again.",
    ),
    NEW_SOURCES: BuiltinCheck(
        "Every source has been seen in an earlier partition.",
        "Make sure that these sources are meant to be here, and add them wherever sources are listed (Athena's table "
        "knows only those that a query names).",
    ),
}


def builtin_rules(settings: "Settings") -> list[Rule]:
    """The expectations of the built-in checks, grouped by check."""
    return [*_row_rules(), *_summary_rules(settings)]


def _row_rules() -> Iterator[Rule]:
    yield _rule(KEY_UNIQUE, "expect_column_values_to_be_in_set", "occurs more than once", "critical", "sources",
                column="duplicate_keys", value_set=[0])  # fmt: skip
    for column in _REQUIRED:
        yield _rule("required_not_null", "expect_column_values_to_not_be_null", f"{column} is null", column=column)
    yield _rule("timestamp_in_dt", "expect_column_pair_values_to_be_equal", "Timestamp is not of its dt",
                column_A=EVENT_DATE, column_B="dt", ignore_row_if="either_value_is_missing")  # fmt: skip
    yield _rule("entity_index_not_negative", "expect_column_values_to_be_between", "EntityIndex is negative",
                column="EntityIndex", min_value=0)  # fmt: skip
    for check, column, known in (
        ("known_actor_types", "ActorType", ActorType),
        ("known_actions", "Action", Action),
    ):
        yield _rule(check, "expect_column_values_to_be_in_set", f"{column} is not one of {', '.join(known)}", "warning",
                    column=column, value_set=[word.value for word in known])  # fmt: skip
    for column in ("Before", "After"):
        yield _rule("before_after_are_json_objects", JSON_OBJECTS, f"{column} is not a JSON object", "warning",
                    column=column)  # fmt: skip
    for column in ("EntityParentName", "EntityParentType"):
        yield _rule("parent_consistent", GIVEN_WITH, f"{column} without EntityParentId", "warning",
                    column_A="EntityParentId", column_B=column)  # fmt: skip
    for column in ("Before", "After"):
        yield _rule("update_has_before_and_after", GIVEN_WITH, f"Update without {column}", "warning",
                    column_A=column, column_B="Action", b_values=[Action.UPDATE.value])  # fmt: skip


def _summary_rules(settings: "Settings") -> Iterator[Rule]:
    yield _rule(ROWS_PER_SOURCE, "expect_column_values_to_be_between", "far more or fewer rows than usual", "warning",
                "sources", column="factor", max_value=_MAX_FACTOR)  # fmt: skip
    warn, error = settings.quarantine_warn_share, settings.quarantine_error_share
    shares: list[tuple[RuleSeverity, float]] = [("warning", warn), ("critical", error)]
    for severity, share in shares:
        yield _rule(READABLE_SHARE, "expect_column_values_to_be_between", f"more than {share:.3%} became nothing",
                    severity, "day", column="unreadable_share", max_value=share)  # fmt: skip
    yield _rule(READABLE_SHARE, "expect_column_values_to_be_between", "an object is unreadable", "warning", "day",
                column="objects_unreadable", max_value=0)  # fmt: skip
    yield _rule(NEW_SOURCES, "expect_column_values_to_not_be_in_set", "never seen before", "warning", "sources",
                column="is_new", value_set=[True])  # fmt: skip


def _rule(
    check: str, kind: str, text: str, severity: RuleSeverity = "critical", batch: Batch = "rows", **kwargs: Any
) -> Rule:
    return Rule(check, kind, kwargs, severity, batch, text)
