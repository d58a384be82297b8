"""The check of what lies in raw where no partition reads it."""

from collections.abc import Sequence

from audit_pipeline.quality.verdicts import Verdict
from audit_pipeline.store.raw import NAMED_STRAYS, describe_strays

__all__ = ["check_strays"]

_WHAT_TO_DO = (
    "A partition reads year=YYYY/month=MM/day=DD/hour=HH/ alone, in UTC and with leading zeros. Move the objects into "
    "the hour folders that they belong to, and set the prefix of the Firehose stream; then run the partition again. "
    "Rename an object whose name has an empty part or a control character."
)


def check_strays(strays: Sequence[str]) -> Verdict:
    """Whether every object of the day is in an hour folder; one that is not warns, for its events are not read."""
    if not strays:
        return Verdict(True, "no object of the day is where no partition reads", {"strays": 0}, severity="warn")
    metadata = {"strays": len(strays), "objects": list(strays[:NAMED_STRAYS]), "what_to_do": _WHAT_TO_DO}
    return Verdict(False, describe_strays(strays), metadata, severity="warn")
