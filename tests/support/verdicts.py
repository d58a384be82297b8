"""What the tests of the quality checks share."""

import json

from audit_pipeline.quality.verdicts import Verdict
from tests.support.lake import Record

__all__ = ["failure"]


def failure(verdict: Verdict, severity: str) -> Record:
    """The metadata of a check that failed, which a person can act on."""
    assert (verdict.passed, verdict.severity) == (False, severity), verdict
    assert "\n" not in verdict.description
    assert verdict.metadata["what_to_do"]
    json.dumps(dict(verdict.metadata))
    return dict(verdict.metadata)
