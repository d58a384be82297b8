"""A CloudFormation change set as a Markdown table: ``aws cloudformation describe-change-set … | aws/preview.py``.

It needs only Python: it runs on a GitHub runner, where the project is not installed.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any


def summary(change_set: Mapping[str, Any]) -> str:
    """The summary of a job. Replacements are emphasized, as a replaced bucket or table is empty."""
    changes = [each["ResourceChange"] for each in change_set["Changes"]]
    if not changes:
        return f"{change_set['StackName']}: nothing changes.\n"
    return "\n".join(_lines(change_set["StackName"], changes)) + "\n"


def _lines(stack: str, changes: list[dict[str, Any]]) -> Iterator[str]:
    yield f"{stack}: {len(changes)} changes.\n"
    yield "| what | resource | type | replaced | because of |"
    yield "|---|---|---|---|---|"
    for change in sorted(changes, key=lambda each: (not _is_replacement(each), each["LogicalResourceId"])):
        reasons = sorted({detail["Target"].get("Name", detail["Target"]["Attribute"]) for detail in change["Details"]})
        replaced = f"**{change['Replacement']}**" if _is_replacement(change) else "no"
        cells = [change["Action"], change["LogicalResourceId"], change["ResourceType"], replaced, ", ".join(reasons)]
        yield f"| {' | '.join(cells)} |"


def _is_replacement(change: Mapping[str, Any]) -> bool:
    return change.get("Replacement", "False") != "False"


if __name__ == "__main__":
    sys.stdout.write(summary(json.load(sys.stdin)))
