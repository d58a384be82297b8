"""The events that alerts are made from. ``id`` is Dagster's, in the order in which things happened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from audit_pipeline.orchestration.alerts.alert import Severity

__all__ = ["CheckEvaluated", "Event", "LateFiles", "LateFilesFound", "Materialized", "RunFailed"]


@dataclass(frozen=True)
class CheckEvaluated:
    """``rows`` are the keys of the first few bad rows."""

    id: int
    at: datetime
    run_id: str | None
    asset: str
    check: str
    partition: str | None
    passed: bool
    severity: Severity
    blocking: bool
    description: str
    what_to_do: str
    rows: Sequence[str]


@dataclass(frozen=True)
class RunFailed:
    """``days``: the problem of each partition that failed; the partition is None where the run had none.

    ``awaits`` is the last asset that the run was to materialize, or the check that it was to evaluate.
    """

    id: int
    at: datetime
    run_id: str
    days: Mapping[str | None, str]
    awaits: str


@dataclass(frozen=True)
class Materialized:
    id: int
    at: datetime
    run_id: str | None
    asset: str
    partition: str | None


class LateFiles(msgspec.Struct, frozen=True):
    """The first keys of objects that appeared, changed or vanished after their partition ran, and their number.

    ``requested``: a run of the partition was requested. ``problem``: why not.
    """

    fingerprint: str
    requested: bool
    problem: str | None = None
    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    new_count: int = 0
    changed_count: int = 0
    vanished_count: int = 0


@dataclass(frozen=True)
class LateFilesFound:
    """``files`` is the error, as text, if the observation could not be read."""

    id: int
    at: datetime
    partition: str | None
    files: LateFiles | str


Event = CheckEvaluated | RunFailed | Materialized | LateFilesFound
