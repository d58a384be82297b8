"""Expectation suites on the rows of one partition: the built-in checks, and those of a user's suite.

Great Expectations takes over a second to import, so it is imported only when a day is checked.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from audit_pipeline.quality.builtin import (
    BUILTIN_CHECKS,
    CONSERVATION,
    HOUR_COVERAGE,
    STRAYS,
    UNNAMED_FILES,
    builtin_rules,
)
from audit_pipeline.quality.rules import Rule
from audit_pipeline.quality.suite import load_suite

if TYPE_CHECKING:
    from audit_pipeline.quality.verdicts import Verdict
    from audit_pipeline.settings import Settings
    from audit_pipeline.store.manifest import Manifest
    from audit_pipeline.store.objects import Store

__all__ = ["QualityCheck", "check_quality", "quality_checks", "quality_rules"]


@dataclass(frozen=True)
class QualityCheck:
    """One or more expectations under one name. The failure of one that ``is_critical`` can hold the day back."""

    name: str
    description: str
    is_critical: bool


def quality_checks(settings: "Settings") -> Sequence[QualityCheck]:
    """The built-in checks and those of the user's suite, in order.

    Raises :class:`audit_pipeline.errors.SettingsError` for a suite file that is wrong.
    """
    by_name: dict[str, list[Rule]] = {}
    for rule in quality_rules(settings):
        by_name.setdefault(rule.check, []).append(rule)
    return [
        QualityCheck(name, _description(name, rules), any(rule.severity == "critical" for rule in rules))
        for name, rules in by_name.items()
    ]


def check_quality(
    settings: "Settings", lake: "Store", manifest: "Manifest", names: Collection[str]
) -> dict[str, "Verdict"]:
    """The verdicts of the checks of these names on the day, from one pass over its files.

    Raises :class:`audit_pipeline.errors.SettingsError` for a wrong suite, and
    :class:`audit_pipeline.errors.StoreError` where a file of the day cannot be read.
    """
    rules = [rule for rule in quality_rules(settings) if rule.check in names]
    if unknown := {*names} - {rule.check for rule in rules}:
        raise ValueError(f"there is no quality check {', '.join(sorted(unknown))}")
    from audit_pipeline.quality.examine import examine
    from audit_pipeline.quality.verdicts import verdicts_of

    return verdicts_of(examine(settings, lake, manifest, rules))


def quality_rules(settings: "Settings") -> list[Rule]:
    """The expectations of all checks. Raises what :func:`quality_checks` does."""
    taken = {*BUILTIN_CHECKS, CONSERVATION, HOUR_COVERAGE, STRAYS, UNNAMED_FILES}
    own = load_suite(settings.quality_suite, taken) if settings.quality_suite else []
    return [*builtin_rules(settings), *own]


def _description(name: str, rules: Sequence[Rule]) -> str:
    built_in = BUILTIN_CHECKS.get(name)
    return built_in.description if built_in else "; ".join(dict.fromkeys(rule.text for rule in rules))
